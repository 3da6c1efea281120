"""Bytes to frames, and frames to wire events. What JSON and what the words of an error are, is known here too."""
