"""Framing: any chunking of the same bytes gives the same frames."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reference.streams import STREAMS

from manystream.actors.wire.framing import Frame, SSEFramer


def frames_of(chunks: list[bytes], *, limit: int = 1 << 20) -> tuple[list[Frame], str | None]:
    framer = SSEFramer(max_event_size=limit)
    frames: list[Frame] = []
    for chunk in chunks:
        frames += framer.feed(chunk)
        if framer.failure is not None:
            return frames, str(framer.failure)
    return frames + framer.close(), None


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[begin:end] for begin, end in pairwise(edges)]


# Line ends, fields, comments, marks and cut characters, thrown together at random: most of it is no stream at all.
FRAGMENTS = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data",
    b"data:",
    b"data: ",
    b"event: x",
    b":",
    b" ",
    b"{}",
    b"\xef\xbb\xbf",
]
noise = st.lists(st.sampled_from([*FRAGMENTS, "é🌊".encode(), "é🌊".encode()[:3]])).map(b"".join)
bodies = noise | st.sampled_from([stream.body for stream in STREAMS.values()])


@given(bodies, st.lists(st.integers(0, 1 << 30), max_size=30), st.sampled_from([12, 40, 1 << 20]))
def test_any_chunking_gives_the_same_frames(body: bytes, places: list[int], limit: int) -> None:
    chunks = cut(body, places)
    assert frames_of(chunks, limit=limit) == frames_of([body], limit=limit)


@given(noise)
def test_bytes_one_by_one(body: bytes) -> None:
    assert frames_of([body[i : i + 1] for i in range(len(body))]) == frames_of([body])


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_the_rules_of_an_event(end: bytes) -> None:
    lines = [
        b": comment",
        b"id: 7",
        b"event:one",
        b"data: a",
        b"data:b",
        b"retry: 3",
        b"",
        b"event: empty",
        b"",
        b"data: c",
    ]
    frames, failure = frames_of([b"\xef\xbb\xbf" + end.join([*lines, b"", b""])])
    assert failure is None
    assert [(frame.event, frame.data) for frame in frames] == [(b"one", b"a\nb"), (b"", b"c")]
    assert frames[0].offset == 3


def test_offsets_are_where_events_begin() -> None:
    body = b"event: a\ndata: 1\n\n\n\nevent: b\ndata: 2\n\n:c\n\ndata: 3\n\n"
    assert [frame.offset for frame in frames_of([body])[0]] == [0, body.index(b"event: b"), body.index(b"data: 3")]


def test_a_last_event_without_its_blank_line_counts() -> None:
    for body in (b"data: 1\n\ndata: 2", b"data: 1\n\ndata: 2\n", b"data: 1\r\n\r\ndata: 2\r"):
        assert [frame.data for frame in frames_of([body])[0]] == [b"1", b"2"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_beyond_the_limit_is_refused(end: bytes) -> None:
    body = b"data: 1" + end + end + b"data: " + b"x" * 100
    frames, failure = frames_of([body], limit=50)
    assert [frame.data for frame in frames] == [b"1"]
    assert failure == f"the event at byte {7 + 2 * len(end)} is larger than 50 bytes, the limit for one event"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1 << 20, 1 << 14])
def test_the_work_is_linear(end: bytes, size: int) -> None:
    """30 MB in one event, and in many, cut into small chunks: quadratic work would take hours."""
    line = b"data: " + b"x" * size + end
    began = time.process_time()
    framer = SSEFramer()
    for _ in range(30 * (1 << 20) // size):
        for place in range(0, len(line), 1000):
            framer.feed(line[place : place + 1000])
    many = (b"data: y" + end + end) * 200_000
    assert len(framer.feed(end + many)) > 100_000
    assert time.process_time() - began < 20


def test_an_event_without_data_among_others_in_one_chunk_is_dropped() -> None:
    chunk = b"event: a\ndata: 1\n\nevent: ping\n\nevent: b\ndata: 2\n\n"
    assert [(frame.event, frame.data) for frame in SSEFramer().feed(chunk)] == [(b"a", b"1"), (b"b", b"2")]
