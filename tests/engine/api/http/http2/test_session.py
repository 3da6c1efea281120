"""HTTP/2's session as plain bytes: what a server may send, in any pieces, and what comes of it. No event loop."""

import struct
from collections.abc import Callable
from itertools import pairwise

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.http2_server import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    frame,
    goaway,
    reset,
    window,
)
from tests.support.http2_server import settings as settings_frame

from manystream.engine.api.http.http2.fields import request_fields
from manystream.engine.api.http.http2.incoming import WINDOW, Incoming
from manystream.engine.api.http.http2.session import MOST_BARE, MOST_STREAMS, Session

FIELDS = request_fields("POST", b"https", b"/v1/messages", [(b"Host", b"api.example"), (b"x-api-key", b"SECRET")])
PADDED = 8


def frames_in(data: bytes) -> list[Frame]:
    data = data.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    found: list[Frame] = []
    while data:
        length = int.from_bytes(data[:3], "big")
        found.append(Frame(data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length]))
        data = data[9 + length :]
    return found


class Line:
    """A session, its server's compression and the time."""

    def __init__(self, **greeting: int) -> None:
        self.now = 0.0
        self.session = Session(self.now)
        self.encoder = hpack.Encoder()
        self.sent = frames_in(self.session.data_to_send())
        self.receive(settings_frame(**greeting))

    def receive(self, *frames: bytes) -> list[Incoming]:
        touched = self.session.receive(b"".join(frames), self.now)
        self.sent += frames_in(self.session.data_to_send())
        return touched

    def open(self, method: str = "POST", *, end: bool = True) -> Incoming:
        stream = Incoming(method)
        self.session.open(stream, FIELDS, end=end)
        self.sent += frames_in(self.session.data_to_send())
        return stream

    def leave(self, stream: Incoming) -> None:
        self.session.leave(stream, self.now)
        self.sent += frames_in(self.session.data_to_send())

    def take(self, stream: Incoming) -> bytes:
        data = stream.take()
        self.session.credit(stream)
        self.sent += frames_in(self.session.data_to_send())
        return data

    def tick(self) -> float | None:
        seconds = self.session.tick(self.now, 15)
        self.sent += frames_in(self.session.data_to_send())
        return seconds

    def head(self, stream: Incoming, *fields: tuple[str, str], status: str = "200", flags: int = END_HEADERS) -> bytes:
        return frame(HEADERS, flags, stream.id, self.encoder.encode([(":status", status), *fields]))

    def kinds(self) -> list[int]:
        return [found.kind for found in self.sent]

    def credits(self, number: int) -> list[int]:
        updates = [f for f in self.sent if f.kind == WINDOW_UPDATE and f.stream == number]
        return [struct.unpack(">I", f.payload)[0] for f in updates]

    def resets(self) -> list[tuple[int, int]]:
        return [(f.stream, struct.unpack(">I", f.payload)[0]) for f in self.sent if f.kind == RST_STREAM]


def data(stream: Incoming, body: bytes = b"", flags: int = 0) -> bytes:
    return frame(DATA, flags, stream.id, body)


# -- what is right


def test_the_greeting_allows_no_push_and_a_wide_connection() -> None:
    line = Line()
    assert line.kinds()[:3] == [SETTINGS, WINDOW_UPDATE, SETTINGS]
    greeting = dict(struct.iter_unpack(">HI", line.sent[0].payload))
    assert greeting[2] == 0  # ENABLE_PUSH
    assert greeting[6] == 65536  # MAX_HEADER_LIST_SIZE
    assert 3 not in greeting  # MAX_CONCURRENT_STREAMS: a server opens none
    assert struct.unpack(">I", line.sent[1].payload)[0] > MOST_STREAMS * WINDOW
    assert line.sent[2].flags == ACK


def test_credentials_stay_out_of_the_compression_s_table() -> None:
    line = Line()
    line.open()
    block = next(found.payload for found in line.sent if found.kind == HEADERS)
    fields = hpack.Decoder().decode(block, raw=True)
    key = next(field for field in fields if field[0] == b"x-api-key")
    assert isinstance(key, hpack.NeverIndexedHeaderTuple)
    assert not isinstance(next(field for field in fields if field[0] == b":path"), hpack.NeverIndexedHeaderTuple)


def test_the_fields_of_a_request() -> None:
    headers = [
        (b"Host", b"h:1"),
        (b"Connection", b"keep-alive, X-Mine"),
        (b"X-Mine", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"TE", b"gzip"),
        (b"Accept", b"*/*"),
        (b"Content-Length", b"5"),
    ]
    assert request_fields("GET", b"https", b"/a?b", headers) == [
        (b":method", b"GET"),
        (b":authority", b"h:1"),
        (b":scheme", b"https"),
        (b":path", b"/a?b"),
        (b"accept", b"*/*"),
        (b"content-length", b"5"),
    ]


WHOLE: dict[str, Callable[[Line, Incoming], list[bytes]]] = {
    "plain": lambda line, s: [line.head(s), data(s, b"abc"), data(s, b"def", END_STREAM)],
    "end by an empty frame": lambda line, s: [line.head(s), data(s, b"abcdef"), data(s, b"", END_STREAM)],
    "end by trailers": lambda line, s: [
        line.head(s),
        data(s, b"abcdef"),
        frame(HEADERS, END_HEADERS | END_STREAM, s.id, line.encoder.encode([("x-sum", "1")])),
    ],
    "informational heads": lambda line, s: [
        line.head(s, ("link", "x"), status="103"),
        line.head(s, status="100"),
        line.head(s),
        data(s, b"abcdef", END_STREAM),
    ],
    "padding": lambda line, s: [
        line.head(s),
        data(s, b"\3abc\0\0\0", PADDED),
        data(s, b"\0", PADDED),
        data(s, b"\1def\0", PADDED | END_STREAM),
    ],
    "the right length": lambda line, s: [
        line.head(s, ("content-length", "6")),
        data(s, b"abc"),
        data(s, b"def", END_STREAM),
    ],
    "the right length and trailers": lambda line, s: [
        line.head(s, ("content-length", "6")),
        data(s, b"abcdef"),
        frame(HEADERS, END_HEADERS | END_STREAM, s.id, line.encoder.encode([("x-sum", "1")])),
    ],
    "a head in parts": lambda line, s: (
        lambda block: [
            frame(HEADERS, 0, s.id, block[:3]),
            frame(CONTINUATION, 0, s.id, block[3:9]),
            frame(CONTINUATION, END_HEADERS, s.id, block[9:]),
            data(s, b"abcdef", END_STREAM),
        ]
    )(line.encoder.encode([(":status", "200"), ("a", "b" * 50)], huffman=False)),
    "unknown frames": lambda line, s: [
        frame(0xBB, 3, 0, b"zz"),
        frame(0xBB, 0, s.id, b""),
        line.head(s),
        frame(0xBC, 1, s.id, b"zz"),
        data(s, b"abcdef", END_STREAM),
    ],
    "pings and settings between": lambda line, s: [
        frame(PING, 0, 0, b"12345678"),
        line.head(s),
        settings_frame(_3=50),
        data(s, b"abcdef", END_STREAM),
    ],
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("cut", [1, 2, 7, 10, 1 << 20])
def test_a_whole_response_however_it_is_cut(name: str, cut: int) -> None:
    line = Line()
    stream = line.open()
    sent = b"".join(WHOLE[name](line, stream))
    for at in range(0, len(sent), cut):
        line.receive(sent[at : at + cut])
    assert (line.session.failure, stream.failure) == (None, None)
    assert (stream.status, stream.complete, line.take(stream)) == (200, True, b"abcdef")
    assert not line.session.streams
    assert line.resets() == []
    # What h2 believes is right, too: the next stream opens and ends.
    again = line.open()
    line.receive(line.head(again), data(again, b"x", END_STREAM), frame(PING, 0, 0, b"87654321"))
    assert again.complete
    assert line.sent[-1] == Frame(PING, ACK, 0, b"87654321")


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(1, 40), max_size=60), names=st.lists(st.sampled_from(sorted(WHOLE)), max_size=6))
def test_many_streams_in_any_pieces(cuts: list[int], names: list[str]) -> None:
    line = Line()
    streams = [line.open() for _ in names]
    sent = b"".join(b"".join(WHOLE[name](line, stream)) for name, stream in zip(names, streams, strict=True))
    for cut in [*cuts, len(sent)]:
        line.receive(sent[:cut])
        sent = sent[cut:]
    assert line.session.failure is None
    assert [(stream.complete, stream.take()) for stream in streams] == [(True, b"abcdef")] * len(names)


@settings(max_examples=150)
@given(where=st.integers(0, 400), bit=st.integers(0, 7), names=st.lists(st.sampled_from(sorted(WHOLE)), min_size=1))
def test_no_flipped_bit_raises(where: int, bit: int, names: list[str]) -> None:
    line = Line()
    streams = [line.open() for _ in names[:3]]
    sent = bytearray(b"".join(b"".join(WHOLE[name](line, s)) for name, s in zip(names, streams, strict=False)))
    sent[where % len(sent)] ^= 1 << bit
    line.receive(bytes(sent))
    if line.session.failure is not None:
        assert not line.session.streams
        assert all(stream.complete or stream.failure is not None for stream in streams)


def test_a_response_without_a_body() -> None:
    line = Line()
    for status, method, fields in (("204", "POST", ()), ("200", "HEAD", (("content-length", "9"),))):
        stream = line.open(method)
        line.receive(line.head(stream, *fields, status=status, flags=END_HEADERS | END_STREAM))
        assert stream.complete
        assert not stream.pieces
    assert line.resets() == []


def test_frames_of_one_read_are_told_once() -> None:
    line = Line()
    one, other = line.open(), line.open()
    line.receive(line.head(one), line.head(other))
    touched = line.receive(*(data(stream, b"x") for _ in range(50) for stream in (one, other)))
    assert touched == [one, other]
    assert line.take(one) == b"x" * 50


# -- what ends the connection

BROKEN: dict[str, tuple[Callable[[Line, Incoming], list[bytes]], str]] = {
    "continuation of nothing": (lambda line, s: [frame(CONTINUATION, 4, s.id, b"")], ""),
    "data within a head": (lambda line, s: [frame(HEADERS, 0, s.id, b"\x88"), data(s, b"x")], "header block"),
    "goaway within a head": (lambda line, s: [frame(HEADERS, 0, s.id, b"\x88"), goaway(0)], "header block"),
    "continuation flood": (
        lambda line, s: [frame(HEADERS, 0, s.id, b"\x88"), *[frame(CONTINUATION, 0, s.id, b"\0\1a\1b")] * 100],
        "continuation",
    ),
    "hpack bomb": (
        lambda line, s: [
            frame(
                HEADERS,
                END_HEADERS,
                s.id,
                line.encoder.encode([(":status", "200"), ("x", "y" * 4000)], huffman=False) + b"\xbe" * 4000,
            )
        ],
        "",
    ),
    "bad compression": (lambda line, s: [frame(HEADERS, END_HEADERS, s.id, b"\xff" * 6)], ""),
    "oversized frame": (lambda line, s: [line.head(s), data(s, b"x" * 20000)], "20000 bytes"),
    "oversized claim": (lambda line, s: [b"\xff\xff\xff\0\0" + s.id.to_bytes(4, "big")], "16777215 bytes"),
    "data on stream 0": (lambda line, s: [frame(DATA, 0, 0, b"x")], ""),
    "data on a stream that nobody opened": (lambda line, s: [frame(DATA, 0, 99, b"x")], ""),
    "data on a stream of the server": (lambda line, s: [frame(DATA, 0, 2, b"x")], ""),
    "a head on a stream of the server": (lambda line, s: [frame(HEADERS, 4, 2, b"\x88")], ""),
    "push": (lambda line, s: [frame(PUSH_PROMISE, 4, s.id, b"\0\0\0\2\x82\x84\x86\x41\1x")], "push"),
    "reset of stream 0": (lambda line, s: [reset(0, 0)], ""),
    "reset of a stream that nobody opened": (lambda line, s: [reset(99, 0)], ""),
    "settings on a stream": (lambda line, s: [frame(SETTINGS, 0, s.id, b"")], ""),
    "settings of a bad size": (lambda line, s: [frame(SETTINGS, 0, 0, b"xxx")], ""),
    "settings with a bad value": (lambda line, s: [settings_frame(_5=100)], ""),
    "a ping of a bad size": (lambda line, s: [frame(PING, 0, 0, b"xxx")], ""),
    "goaway on a stream": (lambda line, s: [frame(GOAWAY, 0, s.id, b"\0" * 8)], "GOAWAY"),
    "goaway of a bad size": (lambda line, s: [frame(GOAWAY, 0, 0, b"\0" * 7)], "GOAWAY"),
    "too much padding": (lambda line, s: [line.head(s), data(s, b"\x05abc", PADDED)], "padding"),
    "padding without a length": (lambda line, s: [line.head(s), data(s, b"", PADDED)], "padding"),
    "window of nothing": (lambda line, s: [window(0, 0)], ""),
    "window too wide": (lambda line, s: [window(0, 0x7FFFFFFF)], ""),
    "window overrun": (lambda line, s: [line.head(s), *[data(s, b"x" * 16384)] * 4], "more than was allowed"),
    "window overrun by padding": (
        lambda line, s: [line.head(s), *[data(s, b"x" * 16384)] * 3, data(s, b"\xff" + b"x" * 16383, PADDED)],
        "more than was allowed",
    ),
    "settings flood": (lambda line, s: [settings_frame(_3=100)] * 1100, "flood"),
    "settings acknowledged again and again": (lambda line, s: [frame(SETTINGS, ACK, 0)] * 1100, "flood"),
    "ping flood": (lambda line, s: [frame(PING, 0, 0, b"12345678")] * 1100, "flood"),
    "flood of empty data": (lambda line, s: [line.head(s), *[data(s)] * 1100], "flood"),
    "flood of padding": (lambda line, s: [line.head(s), *[data(s, b"\0", PADDED)] * 1100], "flood"),
    "flood of unknown frames": (lambda line, s: [frame(0xBB, 0, 0, b"")] * 1100, "flood"),
    "flood of windows": (lambda line, s: [window(s.id, 1)] * 1100, "flood"),
    "flood of goaway": (lambda line, s: [goaway(99)] * 1100, "flood"),
    "flood of informational heads": (lambda line, s: [line.head(s, status="103") for _ in range(1100)], "flood"),
    "text of HTTP/1.1": (lambda line, s: [b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"], "bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_server_that_breaks_the_protocol_ends_its_streams_and_is_told(name: str) -> None:
    send, words = BROKEN[name]
    line = Line()
    stream, sibling = line.open(), line.open()
    touched = line.receive(*send(line, stream))
    assert line.session.failure is not None
    assert line.session.failure.reason == "protocol"
    assert line.session.protocol_broken
    assert line.session.failure.words.startswith("the server broke HTTP/2: ")
    assert words in line.session.failure.words
    assert stream.failure == sibling.failure == line.session.failure
    assert set(touched) >= {stream, sibling}
    assert line.kinds()[-1] == GOAWAY or name in ("bad compression", "hpack bomb")
    assert not line.session.has_room
    assert line.receive(line.head(sibling)) == []


# -- what ends one stream

STREAM_BROKEN: dict[str, tuple[Callable[[Line, Incoming], list[bytes]], str]] = {
    "body before its head": (lambda line, s: [data(s, b"x")], "before the head"),
    "a name in capitals": (lambda line, s: [line.head(s, ("X-Up", "1"))], "X-Up"),
    "a name with a space": (lambda line, s: [line.head(s, ("a b", "1"))], "a b"),
    "a value with a line end": (lambda line, s: [line.head(s, ("a", "1\r\nb: 2"))], "'a'"),
    "no status": (lambda line, s: [frame(HEADERS, 4, s.id, line.encoder.encode([("a", "1")]))], "status"),
    "a status that is no number": (lambda line, s: [line.head(s, status="ok!")], "status"),
    "a late status": (
        lambda line, s: [frame(HEADERS, 4, s.id, line.encoder.encode([("a", "1"), (":status", "200")]))],
        ":status",
    ),
    "two of them": (lambda line, s: [line.head(s, (":status", "201"))], ":status"),
    "shorter than its length": (
        lambda line, s: [line.head(s, ("content-length", "7")), data(s, b"abc", END_STREAM)],
        "Content-Length",
    ),
    "longer than its length": (
        lambda line, s: [line.head(s, ("content-length", "2")), data(s, b"abc", END_STREAM)],
        "Content-Length",
    ),
    "nothing, with a length": (
        lambda line, s: [line.head(s, ("content-length", "2"), flags=END_HEADERS | END_STREAM)],
        "Content-Length",
    ),
    "trailers before the length": (
        lambda line, s: [
            line.head(s, ("content-length", "7")),
            data(s, b"abc"),
            frame(HEADERS, END_HEADERS | END_STREAM, s.id, line.encoder.encode([("x-sum", "1")])),
        ],
        "Content-Length",
    ),
}


@pytest.mark.parametrize("name", STREAM_BROKEN)
def test_a_response_that_cannot_be_read_ends_alone(name: str) -> None:
    send, words = STREAM_BROKEN[name]
    line = Line()
    stream, sibling = line.open(), line.open()
    assert stream in line.receive(*send(line, stream))
    assert stream.failure is not None
    assert stream.failure.reason == "protocol"
    assert words in stream.failure.words
    assert line.resets() == [(stream.id, 1)]
    line.receive(data(stream, b"late"), line.head(sibling), data(sibling, b"ok", END_STREAM))
    assert sibling.complete
    assert line.session.failure is None
    assert line.resets() == [(stream.id, 1)]


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (7, "refused", "refused"),
        (13, "http1", "HTTP/1.1"),
        (2, "protocol", "INTERNAL_ERROR"),
        (8, "protocol", "CANCEL"),
        (0, "protocol", "NO_ERROR"),
        (11, "protocol", "ENHANCE_YOUR_CALM"),
        (4711, "protocol", "error 4711"),
    ],
)
@pytest.mark.parametrize("headed", [False, True])
def test_a_stream_that_the_server_resets(code: int, reason: str, words: str, headed: bool) -> None:
    line = Line()
    stream, sibling = line.open(), line.open()
    line.receive(*([line.head(stream), data(stream, b"x")] if headed else []), reset(stream.id, code))
    assert stream.failure is not None
    assert (stream.failure.reason, words in stream.failure.words) == (reason, True)
    assert sibling.failure is None
    assert line.session.wants_http1 is (code == 13)
    assert line.session.failure is None


def test_a_refusal_lowers_what_is_tried_for_a_while() -> None:
    line = Line(_3=100)
    streams = [line.open() for _ in range(4)]
    line.receive(reset(streams[3].id, 7))
    assert line.session.limit == 3
    assert not line.session.has_room
    line.now = 20.0
    line.tick()
    assert line.session.limit == 100


def test_an_early_answer_is_no_error_though_the_rest_of_the_request_is_not_wanted() -> None:
    line = Line()
    stream = line.open(end=False)
    line.receive(
        line.head(stream, ("content-length", "3"), status="413"), data(stream, b"big", END_STREAM), reset(stream.id, 0)
    )
    assert (stream.status, stream.complete, stream.failure, line.take(stream)) == (413, True, None, b"big")
    line.leave(stream)
    assert line.session.failure is None
    assert not line.session.streams


def test_an_early_answer_without_a_reset_is_reset_by_us() -> None:
    line = Line()
    for fields in ((), (("content-length", "3"),)):
        stream = line.open(end=False)
        line.receive(line.head(stream, *fields, status="413"), data(stream, b"big", END_STREAM))
        assert stream.complete
        line.leave(stream)
        assert line.resets()[-1][0] == stream.id
    assert not line.session.streams


# -- going away


@pytest.mark.parametrize("code", [0, 11])
def test_goaway_ends_what_was_not_looked_at_and_leaves_the_rest(code: int) -> None:
    line = Line()
    old, new = line.open(), line.open()
    line.receive(line.head(old), data(old, b"a"), goaway(old.id, code, b"too_many\0"))
    assert new.failure is not None
    assert new.failure.reason == "unprocessed"
    assert not line.session.has_room
    assert line.session.failure is None
    line.receive(data(old, b"b", END_STREAM))
    assert (old.complete, line.take(old)) == (True, b"ab")
    assert line.resets() == []


def test_goaway_may_come_twice() -> None:
    line = Line()
    one, two = line.open(), line.open()
    line.receive(goaway((1 << 31) - 1))
    assert (one.failure, two.failure, line.session.going_away) == (None, None, True)
    line.receive(goaway(one.id))
    assert one.failure is None
    assert two.failure is not None


def test_goaway_says_why_the_connection_was_closed() -> None:
    line = Line()
    stream = line.open()
    line.receive(goaway(stream.id, 11, b"too_many\x1b"))
    line.session.receive_eof(line.now)
    assert stream.failure is not None
    assert stream.failure.reason == "broken"
    assert "ENHANCE_YOUR_CALM" in stream.failure.words
    assert "too_many" in stream.failure.words
    assert "\x1b" not in stream.failure.words


def test_goaway_may_want_http1() -> None:
    line = Line()
    stream = line.open()
    line.receive(goaway(0, 13))
    assert stream.failure is not None
    assert stream.failure.reason == "http1"
    assert line.session.wants_http1


def test_a_connection_that_ends_ends_its_streams() -> None:
    line = Line()
    stream = line.open()
    assert line.session.receive_eof(0) == [stream]
    assert stream.failure is not None
    assert (stream.failure.reason, stream.failure.words) == ("broken", "the server closed the connection")
    assert line.session.receive_eof(0) == []


# -- limits


def test_the_limit_is_the_lower_of_ours_and_the_server_s_and_lives() -> None:
    line = Line()
    assert line.session.limit == MOST_STREAMS
    for said, limit in ((1000, 100), (7, 7), (0, 0), (1, 1)):
        line.receive(settings_frame(_3=said))
        assert line.session.limit == limit
        assert line.session.has_room is (limit > 0)
    line.open()
    assert not line.session.has_room
    assert line.session.failure is None


def test_nothing_is_opened_before_the_settings_came() -> None:
    assert not Session(0.0).has_room


# -- windows


@pytest.mark.parametrize("parts", [1, 3])
def test_a_head_that_comes_after_a_cancel_is_no_second_reset(parts: int) -> None:
    line = Line()
    left, stays = line.open(), line.open()
    line.leave(left)
    block = line.encoder.encode([(":status", "200"), ("x-known", "from now on")])
    cuts = [len(block) * part // parts for part in range(parts + 1)]
    for part, (begin, end) in enumerate(pairwise(cuts)):
        kind = CONTINUATION if part else HEADERS
        line.receive(frame(kind, END_HEADERS if part == parts - 1 else 0, left.id, block[begin:end]))
    line.receive(line.head(stays, ("x-known", "from now on")), data(left, b"late"))
    assert stays.header(b"x-known") == [b"from now on"]
    assert line.resets() == [(left.id, 8)]


def test_a_window_is_given_back_in_few_frames_and_nothing_is_to_be_sent_before() -> None:
    line = Line()
    stream = line.open()
    line.receive(line.head(stream))
    told: list[tuple[bool, bool]] = []
    for _ in range(6):
        line.receive(data(stream, b"x" * 16000))
        stream.take()
        told.append((line.session.credit(stream), bool(line.session.data_to_send())))
    assert told == [(False, False), (False, False), (True, True)] * 2


def test_what_is_not_taken_is_bounded_and_credited_when_it_is() -> None:
    line = Line()
    stalled, neighbour = line.open(), line.open()
    line.receive(line.head(stalled), line.head(neighbour))
    for _ in range(3):
        line.receive(data(stalled, b"x" * 16384))
    line.receive(data(stalled, b"x" * 16383))
    assert stalled.window == 0
    assert WINDOW_UPDATE not in line.kinds()[3:]
    for _ in range(40):  # the other one flows on
        line.receive(data(neighbour, b"y" * 16384))
        line.take(neighbour)
    assert line.session.failure is None
    assert len(line.take(stalled)) == WINDOW
    assert [struct.unpack(">I", f.payload)[0] for f in line.sent if f.kind == WINDOW_UPDATE and f.stream == 1] == [
        WINDOW
    ]


def test_the_connection_s_window_is_given_back_whatever_becomes_of_the_bytes() -> None:
    line = Line()
    for number in range(400):
        stream = line.open()
        line.receive(line.head(stream), data(stream, b"x" * 16384))
        match number % 4:
            case 0:
                line.take(stream)
                line.receive(data(stream, b"", END_STREAM))
            case 1:
                line.receive(data(stream, b"", END_STREAM))
                line.leave(stream)
            case 2:
                line.receive(reset(stream.id, 2))
            case _:
                line.leave(stream)
                line.receive(data(stream, b"y" * 16384))
        line.now += 1
        assert line.session.failure is None
    assert sum(line.credits(0)[1:]) >= 500 * 16384 - (1 << 20)


def test_late_data_of_a_reset_stream_is_not_answered_and_bounded() -> None:
    line = Line()
    stream, sibling = line.open(), line.open()
    line.receive(line.head(stream), data(stream, b"x"))
    line.leave(stream)
    for _ in range(3):
        line.receive(data(stream, b"x" * 16384))
    assert line.resets() == [(stream.id, 8)]
    assert line.session.failure is None
    line.receive(data(stream, b"x" * 16384))
    assert sibling.failure is not None
    assert "more than was allowed" in sibling.failure.words


def test_a_body_is_sent_as_far_as_the_windows_allow() -> None:
    line = Line(_4=30000)
    stream = line.open(end=False)
    assert line.session.room(stream) == 16384
    line.session.send(stream, b"x" * 16384, end=False)
    assert line.session.room(stream) == 30000 - 16384
    line.session.send(stream, b"x" * (30000 - 16384), end=False)
    assert line.session.room(stream) == 0
    line.receive(window(stream.id, 5))
    assert line.session.unblocked
    assert line.session.room(stream) == 5
    line.session.send(stream, b"x" * 5, end=True)
    assert stream.sent_all


def test_a_body_s_frames_are_short_though_the_server_takes_longer_ones() -> None:
    line = Line(_4=1 << 30, _5=(1 << 24) - 1)
    line.receive(window(0, 1 << 30))
    assert line.session.room(line.open(end=False)) == 16384


def test_a_long_upload_is_no_flood_though_each_frame_is_answered() -> None:
    line = Line(_4=(1 << 31) - 1)
    stream = line.open(end=False)
    line.receive(window(0, 1 << 30))
    for _ in range(3 * MOST_BARE):
        line.session.send(stream, b"x", end=False)
        line.receive(window(0, 1), frame(PING, 0, 0, b"12345678"))
    assert line.session.failure is None


# -- cancelling


def test_a_cancel_is_one_frame() -> None:
    line = Line()
    streams = [line.open() for _ in range(100)]
    for stream in streams[:50]:
        line.leave(stream)
        line.leave(stream)
    assert line.resets() == [(stream.id, 8) for stream in streams[:50]]
    assert list(line.session.streams.values()) == streams[50:]
    assert line.session.has_room


def test_a_connection_on_which_many_were_cancelled_gets_no_new_streams() -> None:
    line = Line()
    sibling = line.open()
    for _ in range(100):
        line.leave(line.open())
    assert line.session.has_room
    line.leave(line.open())
    assert line.session.going_away
    line.receive(line.head(sibling), data(sibling, b"x", END_STREAM))
    assert sibling.complete


def test_cancelling_now_and_then_is_nothing_to_a_server() -> None:
    line = Line()
    for _ in range(1000):
        line.leave(line.open())
        line.now += 0.05
    assert line.session.has_room


# -- time


def test_a_silent_server_is_pinged_and_is_dead_when_it_does_not_answer() -> None:
    line = Line()
    line.open()
    assert line.tick() == 20
    line.now = 20
    assert line.tick() == 10
    assert line.sent[-1].kind == PING
    line.now = 29
    assert line.tick() == 1
    line.now = 30
    assert line.tick() is None


def test_a_server_that_answers_lives() -> None:
    line = Line()
    line.open()
    for _ in range(10):
        line.now += 20
        assert line.tick() == 10
        assert line.sent[-1].kind == PING
        line.now += 9
        line.receive(frame(PING, ACK, 0, line.sent[-1].payload))
        line.now += 1
        assert line.tick() == 19
        line.now -= 1
    assert line.session.failure is None


def test_whatever_comes_proves_life() -> None:
    line = Line()
    stream = line.open()
    line.receive(line.head(stream))
    for _ in range(100):
        line.now += 15
        line.receive(data(stream, b"x"))
        assert line.tick() == 20
    assert PING not in line.kinds()


def test_an_idle_connection_is_dropped_and_is_not_pinged() -> None:
    line = Line()
    stream = line.open()
    line.now = 100
    line.receive(line.head(stream), data(stream, b"x", END_STREAM))
    assert line.tick() == 15
    line.now = 114
    assert line.tick() == 1
    line.now = 115
    assert line.tick() is None
    assert PING not in line.kinds()
