"""Batches on virtual time: hours of polling take no time, on asyncio and trio."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
from tests.support.batches import PATH, entries
from tests.support.virtual import virtual_backends

from manystream.engine.simulator import Batches, Simulator

HEADERS = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


@pytest.fixture
def simulator() -> Simulator:
    """Made outside of the event loop, whose clock is asked only later."""
    return Simulator(batches=Batches(per_second=1 / 360), clock=anyio.current_time)


@pytest.mark.anyio
async def test_an_hour_of_polls(simulator: Simulator) -> None:
    transport = simulator.transport()
    async with httpx2.AsyncClient(base_url="https://any.test", transport=transport, headers=HEADERS) as client:
        started = anyio.current_time()
        batch = (await client.post(PATH, json={"requests": entries(10)})).json()
        for _ in range(59):
            await anyio.sleep(60)
            assert (await client.get(f"{PATH}/{batch['id']}")).json()["processing_status"] == "in_progress"
        await anyio.sleep(60)
        assert (await client.get(f"{PATH}/{batch['id']}")).json()["processing_status"] == "ended"
        assert anyio.current_time() - started == pytest.approx(3_600)
    (record,) = simulator.batches
    assert record.ended_at == pytest.approx(record.created_at + 3_600)
