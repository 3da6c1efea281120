"""HTTP/1.1 as plain bytes: requests written, responses read. No I/O.

A request's head is checked as strictly as h11 checks it: no value of a header can become a second header. llhttp parses
responses, in its strict mode. When it refuses a head that RFC 9112 allows, the head is mended and parsed again (see
`tolerance`). Every response has its own reader, which takes in what was received and holds what came of it. `MAX_HEAD`
bounds the memory that a head, or anything else that is not the body, can take.
"""

import re
from collections.abc import Iterable
from typing import Literal

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .tolerance import is_mendable, mend

__all__ = ["MAX_HEAD", "BodyFraming", "RawHeaders", "ResponseReader", "request_head"]

MAX_HEAD = 65536
"""How many bytes may come without any of a body: heads, informational ones included, chunk headers and trailers."""

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
_DIGITS = re.compile(rb"[0-9]+")


def request_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A request's head: its first line, its headers and the empty line.

    Raises `httpx2.LocalProtocolError` for a head that HTTP/1.1 doesn't allow.
    """
    if not _TOKEN.fullmatch(method):
        raise httpx2.LocalProtocolError("the request's method is not a word")
    if not _TARGET.fullmatch(target):
        raise httpx2.LocalProtocolError("the request's target holds a space or another character that it can't")
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    hosts = 0
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise httpx2.LocalProtocolError(f"a header's name is not a word: {name!r}")
        if not _VALUE.fullmatch(value):
            raise httpx2.LocalProtocolError(
                f"the value of the header {name.decode('ascii')!r} starts or ends with a space, or holds a control"
                f" character"
            )
        hosts += name.lower() == b"host"
        lines.append(b"%b: %b" % (name, value))
    if hosts != 1:
        raise httpx2.LocalProtocolError(f"a request has exactly one Host header, not {hosts}")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


class BodyFraming:
    """The framing of a request's body that its headers announce: by its length, or in chunks.

    Raises `httpx2.LocalProtocolError` for headers that announce another framing, and for a body of another length.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        length, self.chunked = 0, False
        lengths = 0
        for name, value in headers:
            match name.lower():
                case b"content-length":
                    if not _DIGITS.fullmatch(value):
                        raise httpx2.LocalProtocolError("the request's Content-Length is not a number")
                    length, lengths = int(value), lengths + 1
                case b"transfer-encoding":
                    if value.lower() != b"chunked":
                        raise httpx2.LocalProtocolError("the only Transfer-Encoding of a request is chunked")
                    self.chunked = True
                case _:
                    pass
        if lengths + self.chunked > 1:
            raise httpx2.LocalProtocolError("the request says more than once how long its body is")
        self._left = length

    def frame(self, piece: bytes) -> bytes:
        """The bytes to send for a piece of the body. Raises `httpx2.LocalProtocolError` when the body gets too long."""
        if self.chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self._left -= len(piece)
        if self._left < 0:
            raise httpx2.LocalProtocolError("the request's body is longer than its Content-Length")
        return piece

    def end(self) -> bytes:
        """The bytes to send after the last piece. Raises `httpx2.LocalProtocolError` when the body is too short."""
        if self._left:
            raise httpx2.LocalProtocolError("the request's body is shorter than its Content-Length")
        return b"0\r\n\r\n" if self.chunked else b""


class _StopParsing(Exception):
    """Raised in a callback to stop llhttp."""


class ResponseReader:
    """Reads one response. The body's bytes gather in `pieces`, until they are taken.

    `method` is the request's: a response to HEAD or CONNECT has no body. The parser calls the methods that begin with
    `on_`.
    """

    def __init__(self, method: str) -> None:
        self.version = b"1.1"
        self.status = 0
        self.reason = b""
        self.headers: RawHeaders = []
        self.pieces: list[bytes] = []
        self.started = False
        """Whether any byte of the response has come."""
        self.has_head = False
        self.complete = False
        self.reusable = False
        """Whether the connection can be used again, once the response is complete."""
        self.on_body = self.pieces.append
        self._bodiless = method in ("HEAD", "CONNECT")
        self._until_close = False
        self._problem: str | None = None
        self._bare = 0
        self._head_size = 0
        self._raw_head = bytearray()
        self._mend: Literal["if needed", "now", "no more"] = "if needed"
        self._parser: HttpResponseParser | None = self._new_parser()

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        # If a response has both a length and chunks, llhttp ignores the length, as RFC 9112 (6.3) says. The connection
        # is not used again then.
        parser.set_dangerous_leniencies(lenient_chunked_length=True)
        return parser

    def receive(self, data: bytes | memoryview) -> None:
        """Takes in what was received. Raises `httpx2.RemoteProtocolError` when it is not HTTP, or exceeds
        `MAX_HEAD`."""
        parser = self._parser
        if parser is None:
            self.reusable = False  # there is more than the response
            return
        self.started = True
        try:
            if self.has_head:
                parser.feed_data(data)
            else:
                self._receive_head(parser, data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self.close()
            if self.complete:
                self.reusable = False
                return
            reason = self._problem or f"it is not valid HTTP: {exc}"
            raise httpx2.RemoteProtocolError(f"the server's response can't be read: {reason}") from None
        if self.pieces:
            self._bare = 0
        elif not self.complete:
            self._bare += len(data)
            if self._bare > MAX_HEAD:
                self.close()
                raise httpx2.RemoteProtocolError(f"the server's response can't be read: {_TOO_LARGE}")
        if self.complete:
            self.close()

    def _receive_head(self, parser: HttpResponseParser, data: bytes | memoryview) -> None:
        """Takes in bytes of the head, and what comes with its end."""
        if self._mend != "now":
            try:
                parser.feed_data(data)
            except HttpParserError:
                over = self.has_head or self.complete or self._problem is not None or self._mend == "no more"
                if over or not is_mendable(self._raw_head + data):
                    raise
                self._mend = "now"
        if self.has_head:
            return
        self._raw_head += data
        if self._mend == "now" and (mended := mend(bytes(self._raw_head))):
            self._mend = "no more"
            self.headers.clear()
            self.reason, self._head_size = b"", 0
            self._parser = self._new_parser()
            self._parser.feed_data(mended)

    def receive_eof(self) -> None:
        """Takes in that the server closed the connection. Raises `httpx2.RemoteProtocolError` unless the response is
        complete, or is one that ends with the connection."""
        self.close()
        self.reusable = False
        if self.complete:
            return
        if not self.has_head:
            within = "within its response's head" if self.started else "without a response"
            raise httpx2.RemoteProtocolError(f"the server closed the connection {within}")
        if not self._until_close:
            raise httpx2.RemoteProtocolError("the server closed the connection early: the response's body is cut off")
        self.complete = True

    def close(self) -> None:
        """Frees the parser, once nothing more will be received: parser and reader refer to each other."""
        self._parser = None

    def header(self, name: bytes) -> list[bytes]:
        """The values of the header `name`, which is in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def take(self) -> bytes:
        """The bytes of the body that have come since the last call."""
        pieces = self.pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    # -- for the parser

    def on_message_begin(self) -> None:
        if self.complete:
            raise _StopParsing

    def on_status(self, reason: bytes) -> None:
        self.reason += reason  # it may come in parts

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:
            return  # a trailer
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            self._refuse(_TOO_LARGE)
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self.status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._refuse(f"it is HTTP/{version}")
        if status == 101 or status < 100:
            self._refuse(f"its status is {status}")
        if status < 200:
            return
        self.version = version.encode()
        encodings, lengths = self.header(b"transfer-encoding"), self.header(b"content-length")
        if encodings and [encoding.lower() for encoding in encodings] != [b"chunked"]:
            self._refuse("its Transfer-Encoding is not chunked alone")
        self.has_head = True
        self._parser.set_dangerous_leniencies(lenient_headers=True)  # for trailers, which are not used
        self.reusable = version == "1.1" and not (encodings and lengths)
        self._until_close = not encodings and not lengths
        if self._bodiless:
            # The parser doesn't know the request's method, and would take what follows for a body. Since it is stopped,
            # the connection is not used again.
            self.complete = True
            raise _StopParsing

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self.status < 200:
            self.headers.clear()
            self.pieces.clear()
            self.reason = b""
            return
        self.complete = True
        self.reusable = self.reusable and self._parser.should_keep_alive()

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        raise _StopParsing


_TOO_LARGE = f"it has more than {MAX_HEAD} bytes that are not its body"
