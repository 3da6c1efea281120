"""HTTP/1.1 as plain bytes: requests written, responses read, whoever sent them and however they were cut."""

import gc
import weakref
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.engine.api.http.http1.protocol import MAX_HEAD, BodyFraming, ResponseReader, request_head

HOST = (b"Host", b"example.com")


# -- requests


def test_a_request_as_it_is_written() -> None:
    head = request_head(b"POST", b"/v1/messages?a=b", [HOST, (b"X-Empty", b""), (b"Note", b"a\tb \xe4")])
    assert head == b"POST /v1/messages?a=b HTTP/1.1\r\nHost: example.com\r\nX-Empty: \r\nNote: a\tb \xe4\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        (b"GET /", b"/", [HOST]),
        (b"", b"/", [HOST]),
        (b"GET", b"", [HOST]),
        (b"GET", b"/a b", [HOST]),
        (b"GET", b"/\r\nEvil: yes", [HOST]),
        (b"GET", b"/", []),
        (b"GET", b"/", [HOST, HOST]),
        (b"GET", b"/", [HOST, (b"", b"x")]),
        (b"GET", b"/", [HOST, (b"X Y", b"x")]),
        (b"GET", b"/", [HOST, (b"X:", b"x")]),
        (b"GET", b"/", [HOST, (b"X\n", b"x")]),
        (b"GET", b"/", [HOST, (b"X", b"x\r\nEvil: yes")]),
        (b"GET", b"/", [HOST, (b"X", b"x\n")]),
        (b"GET", b"/", [HOST, (b"X", b"x\0y")]),
        (b"GET", b"/", [HOST, (b"X", b" x")]),
        (b"GET", b"/", [HOST, (b"X", b"x\t")]),
        (b"GET", b"/", [HOST, (b"X", b" ")]),
    ],
)
def test_what_http_does_not_allow_is_not_sent(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        request_head(method, target, headers)


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=12)), max_size=4))
def test_no_header_becomes_two(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        head = request_head(b"GET", b"/", [HOST, *headers])
    except httpx2.LocalProtocolError:
        return
    assert head.count(b"\n") == head.count(b"\r") == len(headers) + 3


def test_bodies_are_marked_off() -> None:
    fixed = BodyFraming([(b"Content-Length", b"5")])
    assert [fixed.frame(b"abc"), fixed.frame(b"de"), fixed.end()] == [b"abc", b"de", b""]
    chunked = BodyFraming([(b"Transfer-Encoding", b"chunked")])
    assert [chunked.frame(b"x" * 18), chunked.frame(b""), chunked.end()] == [
        b"12\r\n" + b"x" * 18 + b"\r\n",
        b"",  # an empty chunk would be the end
        b"0\r\n\r\n",
    ]
    assert BodyFraming([HOST]).end() == b""


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"-1")],
        [(b"content-length", b"1, 1")],
        [(b"content-length", b"1"), (b"Content-Length", b"1")],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
    ],
)
def test_a_length_that_is_none(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        BodyFraming(headers)


def test_a_body_that_breaks_its_promise() -> None:
    with pytest.raises(httpx2.LocalProtocolError, match="longer"):
        BodyFraming([HOST]).frame(b"x")
    with pytest.raises(httpx2.LocalProtocolError, match="shorter"):
        BodyFraming([(b"content-length", b"2")]).end()


# -- responses

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Outcome = tuple[int, bytes, list[tuple[bytes, bytes]], bytes, bool]


def read(pieces: Iterable[bytes], *, method: str = "POST", eof: bool = False) -> ResponseReader:
    reader = ResponseReader(method)
    for piece in pieces:
        reader.receive(piece)
    if eof:
        reader.receive_eof()
    return reader


def outcome(reader: ResponseReader) -> Outcome:
    assert reader.complete
    return reader.status, reader.reason, reader.headers, reader.take(), reader.reusable


# Each with whether the server closes the connection after it, and what is to come of it.
VALID: dict[str, tuple[bytes, bool, Outcome]] = {
    "fixed": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Empty:\r\nNote:  a b \t\r\n\r\nabc",
        False,
        (200, b"OK", [(b"Content-Length", b"3"), (b"X-Empty", b""), (b"Note", b"a b")], b"abc", True),
    ),
    "chunked": (
        CHUNKED + b'3;name="value"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n',
        False,
        (200, b"OK", [(b"Transfer-Encoding", b"chunked")], b"abc0123456789", True),
    ),
    "until close": (
        b"HTTP/1.1 200 Fine by me\r\n\r\nabc",
        True,
        (200, b"Fine by me", [], b"abc", False),
    ),
    "after informational ones": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 104 New\r\n\r\n"
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\n!",
        False,
        (404, b"Not Found", [(b"content-length", b"1")], b"!", True),
    ),
    "no content": (
        b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        False,
        (204, b"No Content", [(b"X", b"y")], b"", True),
    ),
    "not modified, with a length": (
        b"HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n",
        False,
        (304, b"", [(b"content-length", b"9")], b"", True),
    ),
    "to be closed": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nConnection: a, Close\r\n\r\nx",
        False,
        (200, b"OK", [(b"content-length", b"1"), (b"Connection", b"a, Close")], b"x", False),
    ),
    "of HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\nx",
        False,
        (200, b"OK", [(b"content-length", b"1"), (b"connection", b"keep-alive")], b"x", False),
    ),
    "a length beside chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        False,
        (200, b"OK", [(b"content-length", b"9"), (b"transfer-encoding", b"chunked")], b"x", False),
    ),
    "folded": (
        b"HTTP/1.1 200 OK\r\nA: x \r\n\ty\t\r\n   z\r\n \r\nB:\r\n  b \r\ncontent-length: 5\r\n\r\n1\r\n 2",
        False,
        (200, b"OK", [(b"A", b"x y z"), (b"B", b"b"), (b"content-length", b"5")], b"1\r\n 2", True),
    ),
    "folded, after a folded informational one": (
        b"HTTP/1.1 103 Early\r\nLink: a\r\n b\r\n\r\nHTTP/1.1 200 Fine\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nT: folded\r\n too\r\n\r\n",
        False,
        (200, b"Fine", [(b"Transfer-Encoding", b"chunked")], b"x", True),
    ),
    "a length said twice": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\ncontent-length: 3\r\n\r\nabc",
        False,
        (200, b"OK", [(b"X", b"y"), (b"Content-Length", b"3")], b"abc", True),
    ),
    "a list of lengths, folded": (
        b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 3 ,\r\n\t3,3\r\n\r\nabc",
        False,
        (200, b"OK", [(b"X", b"y"), (b"Content-Length", b"3")], b"abc", True),
    ),
    "more than asked for": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny",
        False,
        (200, b"OK", [(b"content-length", b"1")], b"x", False),
    ),
    "rubbish after its end": (
        CHUNKED + b"1\r\nx\r\n0\r\n\r\nrubbish",
        False,
        (200, b"OK", [(b"Transfer-Encoding", b"chunked")], b"x", False),
    ),
}
valid = pytest.mark.parametrize(("data", "eof", "expected"), VALID.values(), ids=list(VALID))


@valid
def test_a_response_is_read(data: bytes, eof: bool, expected: Outcome) -> None:
    assert outcome(read([data], eof=eof)) == expected
    assert outcome(read((data[i : i + 1] for i in range(len(data))), eof=eof)) == expected


@given(st.sampled_from(list(VALID.values())), st.lists(st.integers(0, 300), max_size=12))
def test_however_it_is_cut(response: tuple[bytes, bool, Outcome], cuts: list[int]) -> None:
    data, eof, expected = response
    edges = [0, *sorted(cuts), len(data)]
    reader = read((data[a:b] for a, b in pairwise(edges) if data[a:b]), eof=eof)
    assert outcome(reader) == expected


@valid
def test_a_response_that_is_cut_off_is_not_a_whole_one(data: bytes, eof: bool, expected: Outcome) -> None:
    length = len(data.partition(b"rubbish")[0])
    if data.count(b"200 OK") == 2:
        length = data.rindex(b"HTTP")
    head = data.index(b"\r\n\r\n", data.rindex(b"HTTP", 0, length)) + 4
    for end in range(length):
        if eof and end >= head:
            continue  # nothing tells
        with pytest.raises(httpx2.RemoteProtocolError, match="closed the connection"):
            read([data[:end]] if end else [], eof=True)


@given(
    st.sampled_from([data for data, _, _ in VALID.values()]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.binary(max_size=6)), min_size=1, max_size=4),
    st.integers(1, 50),
)
def test_whatever_comes_is_a_response_or_an_error(
    data: bytes, changes: list[tuple[int, int, bytes]], step: int
) -> None:
    for position, removed, added in changes:
        data = data[:position] + added + data[position + removed :]
    error = ""
    reader = ResponseReader("POST")
    try:
        for position in range(0, len(data), step):
            reader.receive(data[position : position + step])
        reader.receive_eof()
    except httpx2.RemoteProtocolError as exc:
        error = str(exc)
    assert reader.complete is not bool(error)
    assert len(error.splitlines()) <= 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not valid HTTP"),
        (b"HTTP/1.1 OK\r\n\r\n", "not valid HTTP"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "HTTP/2.0"),
        (b"HTTP/1.1 099 Low\r\n\r\n", "status is 99"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "status is 101"),
        (b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\n folded: before any header\r\ncontent-length: 0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nfolded: x\r\n \0y\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nfolded: x\r\n y\r\nbad header: x\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n : y\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\nx: y\r\ncontent-length: 2\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1,\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1, -1\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n 1\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n", "Transfer-Encoding"),
        (CHUNKED + b"xyz\r\n", "not valid HTTP"),
        (CHUNKED + b"-1\r\n", "not valid HTTP"),
        (CHUNKED + b"fffffffffffffffffff\r\n", "not valid HTTP"),
        (CHUNKED + b"1\r\nabc\r\n", "not valid HTTP"),
    ],
)
def test_what_is_not_a_response(data: bytes, problem: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match=problem):
        read([data])
    with pytest.raises(httpx2.RemoteProtocolError, match=problem):
        read(data[i : i + 1] for i in range(len(data)))


def test_a_reader_that_has_received_nothing() -> None:
    reader = ResponseReader("GET")
    assert (reader.version, reader.status, reader.reason, reader.headers) == (b"1.1", 0, b"", [])
    assert not any((reader.started, reader.has_head, reader.complete, reader.reusable))
    assert reader.take() == b""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "without a response"),
        (b"HTTP/1.1 200 OK\r\n", "within its response's head"),
        (b"HTTP/1.1 103 Early\r\n\r\n", "within its response's head"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nx", "early: the response's body is cut off"),
    ],
)
def test_where_the_server_closed_the_connection(data: bytes, problem: str) -> None:
    reader = read([data] if data else [])
    with pytest.raises(httpx2.RemoteProtocolError, match=f"closed the connection {problem}"):
        reader.receive_eof()
    reader.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")  # is ignored
    assert not reader.complete
    assert not reader.reusable


def test_what_came_before_an_error_is_kept() -> None:
    reader = ResponseReader("GET")
    with pytest.raises(httpx2.RemoteProtocolError):
        reader.receive(CHUNKED + b"3\r\nabc\r\nrubbish")
    assert reader.take() == b"abc"


@pytest.mark.parametrize("method", ["HEAD", "CONNECT"])
def test_methods_without_a_body(method: str) -> None:
    reader = read([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"], method=method)
    assert outcome(reader) == (200, b"OK", [(b"content-length", b"9")], b"", False)


@pytest.mark.parametrize(
    ("opening", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: yyyyyyyyyyyyyyyy\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 50),
        (b"HTTP/1.1 200 ", b"OK" * 50),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: y", b"\r\n y"),
        (b"HTTP/1.1 200 OK\r\nx: y\r\n ", b" " * 50),
        (b"HTTP/1.1 200 OK\r\n", b"content-length: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1", b",1"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nx: y\r\n y\r\n\r\n"),
        (CHUNKED + b"0\r\n", b"trailer: x\r\n"),
        (CHUNKED + b"0\r\ntrailer: x", b"\r\n x"),
        (CHUNKED + b"0\r\ntrailer: ", b"x" * 50),
        (CHUNKED + b"5;", b"x" * 50),
    ],
)
@pytest.mark.parametrize("at_once", [1, 300])
def test_a_server_cannot_fill_the_memory(opening: bytes, endless: bytes, at_once: int) -> None:
    reader = ResponseReader("GET")
    reader.receive(opening + b"")
    with pytest.raises(httpx2.RemoteProtocolError, match="65536 bytes"):
        for _ in range(2 * MAX_HEAD // len(endless) + 2):
            reader.receive(endless * at_once)


def test_a_large_head_that_comes_at_once_is_refused_too() -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match="65536 bytes"):
        read([b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD + b"\r\ncontent-length: 1\r\n\r\nx"])


def test_headers_of_the_largest_size_are_read() -> None:
    def response(size: int) -> bytes:
        value = b"y" * (size - len(b"x" + b"content-length" + b"1"))
        return b"HTTP/1.1 200 OK\r\nx: " + value + b"\r\ncontent-length: 1\r\n\r\nz"

    assert read([response(MAX_HEAD)]).take() == b"z"
    with pytest.raises(httpx2.RemoteProtocolError, match="65536 bytes"):
        read([response(MAX_HEAD + 1)])


def test_as_many_bytes_as_are_allowed_may_come_without_a_body() -> None:
    opening = b"HTTP/1.1 200 OK\r\nx: "
    reader = read([opening + b"y" * (MAX_HEAD - len(opening))])
    with pytest.raises(httpx2.RemoteProtocolError, match="65536 bytes"):
        reader.receive(b"y")
    reader.receive(b"y")  # what follows an error is ignored
    assert not reader.complete


def test_a_long_body_may_come_in_small_chunks() -> None:
    reader = ResponseReader("GET")
    reader.receive(CHUNKED)
    for _ in range(MAX_HEAD):
        reader.receive(b"1;x\r\n")
        reader.receive(b"y\r\n")
        assert reader.take() == b"y"


def test_a_reader_is_freed_at_its_end() -> None:
    gc.disable()
    try:
        whole = VALID["fixed"][0]
        for data, eof in ((whole, False), (whole[:-1], True), (b"rubbish", False)):
            reader = ResponseReader("GET")
            with suppress(httpx2.RemoteProtocolError):
                reader.receive(data)
                if eof:
                    reader.receive_eof()
            known = weakref.ref(reader)
            del reader
            assert known() is None
    finally:
        gc.enable()
