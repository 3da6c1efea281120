"""What an engine says that it is waiting for. On virtual time."""

from typing import Any

import anyio
import httpx2
import pytest
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Engine, RetryPolicy
from manystream.engine.simulator import Fail, Simulator

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


async def test_a_backoff_says_how_long_it_lasts() -> None:
    simulator = Simulator()
    simulator.script([Fail(429, headers={"retry-after": "20"}), "hello"])
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    async with Engine(model, retry=RetryPolicy(base_delay=0.001)) as engine:
        handle = engine.submit("hi")
        await anyio.sleep(5)
        (wait,) = engine.stats().waits
        assert (wait.reason, wait.stream_id) == ("backoff", handle.id)
        assert wait.seconds == pytest.approx(15, abs=0.1)
        await anyio.sleep(10)
        (wait,) = engine.stats().waits
        assert wait.seconds == pytest.approx(5, abs=0.1)
        assert (await handle.wait()).state == "complete"
        assert engine.stats().waits == ()
