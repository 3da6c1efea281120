"""Streams to browsers: what a stream publishes as the bytes of a protocol, and browsers' requests as requests."""
