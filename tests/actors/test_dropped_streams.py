"""What a service bills that bills a dropped stream in full, as Amazon Bedrock does: estimated by answers like it."""

from __future__ import annotations

import anyio
import pytest
from tests.support.reference.streams import delta, event, last, message, start, text
from tests.support.stage import Stage, settle, task_group

from manystream import RetryPolicy, StreamResult

pytestmark = pytest.mark.anyio

EXPECTED = 700.4
BEGUN = start(usage={"input_tokens": 20, "output_tokens": 1}) + event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


def some(words: str) -> bytes:
    return delta(0, "text_delta", text=words)


async def ended(*pieces: bytes, cancel: bool = False, expected: float | None = EXPECTED) -> StreamResult:
    once = RetryPolicy(max_attempts=1)
    stage = Stage(retry=once, bills_dropped=None if expected is None else lambda: expected)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        await settle()
        for piece in pieces:
            stage.write(piece)
            await settle()
        if cancel:
            stage.handle.cancel()
        else:
            stage.end()
        with anyio.fail_after(5):
            return await stage.handle.wait()


async def test_what_was_dropped_is_billed_as_a_whole_answer() -> None:
    for cancel in (True, False):
        result = await ended(BEGUN, some("x" * 400), cancel=cancel)
        assert result.state == ("cancelled" if cancel else "truncated")
        assert (result.billed.output_tokens, result.billed.input_tokens) == (700, 20)
        assert result.usage.output_tokens == 1  # the API's own word stays what it was


async def test_more_than_expected_is_counted_as_it_came() -> None:
    result = await ended(BEGUN, some("x" * 4_000), cancel=True)
    assert result.billed.output_tokens == 1_000


async def test_elsewhere_what_came_is_billed() -> None:
    result = await ended(BEGUN, some("x" * 400), cancel=True, expected=None)
    assert result.billed.output_tokens == 100


async def test_what_the_service_broke_off_or_ended_is_not_dropped() -> None:
    result = await ended(BEGUN, some("x" * 400), OVERLOADED)
    assert (result.state, result.billed.output_tokens) == ("failed", 100)
    result = await ended(message(text(0, "x" * 400)))
    assert (result.state, result.billed) == ("complete", result.usage)
    result = await ended(BEGUN, some("x"), event("content_block_stop", index=0), last(), cancel=True)
    assert result.state == "complete"


async def test_what_never_began_costs_nothing() -> None:
    result = await ended(cancel=True)
    assert result.billed.output_tokens == 0
