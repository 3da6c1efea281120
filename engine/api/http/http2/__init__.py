"""HTTP/2: many requests at once on one connection. The frames as plain bytes, and what an exchange sees of a stream."""
