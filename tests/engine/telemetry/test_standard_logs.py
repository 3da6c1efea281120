"""Without structlog configured, logs go to the standard library's loggers, where warnings show by themselves."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture
from tests.support.engines import engine_for

import manystream
from manystream import RetryPolicy
from manystream.engine.simulator import Fail, Simulator, Stall

pytestmark = pytest.mark.anyio

SOURCES = Path(manystream.__file__).parent.parent


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    """The loggers, levels and events of what was logged."""
    return [(one.name, one.levelname, one.getMessage().split()[0]) for one in caplog.records if one.name != "asyncio"]


async def test_retries_and_failures_are_warnings(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    simulator.script([Fail(529), "fine", Fail(400, message="planted words of the API's")])
    with caplog.at_level(logging.DEBUG, logger="manystream"):
        async with engine_for(simulator, retry=RetryPolicy(base_delay=0.01)) as engine:
            await engine.submit("planted prompt").wait()
            await engine.submit("planted prompt").wait()
    streams = "manystream.streams"
    assert told(caplog) == [
        (streams, "DEBUG", "stream.submitted"),
        (streams, "WARNING", "stream.retrying"),
        (streams, "INFO", "stream.ended"),
        (streams, "DEBUG", "stream.submitted"),
        (streams, "WARNING", "stream.ended"),
    ]
    retrying, failed = caplog.records[1].getMessage(), caplog.records[4].getMessage()
    assert "attempt=1" in retrying
    assert "error=overloaded_error status=529" in retrying
    assert "state=failed error=invalid_request_error status=400" in failed
    assert "stream_id=stream_" in failed
    assert "request_id=req_" in failed
    assert "planted" not in caplog.text


async def test_a_cancelled_stream_is_no_warning(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    simulator.script([Stall(1)])
    async with engine_for(simulator) as engine:
        handle = engine.submit("hi")
        handle.cancel()
        await handle.wait()
    assert told(caplog) == []


async def test_structlog_gets_them_instead_when_it_is_configured(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    try:
        simulator.script([Fail(400)])
        async with engine_for(simulator) as engine:
            await engine.submit("hi").wait()
    finally:
        structlog.reset_defaults()
    events = [entry["event"] for entry in capture.entries if entry["event"].startswith("stream.")]
    assert events == ["stream.submitted", "stream.ended"]
    assert told(caplog) == []


PROGRAM = """
import anyio, logging
from manystream import AnthropicModel, Engine, Simulator
from manystream.engine.simulator import Fail
{setup}
async def main():
    simulator = Simulator()
    simulator.script([Fail(400)])
    async with simulator.serve():
        async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)) as engine:
            await engine.submit("hi").wait()
anyio.run(main)
"""


@pytest.mark.parametrize(
    ("setup", "shown"),
    [
        ("", "stream.ended state=failed error=invalid_request_error status=400"),
        ('logging.getLogger("manystream").setLevel("ERROR")', ""),
        (
            'logging.basicConfig(format="%(levelname)s:%(name)s:%(message)s")',
            "WARNING:manystream.streams:stream.ended ",
        ),
    ],
)
def test_warnings_show_as_those_of_any_library_do(setup: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(setup=setup)],
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith(shown)
    assert len(done.stderr.splitlines()) == (1 if shown else 0)
