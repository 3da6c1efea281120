"""Chance or a limit: judged by the order of the answers, by what slowing down changes, and by a whole engine's time."""

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx2
import pytest
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Engine, RetryPolicy, StreamRequest
from manystream.engine.admission.pace import Pace
from manystream.engine.admission.refusals import Refusals
from manystream.engine.simulator import Conditions, Simulator
from manystream.engine.simulator.service.conditions import ServiceLimits

Main = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Runs a main function on virtual time."""

    def run(main: Main) -> None:
        backend, options = virtual_backends(settle=0.0005)[request.param]
        anyio.run(main, backend=backend, backend_options=options)

    return run


# -- rows


def test_three_in_a_row_are_a_row() -> None:
    refusals = Refusals()
    assert [refusals.refused(number) for number in range(4)] == [False, False, True, False]


def test_an_answer_to_a_later_request_ends_a_row_and_an_earlier_one_does_not() -> None:
    refusals = Refusals()
    refusals.refused(5)
    refusals.refused(6)
    assert refusals.accepted(4) == 0
    assert refusals.accepted(7) == 2
    assert not refusals.refused(8)


def test_requests_that_have_no_answer_yet_are_likely_to_get_one() -> None:
    refusals = Refusals()
    assert not any(refusals.refused(number) for number in range(0, 30, 3))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5])
def test_chance_makes_no_rows_once_its_share_is_known(share: float) -> None:
    refusals, chance, rows = Refusals(), random.Random(1), 0
    for number in range(4000):
        if chance.random() >= share:
            refusals.accepted(number)
        elif refusals.refused(number):
            rows += number > 400
            refusals.open_again()
    assert rows <= 3
    assert share / 2 < refusals.share < share * 2


# -- the pace


def paced(pace: Pace, refuses: Callable[[float], bool], seconds: float) -> tuple[int, int]:
    """Sends as fast as the pace allows, at most a hundred a second. Returns how many were accepted, and how many were
    refused in the second half of the time."""
    refusals, now, number, counts = Refusals(), 0.0, 0, [0, 0]
    while now < seconds:
        now += max(0.01, pace.wait(now))
        pace.sent(now)
        refused = refuses(now)
        counts[refused] += not refused or now > seconds / 2
        if not refused:
            pace.accepted(now + 1e-6, now, refusals.accepted(number))
        else:
            pace.turned_down(now)
            if refusals.refused(number):
                pace.shut(now + 1e-6, now)
                now += 0.2
            else:
                pace.refused(now + 1e-6, now)
        number += 1
    return counts[0], counts[1]


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_chance_does_not_slow_the_pace_for_long(share: float) -> None:
    chance = random.Random(1)
    accepted, _ = paced(Pace(), lambda now: chance.random() < share, 120)
    assert accepted > 0.85 * (1 - share) * 100 * 120


@pytest.mark.parametrize(("rate", "burst"), [(2.0, 60.0), (50.0, 5.0), (95.0, 10.0)])
def test_a_limit_is_learnt_by_its_refusals(rate: float, burst: float) -> None:
    level, then = burst, 0.0

    def refuses(now: float) -> bool:
        nonlocal level, then
        level, then = min(burst, level + (now - then) * rate), now
        if level < 1:
            return True
        level -= 1
        return False

    accepted, refused = paced(Pace(), refuses, 120)
    assert accepted > 0.85 * rate * 120
    assert refused < 0.05 * accepted


# -- a whole engine


class Gateway(httpx2.AsyncBaseTransport):
    """Refuses some requests in the simulator's stead: `refuses` is asked with the number of each."""

    def __init__(self, refuses: Callable[[int], httpx2.Response | None]) -> None:
        limits = ServiceLimits(headers=False)
        simulator = Simulator(
            conditions=Conditions(limits=limits),
            clock=anyio.current_time,
            time_to_first_token=0.2,
            tokens_per_second=1e6,
        )
        self._inner = simulator.transport()
        self._refuses = refuses
        self.requests = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        number, self.requests = self.requests, self.requests + 1
        refusal = self._refuses(number)
        return refusal if refusal is not None else await self._inner.handle_async_request(request)


def refusal(status: int, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, headers=named, json={"type": "error", "error": {"type": "e", "message": "no"}})


def engine_behind(gateway: Gateway, **options: float) -> Engine:
    client = httpx2.AsyncClient(transport=gateway)
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, max_concurrency=30, retry=RetryPolicy(max_attempts=8, **options))


def prompts(count: int) -> list[StreamRequest]:
    params: Any = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
    return [StreamRequest(params, custom_id=str(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("one_in", "status", "headers", "seconds"),
    [
        (10, 429, {"retry_after": "1"}, 7),
        (50, 429, {}, 3.5),
        (10, 529, {}, 7.5),
        (10**9, 429, {}, 2.2),  # the first answer alone
    ],
)
def test_refusals_by_chance_do_not_starve_a_healthy_service(
    run: Callable[[Main], None], one_in: int, status: int, headers: dict[str, str], seconds: float
) -> None:
    async def main() -> None:
        random.seed(1)
        chance = random.Random(7)
        gateway = Gateway(
            lambda number: (
                refusal(status, **headers) if chance.random() < 1 / one_in or (one_in == 10**9 and not number) else None
            )
        )
        async with engine_behind(gateway) as engine:
            begun = anyio.current_time()
            results = await engine.gather(prompts(200))
            took = anyio.current_time() - begun
        assert {result.state for result in results} == {"complete"}
        assert took < seconds

    run(main)


def test_a_wait_that_is_too_long_fails_the_stream_and_the_pool_sends_nothing_meanwhile(
    run: Callable[[Main], None],
) -> None:
    async def main() -> None:
        gateway = Gateway(lambda number: refusal(429, retry_after="3600") if not number else None)
        async with engine_behind(gateway) as engine:
            result = await engine.submit("Hi").wait()
            assert result.state == "failed"
            assert result.error is not None
            assert "3,600 s, until 20" in result.error.message
            assert result.error.message.endswith("UTC; this is longer than the longest_wait of the RetryPolicy, 600 s)")
            [pool] = engine.stats().pools
            assert pool.paused_until is not None
            assert abs(pool.paused_until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
            begun = anyio.current_time()
            assert (await engine.submit("Hi again").wait()).state == "complete"
            assert anyio.current_time() - begun == pytest.approx(3600, abs=2)
        assert gateway.requests == 2

    run(main)


def test_a_policy_may_wait_longer(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        gateway = Gateway(lambda number: refusal(429, retry_after="3600") if not number else None)
        async with engine_behind(gateway, longest_wait=4000) as engine:
            result = await engine.submit("Hi").wait()
            assert result.state == "complete"
            assert result.timings.end == pytest.approx(3600, abs=2)

    run(main)
