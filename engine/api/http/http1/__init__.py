"""HTTP/1.1 as plain bytes: requests written, responses read. It does no I/O."""
