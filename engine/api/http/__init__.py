"""HTTP/1.1 of our own: a transport for httpx2 that takes a response's bytes from the socket to a sink with little work.

`http1` and `tls` know what the bytes mean, `idle` which connection to use: none of them does I/O. `on_asyncio` and
`on_trio` move bytes; `connect`, `exchange` and `transport` use either. `exchange` knows no version of HTTP: the
connection makes what reads its response.
"""

from .transport import HttpTransport

__all__ = ["HttpTransport"]
