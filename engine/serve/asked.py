"""A request as a client asks it: read from the bytes of a connection, in HTTP/1.1 or 1.0.

It does no I/O. The parser is llhttp's, by httptools, which is strict: what may be read in two ways is refused.
"""

from collections.abc import Callable

import attrs
import httptools

__all__ = ["Asked", "RequestReader", "UnreadableRequest"]

_LARGEST_HEAD = 64 * 1024  # bytes: the target and the headers


class UnreadableRequest(Exception):
    """What a client sent is no request: `status` says what is wrong, and the message too."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@attrs.define(eq=False, kw_only=True)
class Asked:
    """A request whose head has come. Its body follows."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]] = attrs.field(repr=False)
    """In their order, names as they were written."""
    version: str = "1.1"
    keep_alive: bool = True
    """Whether the connection may be used again."""
    chunks: list[bytes] = attrs.field(factory=list[bytes], repr=False)
    """What has come of the body, and was not taken yet."""
    size: int = 0
    """Bytes of the body so far."""
    left: int = 0
    """Bytes that were not taken yet."""
    whole: bool = False
    """Whether all of it has come."""
    _named: dict[bytes, list[bytes]] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._named = {}
        for name, value in self.headers:
            self._named.setdefault(name.lower(), []).append(value)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def all(self, name: bytes) -> list[bytes]:
        """The values of a header, whose name is in lower case."""
        return list(self._named.get(name, ()))

    def one(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        values = self._named.get(name)
        return None if values is None else values[0]

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        self.left = 0
        return data


class RequestReader:
    """Reads a connection's requests, one after the other. `began` is called when a request's head has come, `came` when
    more of its body has, or its end."""

    def __init__(self, began: Callable[[Asked], None], came: Callable[[Asked], None]) -> None:
        self._began = began
        self._came = came
        self._parser = httptools.HttpRequestParser(self)
        self._asked: Asked | None = None
        self._target: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._told: list[tuple[Callable[[Asked], None], Asked]] = []
        self._head = 0  # bytes of the head
        self._fed = 0  # bytes that were fed of a head that is not whole
        self.reading = False
        """Whether a request has begun and is not whole."""

    def feed(self, data: bytes) -> None:
        """Reads more bytes. Raises `UnreadableRequest` when what comes next is no request: nothing more can be read."""
        try:
            self._read(data)
        finally:
            # Not from within the parser, which would make another error of what is raised.
            told, self._told = self._told, []
            for tell, asked in told:
                tell(asked)

    def _read(self, data: bytes) -> None:
        within = self.reading and self._asked is None
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                data = self._without_upgrade(data[exc.args[0] :])
                continue
            except httptools.HttpParserError as exc:
                raise UnreadableRequest(400, f"this is no HTTP/1.1 request: {exc}") from None
            break
        if self.reading and self._asked is None and (within or not self._told):
            self._fed += len(data)  # the parser keeps a header's value until it is whole
        if max(self._head, self._fed) > _LARGEST_HEAD:
            raise UnreadableRequest(431, f"the head of a request has at most {_LARGEST_HEAD:,} bytes")

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The bytes of a request again, of which the parser left the body unread since it asks for another protocol;
        and of what follows. Java's client asks for HTTP/2 in passing, and takes HTTP/1.1."""
        asked = self._told[-1][1]
        if asked.method == "CONNECT":
            asked.keep_alive = False  # it is refused, and what follows is for somebody else
            return b""
        self._told = [(tell, each) for tell, each in self._told if each is not asked]
        lines = [f"{asked.method} {asked.target} HTTP/{asked.version}".encode("latin-1")]
        lines += [b"%b: %b" % header for header in asked.headers if header[0].lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([*lines, b"", rest])

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        self._target, self._headers = [], []
        self._head = self._fed = 0
        self.reading = True

    def on_url(self, url: bytes) -> None:
        self._target.append(url)
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._asked is None:  # else it is a trailer
            self._headers.append((name, value))
            self._head += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._asked = asked = Asked(
            method=parser.get_method().decode("latin-1"),
            target=b"".join(self._target).decode("latin-1"),
            headers=self._headers,
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive() and parser.get_http_version() == "1.1",
        )
        asked.whole = asked.one(b"transfer-encoding") is None and asked.one(b"content-length") in (None, b"0")
        if self._head <= _LARGEST_HEAD:  # else nothing of it is told
            self._told.append((self._began, asked))

    def on_body(self, body: bytes) -> None:
        asked = self._asked
        assert asked is not None
        asked.chunks.append(body)
        asked.size += len(body)
        asked.left += len(body)
        if self._told[-1:] != [(self._came, asked)]:  # once a feed, however many chunks there are
            self._told.append((self._came, asked))

    def on_message_complete(self) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None
        self.reading = False
        if not asked.whole:
            asked.whole = True
            self._told.append((self._came, asked))
