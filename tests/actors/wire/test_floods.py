"""Whoever the server is, a stream's memory is bounded: a flood of what says nothing ends it, or is not kept."""

import pytest
from tests.support.reference.streams import END, begin, delta, event, json_delta, last, raw, start, stop, text_delta
from tests.support.stage import Stage, task_group

from manystream.actors import Lossless, PartEvent, StreamResult, attempt

pytestmark = pytest.mark.anyio

BEGUN = start() + begin(0, "text", text="")
MOST = 2000
FLOOD = 3 * MOST


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_MOST_EVENTS", MOST)
    monkeypatch.setattr(attempt, "_MOST_BYTES", 2**20)


async def told(first: bytes, flood: bytes, rest: bytes = b"") -> tuple[StreamResult, list[PartEvent]]:
    """How a stream with a flood in it ends, and all that its consumers were told."""
    stage = Stage()
    mailbox = stage.handle.subscribe(Lossless(1_000_000))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(first, *(flood[begin : begin + 65536] for begin in range(0, len(flood), 65536)), rest)
        stage.end()
    return stage.handle.result, await mailbox.receive_batch()


@pytest.mark.parametrize(
    "flood",
    [
        raw("novelty", '{"type":"novelty"}') * FLOOD,
        raw("x", "7") * FLOOD,
        event("content_block_stop", index=7) * FLOOD,
        delta(0, "verse_delta", verse="O") * FLOOD,
        b"".join(begin(1 + n, "text", text="") + stop(1 + n) for n in range(FLOOD)),
        b"".join(event("message_delta", delta={}, usage={"output_tokens": n}) for n in range(FLOOD)),
        (text_delta(0, "") + event("message_delta", delta={}, usage={"x": 1})) * FLOOD,
        text_delta(0, "x" * 1000) * FLOOD,
    ],
    ids=["unknown", "no object", "ends of nothing", "unknown deltas", "blocks", "usages", "bytes", "text"],
)
async def test_a_flood_ends_the_stream(flood: bytes) -> None:
    result, events = await told(BEGUN, flood)
    assert result.state == "failed"
    assert result.error is not None
    assert (result.error.type, result.error.retryable) == ("protocol_error", False)
    assert "floods" in result.error.message
    assert len(events) < MOST + 65536 // 18  # what one read brought is taken in whole


@pytest.mark.parametrize(
    ("first", "flood", "rest"),
    [
        (BEGUN, text_delta(0, ""), text_delta(0, "Hi") + stop(0) + last() + END),
        (
            start() + begin(0, "tool_use", id="t", name="f", input={}),
            json_delta(0, ""),
            json_delta(0, "{}") + stop(0) + last(stop_reason="tool_use") + END,
        ),
        (BEGUN, event("ping"), text_delta(0, "Hi") + stop(0) + last() + END),
        (BEGUN, event("ping", more=1), stop(0) + last() + END),
        (BEGUN, event("message_delta", delta={}, usage={"output_tokens": 7}), stop(0) + last() + END),
    ],
    ids=["empty text", "empty arguments", "pings", "pings with more", "the same usage"],
)
async def test_what_says_nothing_is_not_kept(first: bytes, flood: bytes, rest: bytes) -> None:
    result, events = await told(first, flood * FLOOD, rest)
    assert result.state == "complete"
    assert len(events) < 10


async def test_additions_to_a_part_are_joined_once() -> None:
    """Many citations, and deltas of unknown kinds, take linear time: the part is made anew when it is asked for."""
    added = delta(0, "citations_delta", citation={"type": "char_location"}) + delta(0, "verse_delta", verse="O")
    result, _ = await told(BEGUN, added * 900, stop(0) + last() + END)
    (part,) = result.parts
    assert part.part_kind == "text"
    assert (len(part.citations), len(part.unknown_deltas)) == (900, 900)
