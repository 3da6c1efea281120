"""A line says when limits hold the engine back. On virtual time."""

from typing import Any

import anyio
import httpx2
import pytest
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Engine, Limits
from manystream.engine.simulator import Fail, Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits

pytestmark = pytest.mark.anyio


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about limits."""
    lines = [one.getMessage() for one in caplog.records if one.name == "manystream.engine"]
    return [line for line in lines if line.startswith("limits.holding_back ")]


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


def limited(simulator: Simulator, **options: Any) -> Engine:
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, max_concurrency=50, **options)


async def test_a_line_says_which_limit_holds_the_engine_back_and_by_how_much(caplog: pytest.LogCaptureFixture) -> None:
    async with limited(Simulator(), limits=Limits(requests_per_minute=10)) as engine:
        handles = [engine.submit("hi") for _ in range(40)]
        await anyio.sleep(4)
        assert told(caplog) == []  # a short wait is nothing to tell of
        await anyio.sleep(4)
        (line,) = told(caplog)
        assert line.startswith(
            "limits.holding_back limit=requests_per_minute why=requests per minute per_minute=10 left="
        )
        assert "waiting=" in line
        assert "running=" in line
        await anyio.sleep(45)
        assert len(told(caplog)) == 1  # not once for each request
        for handle in handles:
            await handle.wait()
    assert 2 <= len(told(caplog)) <= 4  # it was so for three minutes


async def test_a_pause_that_the_api_asks_for_is_told(caplog: pytest.LogCaptureFixture) -> None:
    simulator = Simulator()
    simulator.script([Fail(429, headers={"retry-after": "120"}), *["fine"] * 5])
    async with limited(simulator) as engine:
        first = engine.submit("hi")
        await anyio.sleep(1)
        others = [engine.submit("hi") for _ in range(5)]
        await anyio.sleep(20)
        (line,) = told(caplog)
        assert "limit=pause" in line
        assert "waiting=5" in line
        for handle in (first, *others):
            await handle.wait()


async def test_nothing_is_told_when_only_the_slots_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    async with limited(Simulator(time_to_first_token=30)) as engine:
        await engine.gather(["hi"] * 200)
    assert [line for line in told(caplog) if "limit=adaptive_concurrency" not in line] == []


async def test_it_says_when_others_draw_on_the_same_limit(caplog: pytest.LogCaptureFixture) -> None:
    conditions = Conditions(limits=ServiceLimits(requests_per_minute=120))
    simulator = Simulator(conditions=conditions, clock=anyio.current_time)
    async with limited(simulator) as engine:
        for handle in [engine.submit("hi") for _ in range(200)]:
            await handle.wait()
    assert "hint=" not in "".join(told(caplog))  # it was alone
    caplog.clear()
    simulator = Simulator(conditions=conditions, clock=anyio.current_time)
    async with limited(simulator) as engine, limited(simulator) as other:
        mine = [engine.submit("hi") for _ in range(150)]
        theirs = [other.submit("hi") for _ in range(150)]
        for handle in [*mine, *theirs]:
            await handle.wait()
    assert 'Engine(..., budget="host")' in "".join(told(caplog))
