"""What the project is measured against: its own corpus of streams, and what the SDK makes of a stream."""
