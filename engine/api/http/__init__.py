"""HTTP/1.1 of our own: a transport for httpx2 in which a response's bytes go from the socket to a sink with the least
work, on asyncio and on trio.

`protocol` and `tls` know what the bytes mean, `pool` which connection to use: none of them does any I/O. `asyncio_end`
and `trio_end` only move bytes; `connect`, `exchange` and `transport` use either.
"""

from .transport import HttpTransport

__all__ = ["HttpTransport"]
