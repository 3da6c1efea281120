"""Requests are read however their bytes are cut; what may be read in two ways is refused."""

from __future__ import annotations

import pytest

from manystream.engine.serve.asked import Asked, RequestReader, UnreadableRequest

POST = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nX-Api-Key: k\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-late: 1\r\n\r\n"
)
UPGRADE_POST = b"POST /p HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nworld"
UPGRADE = b"GET /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"


class Read:
    """What a reader told."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.whole: list[bool] = []
        self.reader = RequestReader(self.began, self.came)

    def began(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.whole.append(asked.whole)

    def came(self, asked: Asked) -> None:
        assert asked is self.asked[-1]

    @classmethod
    def of(cls, data: bytes, size: int | None = None) -> Read:
        read = cls()
        for at in range(0, len(data), size or len(data)):
            read.reader.feed(data[at : at + (size or len(data))])
        return read


@pytest.mark.parametrize("size", [None, 1, 2, 7, 50])
def test_requests_one_after_the_other(size: int | None) -> None:
    read = Read.of(POST + GET + CHUNKED + UPGRADE + UPGRADE_POST + GET, size)
    assert [(asked.method, asked.target, asked.path) for asked in read.asked] == [
        ("POST", "/v1/messages?beta=true", "/v1/messages"),
        ("GET", "/health", "/health"),
        ("POST", "/a", "/a"),
        ("GET", "/u", "/u"),
        ("POST", "/p", "/p"),
        ("GET", "/health", "/health"),
    ]
    assert [asked.take() for asked in read.asked] == [b"hello", b"", b"abcde", b"", b"world", b""]
    assert [asked.size for asked in read.asked] == [5, 0, 5, 0, 5, 0]
    assert all(asked.whole and asked.keep_alive for asked in read.asked)
    assert size != 1 or read.whole == [False, True, False, True, False, True], "without a body it is whole at once"
    assert read.asked[0].headers == [(b"Host", b"a"), (b"X-Api-Key", b"k"), (b"Content-Length", b"5")]
    assert read.asked[2].one(b"x-late") is None, "a trailer is no header"
    assert not read.reader.reading


def test_what_a_connection_is_kept_for() -> None:
    for head in (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ):
        (asked,) = Read.of(head).asked
        assert not asked.keep_alive
    assert asked.version == "1.0"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: 1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
        (b"GET /" + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 12_000, 431),
    ],
)
@pytest.mark.parametrize("size", [None, 1000])
def test_what_is_no_request(data: bytes, status: int, size: int | None) -> None:
    with pytest.raises(UnreadableRequest) as caught:
        Read.of(data, size)
    assert caught.value.status == status
    assert str(caught.value)


def test_a_head_is_measured_and_not_what_comes_with_it() -> None:
    body = b"x" * 90_000
    post = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    read = Read()
    read.reader.feed(post + body + GET[:10])
    read.reader.feed(GET[10:])
    assert [asked.target for asked in read.asked] == ["/a", "/health"]
    read = Read()
    with pytest.raises(UnreadableRequest, match="65,536 bytes"):  # in one piece with its end
        read.reader.feed(GET + b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n")
    assert [asked.target for asked in read.asked] == ["/health"]


def test_many_small_chunks_are_told_at_once() -> None:
    came: list[int] = []
    reader = RequestReader(lambda _: None, lambda asked: came.append(asked.left))
    reader.feed(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000)
    assert came == [20_000]


def test_thousands_that_ask_for_another_protocol() -> None:
    read = Read.of(UPGRADE * 3_000)
    assert len(read.asked) == 3_000
