"""HTTP/1.1 as plain bytes: requests written, responses read. No I/O.

A request's head is checked as strictly as h11 checks it: nothing a caller puts into a header can become a second one.
A response is parsed by llhttp, in its strict mode; a head that it refuses for what RFC 9112 lets pass is mended and
parsed again (see `tolerance`). Every response has a reader of its own, which is told what was
received and holds what came of it; what a server sends is bounded in memory by `MAX_HEAD`, whoever the server is.
"""

import re
from collections.abc import Iterable
from typing import Literal

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .tolerance import is_mendable, mend

__all__ = ["MAX_HEAD", "BodyFraming", "RawHeaders", "ResponseReader", "request_head"]

MAX_HEAD = 65536
"""How many bytes of a response may come without any of its body: the head, informational ones before it, chunk
headers, trailers."""

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
_DIGITS = re.compile(rb"[0-9]+")


def request_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The request's first line and headers, up to the empty line.

    Raises `httpx2.LocalProtocolError` for what HTTP/1.1 doesn't allow.
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
    """How a request's body is marked off, as its headers promise: by its length, or in chunks.

    Raises `httpx2.LocalProtocolError` for headers that promise something else, or a body that breaks the promise.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        length, self._chunked = 0, False
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
                    self._chunked = True
                case _:
                    pass
        if lengths + self._chunked > 1:
            raise httpx2.LocalProtocolError("the request says more than once how long its body is")
        self._left = length

    def frame(self, piece: bytes) -> bytes:
        """A piece of the body, as it is sent."""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self._left -= len(piece)
        if self._left < 0:
            raise httpx2.LocalProtocolError("the request's body is longer than its Content-Length")
        return piece

    def end(self) -> bytes:
        """What is sent after the last piece."""
        if self._left:
            raise httpx2.LocalProtocolError("the request's body is shorter than its Content-Length")
        return b"0\r\n\r\n" if self._chunked else b""


class _StopParsing(Exception):
    """Raised in a callback, to make llhttp go no further."""


class ResponseReader:
    """One response, as it comes. The body's bytes gather in `pieces`, for others to take out.

    `method` is the request's: to some there is no body. The methods whose names begin with `on_` are for the parser.
    """

    def __init__(self, method: str) -> None:
        self.version = b"1.1"
        self.status = 0
        self.reason = b""
        self.headers: RawHeaders = []
        self.pieces: list[bytes] = []
        self.started = False
        """Whether any byte of a response has come."""
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
        # Of a length beside chunks llhttp then ignores the length, as it must; the connection is not used again.
        parser.set_dangerous_leniencies(lenient_chunked_length=True)
        return parser

    def receive(self, data: bytes | memoryview) -> None:
        """Takes in what was received. Raises `httpx2.RemoteProtocolError` when it is not HTTP, or too much of it."""
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
        """Takes in what comes before there is a head, or with it."""
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
        """Takes in that the connection was closed. Raises `httpx2.RemoteProtocolError` unless the response is complete,
        or has its end at the connection's."""
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
        """No more will be received. It frees the parser, which knows the reader, as the reader knows it."""
        self._parser = None

    def header(self, name: bytes) -> list[bytes]:
        """The values of the header `name`, given in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def take(self) -> bytes:
        """What has come of the body since it was last taken."""
        pieces = self.pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    # -- for the parser

    def on_message_begin(self) -> None:
        if self.complete:
            raise _StopParsing

    def on_status(self, reason: bytes) -> None:
        self.reason += reason  # the parser may have it in parts

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
        self._parser.set_dangerous_leniencies(lenient_headers=True)  # for trailers, which nobody reads
        self.reusable = version == "1.1" and not (encodings and lengths)
        self._until_close = not encodings and not lengths
        if self._bodiless:
            # The parser doesn't know what was asked. What follows it can't tell from a body.
            self.complete, self.reusable = True, False
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
