"""What is said of one stream as plain values: its request, its events, its deadlines, its retries, its result."""
