"""What becomes of a stream when its last consumer leaves. On virtual time."""

from typing import Any

import anyio
import httpx2
import pytest
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Engine, Linger, State
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


def slow_engine() -> Engine:
    """Every answer begins after a minute."""
    client = httpx2.AsyncClient(transport=Simulator(time_to_first_token=60).transport())
    return Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client))


async def test_cancel_and_detach() -> None:
    async with slow_engine() as engine:
        handle = engine.submit("hi")
        handle.subscribe(on_abandon="detach").close()
        await anyio.sleep(1)
        assert handle.state is State.CONNECTING
        handle.subscribe(on_abandon="cancel").close()
        result = await handle.wait()
        assert (result.state, result.cancelled_by) == ("cancelled", "consumer")


async def test_linger_waits_ten_seconds_for_another_consumer() -> None:
    async with slow_engine() as engine:
        handle = engine.submit("hi")
        handle.subscribe(on_abandon="linger").close()
        await anyio.sleep(8)
        again = handle.subscribe(on_abandon="linger")
        await anyio.sleep(8)
        assert handle.state is State.CONNECTING
        again.close()
        left = anyio.current_time()
        result = await handle.wait()
        assert (result.state, result.cancelled_by) == ("cancelled", "consumer")
        assert 10 <= anyio.current_time() - left <= 10.05


async def test_a_second_leaving_begins_the_wait_anew() -> None:
    async with slow_engine() as engine:
        handle = engine.submit("hi")
        handle.subscribe(on_abandon="linger").close()
        await anyio.sleep(8)
        handle.subscribe(on_abandon="linger").close()
        left = anyio.current_time()
        await handle.wait()
        assert 10 <= anyio.current_time() - left <= 10.05


@pytest.mark.parametrize("seconds", [0, 0.5, 42])
async def test_linger_takes_seconds(seconds: float) -> None:
    async with slow_engine() as engine:
        handle = engine.submit("hi")
        handle.subscribe(on_abandon=Linger(seconds)).close()
        left = anyio.current_time()
        result = await handle.wait()
        assert (result.state, result.cancelled_by) == ("cancelled", "consumer")
        assert seconds <= anyio.current_time() - left <= seconds + 0.05
