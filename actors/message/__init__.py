"""What a message is made of: its parts and their deltas, its usage, its container, and the turn it becomes."""
