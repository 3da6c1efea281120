"""What the service refuses whatever the model: too steep an increase, spent money, and when it has no room."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from tests.support.service import NOW, Service
from tests.support.virtual import virtual_backends

from manystream.actors.stream.retry import is_retryable
from manystream.actors.wire.error_body import read_error_body
from manystream.engine.simulator import Conditions, Overload, Ramp, ServiceLimits, Simulator, SpendLimit
from manystream.engine.simulator.service.errors import RefusalError
from manystream.engine.simulator.service.overload import Acceleration


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every client here runs on virtual time."""
    return virtual_backends()[request.param]


class Traffic:
    """Requests at a steady rate, with the acceleration limit alone before them."""

    def __init__(self, ramp: Ramp) -> None:
        self.now = NOW
        self._limit = Acceleration(ramp)

    def let_in(self, per_second: int, seconds: int) -> int:
        """Ask so often a second, for so long; return how many were let in."""
        count = 0
        for _ in range(per_second * seconds):
            with suppress(RefusalError):
                self._limit.check(self.now)
                self._limit.let_in(self.now)
                count += 1
            self.now += 1 / per_second
        return count


def test_the_rate_that_is_allowed_grows_while_it_is_used_and_falls_again() -> None:
    traffic = Traffic(Ramp(requests_per_minute=60, growth=2, burst_seconds=5))
    minutes = [traffic.let_in(32, 60) for _ in range(4)]
    # 60 a minute, doubled in the course of each minute in six steps: 1.36 times as much on average as at its start.
    assert minutes == pytest.approx([82, 163, 327, 653], rel=0.07)
    traffic.now += 2 * 60
    assert traffic.let_in(32, 60) == pytest.approx(327, rel=0.12)  # it has been halved twice, and grows again
    traffic.now += 24 * 3600
    assert traffic.let_in(32, 1) in (5, 6)  # as in the beginning


def test_a_rate_that_is_hardly_used_does_not_grow() -> None:
    traffic = Traffic(Ramp(requests_per_minute=600, growth=2, burst_seconds=1))
    assert traffic.let_in(4, 300) == 1_200  # less than half
    assert traffic.let_in(32, 1) in (18, 19, 20)


def test_too_steep_an_increase_is_told_apart_and_may_be_retried() -> None:
    service = Service(ramp=Ramp(requests_per_minute=30, growth=1, burst_seconds=2))
    assert service.statuses(1) == [200]
    refused = service.ask()
    assert (refused.response.status, refused.headers["retry-after"]) == (429, "2")
    assert read_error_body({"error": refused.error}).code == "ramp_limit_exceeded"
    assert refused.record.refused_by == "ramp"
    assert is_retryable(429, refused.headers, read_error_body({"error": refused.error}).code)
    service.now += 2
    assert service.statuses(2) == [200, 429]


def test_once_enough_is_spent_nothing_more_is_let_in() -> None:
    service = Service(spend=SpendLimit(output_tokens=50))
    first, second = service.ask(text="word " * 60).begin(), service.ask(text="word " * 60).begin()
    first.finish()
    assert second.finish().record.outcome == "complete"  # what runs, goes on
    refused = service.ask(model="claude-haiku-5-5")
    assert refused.response.status == 429
    assert "retry-after" not in refused.headers
    assert read_error_body({"error": refused.error}).code == "enforced_spend_limit_reached"
    assert not is_retryable(429, refused.headers, read_error_body({"error": refused.error}).code)
    service.now += 365 * 24 * 3600
    assert service.statuses(1) == [429]
    assert service.ledger.totals().refused == {"spend": 2}


def test_what_is_refused_does_not_count_as_spent() -> None:
    service = Service(spend=SpendLimit(output_tokens=1), limits=ServiceLimits(requests_per_minute=1))
    assert service.ask().response.status == 200  # and nothing of it is performed
    refused = service.ask()
    assert "rate limit" in refused.error["message"]
    assert service.ledger.totals().output_tokens == 0


def test_outages_begin_and_end_counted_from_the_first_request() -> None:
    service = Service(overload=Overload(outages=((10, 20), (30, 31))))
    service.now += 1_000
    began = service.now
    seen: dict[float, int] = {}
    for second in (0, 9.9, 10, 19.9, 20, 29.9, 30, 31):
        service.now = began + second
        seen[second] = service.statuses(1)[0]
    assert [second for second, status in seen.items() if status == 529] == [10, 19.9, 30]
    assert set(seen.values()) == {200, 529}


def test_overload_by_chance_has_its_share_and_is_the_same_for_the_same_seed() -> None:
    def refused(seed: int, probability: float) -> list[int]:
        service = Service(seed=seed, overload=Overload(probability=probability))
        return [
            number
            for number in range(400)
            if service.ask(f"question {number}", text="brief").finish().response.status == 529
        ]

    share = refused(0, 0.25)
    assert 70 <= len(share) <= 130
    assert refused(0, 0.25) == share != refused(1, 0.25)
    assert (refused(0, 0.0), len(refused(0, 1.0))) == ([], 400)


def test_the_next_try_of_a_request_has_its_own_luck() -> None:
    service = Service(overload=Overload(probability=0.5))
    assert set(service.statuses(20)) == {200, 529}


def test_an_overloaded_service_says_so_and_takes_nothing() -> None:
    service = Service(overload=Overload(outages=((0, 5),)), limits=ServiceLimits(requests_per_minute=1))
    refused = service.ask()
    assert (refused.response.status, refused.error["type"]) == (529, "overloaded_error")
    assert "retry-after" not in refused.headers
    assert refused.record.refused_by == "overload"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "1"
    service.now = NOW + 5
    assert service.statuses(2) == [200, 429]


@pytest.mark.anyio
async def test_refusals_come_fast_and_the_official_client_outlasts_an_outage() -> None:
    conditions = Conditions(overload=Overload(outages=((0, 2),)))
    simulator = Simulator(time_to_first_token=100, conditions=conditions, clock=anyio.current_time)
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=9, http_client=http_client
    ) as client:
        await client.messages.create(
            model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    *refused, last = [request.status for request in simulator.requests]
    assert set(refused) == {529}
    assert last == 200
    assert simulator.totals.refused == {"overload": len(refused)}
    assert anyio.current_time() < 2 + 8 + 150 + 1  # hardly a wait for each refusal, then that of the answer


@pytest.mark.anyio
async def test_the_official_client_reads_the_code_of_a_spend_limit() -> None:
    simulator = Simulator(conditions=Conditions(spend=SpendLimit(output_tokens=0)))
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=0, http_client=http_client
    ) as client:
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(
                model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            )
    body: Any = caught.value.body
    assert read_error_body({"error": body["error"]}).code == "enforced_spend_limit_reached"
