"""TLS as plain bytes: OpenSSL between two buffers in memory. No I/O.

It serves asyncio and trio alike, with less work for each read than their own TLS streams. A layer can lie on top of
another one, as a TLS connection through an `https` proxy needs it.

The end of the connection below counts as the end, whether or not the peer announced it: many servers don't. HTTP finds
out by itself whether a body is cut off.
"""

import ssl
from threading import Lock

__all__ = ["TlsLayer"]

_RECORD = 16384  # bytes in a record, at most
_offering = Lock()
# What is offered belongs to the context, which other threads may share.


class TlsLayer:
    """TLS's client side, on top of `below` if that is given.

    `context` decides what is verified; `server_hostname` is the name or the address that the certificate must have.
    With `http2` the server may choose HTTP/2.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        server_hostname: str,
        below: "TlsLayer | None" = None,
        *,
        http2: bool = False,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with _offering:
            context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
            self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._below = below
        self.established = False
        self.ended = False
        """Whether the peer has announced that it sends no more."""

    @property
    def chose_http2(self) -> bool:
        """Whether the server chose HTTP/2, once established."""
        return self._ssl.selected_alpn_protocol() == "h2"

    def handshake(self, received: bytes | memoryview = b"") -> bytes:
        """Takes a step of the handshake, to be repeated until `established`. Returns the bytes to send now. Raises
        `ssl.SSLError`."""
        if self._below is not None:
            received = self._below.decrypt(received)
        self._incoming.write(received)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            self.established = True
        return self._to_send()

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """The bytes to send for `data`, and for TLS itself. Raises `ssl.SSLError`."""
        view = memoryview(data)
        while view:
            view = view[self._ssl.write(view) :]
        return self._to_send()

    def decrypt(self, received: bytes | memoryview) -> bytes:
        """The data in what was received. An incomplete record is kept until its rest comes. Raises `ssl.SSLError`."""
        if self._below is not None:
            received = self._below.decrypt(received)
            self.ended = self._below.ended
        incoming, read = self._incoming, self._ssl.read
        incoming.write(received)
        pieces: list[bytes] = []
        try:
            while incoming.pending or self._ssl.pending():
                if piece := read(_RECORD):
                    pieces.append(piece)
                else:
                    self.ended = True
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _to_send(self) -> bytes:
        data = self._outgoing.read()
        return self._below.encrypt(data) if self._below is not None and data else data
