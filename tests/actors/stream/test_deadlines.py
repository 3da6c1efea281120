"""Deadlines: each stage has its own, and a stream that passes one ends with its name, or is tried again."""

import math
from typing import Any

import anyio
import attrs
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import DeadlineExceeded, Deadlines, RetryPolicy, StreamRequest
from manystream.actors.stream.due import next_due
from manystream.actors.stream.lifecycle import State
from manystream.actors.stream.result import DEADLINE_ERRORS
from manystream.actors.stream.stopwatch import Stopwatch
from manystream.engine.simulator import Fail, Simulator, Stall


def all_deadlines() -> Deadlines:
    return Deadlines(queued=1, connect=2, silence=10, first_event=20, first_content=30, idle=40, total=1000)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("state", "moments", "due"),
    [
        (State.QUEUED, {}, (101, "queued")),
        (State.QUEUED, {"queued": 100.5}, (1100, "total")),
        (State.CONNECTING, {"queued": 100, "sent": 100}, (110, "silence")),
        (State.STREAMING, {"queued": 100, "sent": 100, "connected": 105}, (115, "silence")),
        (State.STREAMING, {"queued": 100, "sent": 100, "last_byte": 115}, (120, "first_event")),
        (State.STREAMING, {"queued": 100, "sent": 100, "last_byte": 125, "first_event": 119}, (130, "first_content")),
        (State.BACKOFF, {"queued": 100, "sent": 100, "last_byte": 125}, (1100, "total")),
    ],
)
def test_which_deadline_is_next(state: State, moments: dict[str, Any], due: tuple[float, str]) -> None:
    watch = Stopwatch(Clock())
    for name, moment in moments.items():
        setattr(watch, name, moment)
    assert next_due(all_deadlines(), state, watch) == due


def test_a_ping_proves_life_but_not_progress() -> None:
    watch = Stopwatch(Clock())
    watch.queued = watch.sent = watch.connected = watch.first_event = 100
    watch.content(100, 1)
    deadlines = attrs.evolve(all_deadlines(), silence=60)
    for ping in (110, 120, 130):
        watch.last_byte = ping
        assert next_due(deadlines, State.STREAMING, watch) == (140, "idle")


def test_the_clock_stands_still_while_a_consumer_holds_the_stream_back() -> None:
    watch = Stopwatch(Clock())
    watch.queued = watch.sent = watch.first_event = watch.last_byte = 100
    watch.content(100, 1)
    watch.paused = True
    assert next_due(all_deadlines(), State.STREAMING, watch) == (1100, "total")
    watch.paused, watch.resumed = False, 500
    assert next_due(all_deadlines(), State.STREAMING, watch) == (510, "silence")


def test_a_deadline_is_a_positive_number_or_none() -> None:
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match="the deadline idle is a number of seconds above 0"):
            Deadlines(idle=wrong)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every stream here runs on virtual time."""
    return virtual_backends()[request.param]


OFF = Deadlines(silence=None)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "stall", "when"),
    [
        ("silence", Stall("nothing"), 60),
        ("silence", Stall(2), 60),
        ("first_event", Stall("head"), 60),
        ("first_content", Stall(0, pings=7), 60),
        ("idle", Stall(2, pings=7), 60),
        ("total", Stall("nothing"), 60),
        ("total", Stall(2, pings=7), 60),
    ],
)
async def test_a_stream_that_passes_a_deadline_fails_by_its_name(name: str, stall: Stall, when: float) -> None:
    simulator = Simulator()
    simulator.script([stall, "whole"])
    async with engine_in_memory(simulator, retry=RetryPolicy(max_attempts=1)) as engine:
        began = anyio.current_time()
        request = StreamRequest("hi", deadlines=attrs.evolve(OFF, **{name: when}))
        with pytest.raises(DeadlineExceeded) as caught:
            async with engine.stream(request) as stream:
                async for _ in stream:
                    pass
        assert 0 <= anyio.current_time() - began - when <= 0.05
        assert type(caught.value) is DEADLINE_ERRORS[name]
        assert caught.value.deadline == name
        result = caught.value.result
        assert (result.state, result.error and result.error.deadline) == ("failed", name)
        assert bool(result.text) == (stall.after == 2)
        assert simulator.requests[0].outcome == "disconnected"
        async with engine.stream("and another") as stream:
            assert "".join([text async for text in stream.text_stream]) == "whole"


@pytest.mark.anyio
async def test_pings_keep_the_line_alive_and_do_not_count_as_progress() -> None:
    simulator = Simulator()
    simulator.script([Stall(2, pings=50)])
    async with engine_in_memory(simulator, retry=RetryPolicy(max_attempts=1)) as engine:
        began = anyio.current_time()
        result = await engine.submit(StreamRequest("hi", deadlines=Deadlines(silence=60, idle=1000))).wait()
        assert result.error is not None
        assert result.error.deadline == "idle"
        assert 1000 <= anyio.current_time() - began <= 1000.05


@pytest.mark.anyio
async def test_a_silent_line_fails_after_two_minutes_by_default() -> None:
    simulator = Simulator()
    simulator.script([Stall(2)])
    async with engine_in_memory(simulator) as engine:
        began = anyio.current_time()
        result = await engine.submit("hi").wait()
        assert result.error is not None
        assert result.error.deadline == "silence"
        assert 120 <= anyio.current_time() - began <= 120.05


@pytest.mark.anyio
async def test_one_that_waits_too_long_for_its_slot_fails() -> None:
    simulator = Simulator()
    simulator.script([Stall(1)])
    async with engine_in_memory(simulator, max_concurrency=1) as engine, engine.stream("first"):
        began = anyio.current_time()
        result = await engine.submit(StreamRequest("second", deadlines=Deadlines(queued=5))).wait()
        assert (result.state, result.error and result.error.deadline) == ("failed", "queued")
        assert 5 <= anyio.current_time() - began <= 5.05
    assert len(simulator.requests) == 1


@pytest.mark.anyio
async def test_before_content_a_deadline_is_retried() -> None:
    simulator = Simulator()
    simulator.script([Stall("nothing"), Stall("head"), "third"])
    async with engine_in_memory(simulator) as engine:
        result = await engine.submit(StreamRequest("hi", deadlines=Deadlines(first_content=10))).wait()
        assert (result.state, result.text) == ("complete", "third")
        errors = [attempt.error.deadline if attempt.error else None for attempt in result.attempts]
        assert errors == ["first_content", "first_content", None]
        assert result.timings.end > 20
        assert engine.stats().running == 0


@pytest.mark.anyio
async def test_the_total_counts_what_waits_between_attempts() -> None:
    simulator = Simulator()
    simulator.script([Fail(529, headers={"retry-after": "50"})] * 3)
    async with engine_in_memory(simulator) as engine:
        began = anyio.current_time()
        result = await engine.submit(StreamRequest("hi", deadlines=Deadlines(total=70))).wait()
        assert (result.state, result.error and result.error.deadline) == ("failed", "total")
        assert 70 <= anyio.current_time() - began <= 70.05
        assert len(simulator.requests) == 2
