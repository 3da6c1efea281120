"""A Redis server that is far away, or out of reach for a while: a real one, behind a network of the tests' own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_for
from tests.support.redis_server import NEEDS_REDIS, network, redis_server

from manystream import Engine, RedisBudget, StreamRequest
from manystream.engine.budget.messages import Report, Use
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits

pytestmark = [pytest.mark.anyio, pytest.mark.slow, NEEDS_REDIS]

MANY = 64
EACH = 220  # requests of an engine: it still has some when the network is whole again
EVERY = 4.0  # seconds between two reports of each: all of them run in one process here


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as url:
        yield url


def report(participant: int, number: int) -> Report:
    """That of one who has used some, and needs more."""
    used = 2.0 * number
    uses: dict[Any, Use] = {
        "requests_per_minute": Use(reserved=used, settled=used, used=used, need=2.0, backlog=50.0, head=1.0)
    }
    return Report(
        participant=f"participant {participant}",
        number=number,
        ceiling=10,
        wanted=5,
        sent=2 * number,
        uses=uses,
        fixed={"requests_per_minute": 10_000.0},
        told={},
    )


async def exchange_many(url: str, rounds: int) -> list[float]:
    """So many exchanges of each of many participants; how many seconds each took, the shortest first."""
    took: list[float] = []

    async def work(number: int) -> None:
        budget = RedisBudget(url)
        await anyio.sleep(EVERY * number / MANY)
        for turn in range(rounds):
            begun = time.perf_counter()
            grant = await budget.exchange("account", report(number, turn))
            took.append(time.perf_counter() - begun)
            assert grant.participants <= MANY
            await anyio.sleep(EVERY)
        await budget.aclose()

    async with anyio.create_task_group() as tasks:
        for number in range(MANY):
            tasks.start_soon(work, number)
    return sorted(took)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("delay", [0.0, 0.05])
async def test_many_far_away_are_served_in_a_few_round_trips(
    url: str, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is held up by the others: a compare-and-set of each for itself would serve one a round trip."""
    monkeypatch.setattr("manystream.engine.budget.redis._SECONDS", 60.0)  # so many threads may be slow
    rounds = 4
    with network(url, delay) as between:
        took = await exchange_many(between.url, rounds)
    assert len(took) == MANY * rounds
    p50, p99 = (1000 * took[len(took) * part // 100] for part in (50, 99))
    logging.getLogger(__name__).info("%d ms away: p50 %.0f ms, p99 %.0f ms", 2000 * delay, p50, p99)
    client: Any = import_module("redis").Redis.from_url(url)
    with client:
        stats, state = client.info("commandstats"), client.hgetall("manystream:budget:1:account")
    assert stats["cmdstat_evalsha"]["calls"] <= 20 * len(took)
    assert int(state[b"version"]) <= (0.9 if delay else 1.0) * len(took)  # reports are booked together
    assert not [name for name in state if name.startswith((b"report ", b"clerk"))]


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110  # nothing tells when
            await anyio.sleep(0.1)


@pytest.mark.timeout(600)
async def test_streams_go_on_while_the_network_is_parted(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    limits = ServiceLimits(requests_per_minute=240)
    simulator = Simulator(conditions=Conditions(limits=limits), time_to_first_token=0.05)
    with network(url, 0.05) as between:
        async with (
            simulator.serve(),
            engine_for(simulator, budget=RedisBudget(between.url)) as one,
            engine_for(simulator, budget=RedisBudget(between.url)) as two,
        ):
            states: list[str] = []

            async def work(engine: Engine, name: str) -> None:
                results = await engine.gather(
                    StreamRequest({"messages": [{"role": "user", "content": f"{name} {number}"}], "max_tokens": 4})
                    for number in range(EACH)
                )
                states.extend(result.state for result in results)

            def budgets() -> list[tuple[bool, int]]:
                found = [engine.stats().budget for engine in (one, two)]
                return [(budget.alone, budget.participants) for budget in found if budget is not None]

            def limit() -> float:
                found = [pool.limits.get("requests_per_minute") for pool in one.stats().pools]
                return found[0].per_minute if found and found[0] is not None else 0.0

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work, one, "one")
                tasks.start_soon(work, two, "two")
                await until(lambda: budgets() == [(False, 2)] * 2 and limit() == 240)
                between.parted = True
                await until(lambda: [alone for alone, _ in budgets()] == [True, True])
                first, sent = limit(), len(simulator.requests)
                await anyio.sleep(6)
                assert limit() < first <= 120.0  # the share, which shrinks
                assert len(simulator.requests) > sent
                between.parted = False
                await until(lambda: budgets() == [(False, 2)] * 2)
    assert states == ["complete"] * 2 * EACH
    assert [request.status for request in simulator.requests].count(429) == 0
    told = [record for record in caplog.records if "budget.out_of_reach" in record.getMessage()]
    assert len(told) == 2  # one of each engine
