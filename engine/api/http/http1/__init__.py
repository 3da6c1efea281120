"""HTTP/1.1: requests written and responses read as plain bytes, and a connection that serves one at a time."""
