"""A service that asks to wait for longer than a request would: a run waits, and says until when. On virtual time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import RetryPolicy, StreamRequest
from manystream.engine.cli.view import plain_line
from manystream.engine.runs import open_run
from manystream.engine.runs.rates import Rates
from manystream.engine.simulator import Fail, Simulator

pytestmark = pytest.mark.anyio

HOUR = Fail(429, headers={"retry-after": "3600"})


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


def prompts(count: int) -> list[StreamRequest]:
    return [StreamRequest(f"prompt {number}", custom_id=str(number)) for number in range(count)]


async def test_a_run_waits_as_long_as_it_is_asked_to(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script([Fail(429, headers={"retry-after": "90"})])
    said: list[str] = []
    states: list[str] = []
    began = anyio.current_time()
    async with (
        engine_in_memory(simulator, max_concurrency=2, retry=RetryPolicy(longest_wait=5)) as engine,
        open_run(engine, prompts(4), tmp_path / "out.jsonl") as run,
        anyio.create_task_group() as tasks,
    ):

        async def look() -> None:
            await anyio.sleep(20)
            [pool] = engine.stats().pools
            assert pool.paused_until is not None
            assert abs(pool.paused_until - datetime.now(UTC) - timedelta(seconds=70)) < timedelta(seconds=30)
            said.append(plain_line(run.figures, Rates(run.figures).sample(), engine.stats()))

        tasks.start_soon(look)
        states += [result.state async for result in run]
    assert states == ["complete"] * 4
    assert 90 <= anyio.current_time() - began < 120
    assert len(simulator.requests) <= 6  # nothing else was sent meanwhile
    assert re.search(r"paused [^,]+, until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", said[0])


async def test_a_drained_run_does_not_wait_for_it(tmp_path: Path) -> None:
    """As at the first Ctrl-C: what waits for another attempt is run when the run goes on."""
    simulator = Simulator()
    simulator.script([Fail(429, headers={"retry-after": "90"})])
    output = tmp_path / "out.jsonl"
    states: list[str] = []
    began = anyio.current_time()
    async with engine_in_memory(simulator, max_concurrency=2) as engine:
        async with open_run(engine, prompts(4), output) as run, anyio.create_task_group() as tasks:

            async def interrupt() -> None:
                await anyio.sleep(20)
                run.drain()

            tasks.start_soon(interrupt)
            states += [result.state async for result in run]
        assert anyio.current_time() - began < 60
        assert set(states) == {"complete"}
        assert len(states) < 4
        async with open_run(engine, prompts(4), output) as run:
            states += [result.state async for result in run]
    assert states == ["complete"] * 4


async def test_a_request_that_brings_its_own_policy_keeps_it(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script([HOUR])
    request = StreamRequest("hi", custom_id="a", retry=RetryPolicy(longest_wait=60))
    async with (
        engine_in_memory(simulator) as engine,
        open_run(engine, [request], tmp_path / "out.jsonl") as run,
    ):
        [result] = [result async for result in run]
    assert result.error is not None
    assert "the API asks to wait 3,600 s, until 20" in result.error.message


async def test_a_single_stream_is_told_until_when() -> None:
    simulator = Simulator()
    simulator.script([HOUR])
    async with engine_in_memory(simulator) as engine:
        result = await engine.submit("hi").wait()
    assert result.error is not None
    assert " UTC; this is longer than the longest_wait of the RetryPolicy, 600 s)" in result.error.message
    assert len(result.attempts) == 1
