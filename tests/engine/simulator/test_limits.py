"""Rate limits: what is let in, when the rest may come back, and what the headers tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.service import NOW, Service
from tests.support.virtual import virtual_backends

from manystream.engine.simulator import Cache, Conditions, Cut, Overload, Ramp, ServiceLimits, Simulator, SpendLimit
from manystream.engine.simulator.service import Service as SimulatedService
from manystream.engine.simulator.service.limits import Bucket
from manystream.engine.simulator.service.steps import Send


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every client here runs on virtual time."""
    return virtual_backends()[request.param]


def limited(**limits: Any) -> Service:
    return Service(limits=ServiceLimits(**limits))


def words(tokens: int) -> str:
    """A question of about so many tokens."""
    return "abc " * tokens


@given(
    rate=st.floats(0.1, 1_000),
    capacity=st.floats(0.1, 10_000),
    requests=st.lists(st.tuples(st.floats(0.01, 500), st.floats(0, 100)), max_size=20),
)
@settings(max_examples=60)
def test_who_waits_as_told_is_let_in_and_no_more_than_the_rate_comes_through(
    rate: float, capacity: float, requests: list[tuple[float, float]]
) -> None:
    bucket, now, taken, largest = Bucket(rate, capacity, NOW), NOW, 0.0, 0.0
    for amount, idle in requests:
        now += idle
        now += bucket.wait(amount, now)
        assert bucket.wait(amount, now) == 0
        bucket.take(amount, now)
        taken, largest = taken + amount, max(largest, amount)
        assert taken <= (now - NOW) * rate + capacity + largest + rate * 1e-3


def test_requests_are_limited_and_the_refused_ones_take_nothing() -> None:
    service = limited(requests_per_minute=60)
    assert service.statuses(60) == [200] * 60
    assert service.statuses(100) == [429] * 100
    service.now += 1
    assert service.statuses(2) == [200, 429]
    service.now += 3600
    assert service.statuses(61) == [200] * 60 + [429]


def test_sixty_a_minute_may_be_one_a_second() -> None:
    service = limited(requests_per_minute=60, burst_seconds=1)
    assert service.statuses(2) == [200, 429]
    service.now += 0.5
    assert service.statuses(1) == [429]
    service.now += 0.5
    assert service.statuses(2) == [200, 429]


def test_fewer_than_one_a_burst_still_come_through_at_their_rate() -> None:
    service = limited(requests_per_minute=30, burst_seconds=1)
    let_in = 0
    for _ in range(60):
        let_in += service.statuses(1) == [200]
        service.now += 1
    assert 30 <= let_in <= 31


def test_a_refusal_says_which_limit_and_how_long() -> None:
    service = limited(requests_per_minute=6, burst_seconds=10)
    service.statuses(1)
    service.now += 0.2
    refused = service.ask()
    assert refused.response.status == 429
    assert refused.headers["retry-after"] == "10"  # of 9.8 seconds
    assert refused.error["type"] == "rate_limit_error"
    assert "6 requests per minute" in refused.error["message"]
    assert refused.record.refused_by == "requests_per_minute"
    service.now += 10
    assert service.statuses(1) == [200]


def test_who_waits_for_several_limits_is_told_the_longest_wait() -> None:
    service = limited(requests_per_minute=60, input_tokens_per_minute=600, burst_seconds=1)
    service.ask(words(100))  # a hundred tokens out of a bucket of ten
    refused = service.ask(words(1))
    assert refused.record.refused_by is None  # nothing has been sent yet
    refused.finish()
    assert refused.record.refused_by == "input_tokens_per_minute"
    wait = int(refused.headers["retry-after"])
    assert 9 <= wait <= 12
    service.now += wait - 1
    assert service.statuses(1) == [429]
    service.now += 1
    assert service.statuses(1) == [200]


def test_input_larger_than_the_bucket_is_let_in_when_it_is_full() -> None:
    service = limited(input_tokens_per_minute=1_000)
    assert service.ask(words(5_000)).response.status == 200
    service.now += 240
    assert service.statuses(1) == [429]  # 5,000 tokens take five minutes
    service.now += 61
    assert service.statuses(1) == [200]
    assert service.ask(words(5_000)).response.status == 429  # as the bucket is not full


def test_output_counts_when_it_is_produced_whatever_max_tokens_says() -> None:
    service = limited(output_tokens_per_minute=100)
    running = [service.ask(text="word " * 400).begin() for _ in range(50)]
    assert {one.response.status for one in running} == {200}
    while running[0].record.output_tokens < 100:
        assert service.ask(max_tokens=50_000).response.status == 200
        running[0].next()
    refused = service.ask(max_tokens=1)
    refused.finish()
    assert refused.record.refused_by == "output_tokens_per_minute"
    running[0].finish()  # into debt
    debt = running[0].record.output_tokens - 100
    assert debt >= 300
    wait = int(service.ask().headers["retry-after"])
    assert abs(wait - (debt + 1) * 0.6) <= 1
    service.now += wait
    assert service.ask().response.status == 200


def test_a_client_that_goes_away_stops_the_production() -> None:
    service = limited(output_tokens_per_minute=1_000)
    gone = service.ask(text="word " * 5_000).begin()
    for _ in range(20):
        gone.next()
    assert 0 < gone.record.output_tokens < 200
    assert service.ask().response.status == 200


def test_each_model_has_limits_of_its_own() -> None:
    service = limited(requests_per_minute=1)
    assert service.statuses(2) == [200, 429]
    assert service.statuses(2, model="claude-haiku-5-5") == [200, 429]


def test_an_invalid_request_takes_nothing() -> None:
    service = limited(requests_per_minute=1)
    assert service.statuses(1, max_tokens=-1) == [400]
    assert service.statuses(1) == [200]


def test_the_headers_tell_where_the_buckets_stand() -> None:
    limits = {"requests_per_minute": 120, "input_tokens_per_minute": 60_000, "output_tokens_per_minute": 30_000}
    service = limited(**limits)

    def told(headers: dict[str, str]) -> dict[str, tuple[int, int, float]]:
        prefix = "anthropic-ratelimit-"
        names = {name.removeprefix(prefix).rpartition("-")[0] for name in headers if name.startswith(prefix)}
        return {
            name: (
                int(headers[f"{prefix}{name}-limit"]),
                int(headers[f"{prefix}{name}-remaining"]),
                datetime.fromisoformat(headers[f"{prefix}{name}-reset"]).timestamp() - NOW,
            )
            for name in names
        }

    asked = service.ask(words(20_400), text="word " * 10_000)
    assert asked.headers["date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert told(asked.headers) == {
        "requests": (120, 119, 1),
        "input-tokens": (60_000, 40_000, 21),
        "output-tokens": (30_000, 30_000, 0),
        "tokens": (90_000, 70_000, 21),
    }
    asked.finish()
    produced = asked.record.output_tokens
    service.now += 10
    after = told(service.ask().headers)
    assert after["input-tokens"] == (60_000, 50_000, 21)  # rounded to thousands
    limit, remaining, reset = after["output-tokens"]
    assert (limit, remaining) == (30_000, round((30_000 - produced + 5_000) / 1_000) * 1_000)
    assert abs(reset - produced / 500) <= 1
    service.now += 60
    assert service.statuses(120, text="brief")[-1] == 200
    refused = service.ask()
    assert refused.response.status == 429
    assert told(refused.headers)["requests"] == (120, 0, 130)


def told(headers: Mapping[str, str]) -> set[str]:
    names = (name for name in headers if name.startswith("anthropic-ratelimit-"))
    return {name.removeprefix("anthropic-ratelimit-").rpartition("-")[0] for name in names}


def test_what_is_not_limited_is_never_refused_and_no_header_speaks_of_it() -> None:
    service = Service()
    asked = service.ask(words(1_000_000)).finish()
    assert told(asked.headers) == set()
    assert service.statuses(20) == [200] * 20
    assert told(limited(requests_per_minute=5).ask().headers) == {"requests"}
    assert told(limited(input_tokens_per_minute=5_000).ask().headers) == {"tokens", "input-tokens"}
    assert told(limited(output_tokens_per_minute=5_000).ask().headers) == {"tokens", "output-tokens"}


def test_a_service_may_keep_its_limits_to_itself() -> None:
    service = limited(requests_per_minute=1, headers=False)
    answered, refused = service.ask(), service.ask()
    assert not [name for name in (answered.headers | refused.headers) if name.startswith("anthropic-ratelimit")]
    assert refused.headers["retry-after"] == "60"


def test_what_is_refused_takes_no_step_of_the_script() -> None:
    service = Service(529, limits=ServiceLimits(requests_per_minute=1))
    scripted = service.ask().finish()
    assert (scripted.response.status, scripted.record.refused_by) == (529, None)
    assert service.statuses(2) == [200, 429]  # nor does a scripted error take from the limits


def test_the_totals_outlive_the_records() -> None:
    service = Service(limits=ServiceLimits(requests_per_minute=3, burst_seconds=60))
    service.statuses(5)
    service.statuses(1, max_tokens=-1)
    totals = service.ledger.totals()
    assert (totals.requests, totals.statuses, totals.refused) == (
        6,
        {200: 3, 429: 2, 400: 1},
        {"requests_per_minute": 2},
    )
    records = service.ledger.requests()
    assert totals.output_tokens == sum(record.output_tokens for record in records) > 0
    assert totals.input_tokens == sum(record.input_tokens for record in records) > 0


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_tokens": 0},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
        {
            "tools": [
                {"name": "t", "input_schema": {"type": "object", "properties": {"some_name": {"type": "string"}}}}
            ],
            "tool_choice": {"type": "any"},
        },
        {"stream": False},
    ],
    ids=str,
)
def test_a_whole_answer_is_billed_as_its_usage_says(params: dict[str, Any]) -> None:
    asked = Service().ask("What is the weather like?", **params)
    assert (asked.record.input_tokens, asked.record.output_tokens) == (0, 0)
    billed = [0]
    while asked.next():
        billed.append(asked.record.output_tokens)
    usage = asked.usage
    assert billed == sorted(billed)
    assert billed[-1] == usage["output_tokens"]
    assert asked.record.input_tokens == usage["input_tokens"]


def test_an_answer_is_never_billed_beyond_its_usage() -> None:
    account = SimulatedService(Conditions(), lambda: NOW).check({"model": "claude-x", "messages": []}, "luck", NOW)
    account.expect(7)
    kinds = ["message_start", *["content_block_delta"] * 3, "message_delta", "message_stop"]
    billed = [account.performed(Send(b"", kind, 3 * (kind == "content_block_delta"))).output_tokens for kind in kinds]
    assert billed == [0, 3, 3, 1, 0, 0]


def test_over_a_socket_a_cut_answer_costs_what_was_sent_of_it() -> None:
    simulator = Simulator()
    simulator.script([Cut(20, "close", text="word " * 500), "word " * 500])
    body = {"model": "claude-x", "max_tokens": 999, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = {"x-api-key": "key", "anthropic-version": "2023-06-01"}
    with simulator.in_thread(), httpx2.Client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post(f"{simulator.url}/v1/messages", json=body, headers=headers)
        client.post(f"{simulator.url}/v1/messages", json=body, headers=headers)
    cut, whole = simulator.requests
    assert 20 <= cut.output_tokens <= 120 < 500 <= whole.output_tokens
    assert cut.input_tokens == whole.input_tokens > 0
    assert simulator.totals.output_tokens == cut.output_tokens + whole.output_tokens


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ServiceLimits(requests_per_minute=0), "requests_per_minute"),
        (lambda: ServiceLimits(output_tokens_per_minute=1.5), "output_tokens_per_minute"),  # pyright: ignore[reportArgumentType]
        (lambda: ServiceLimits(input_tokens_per_minute=True), "input_tokens_per_minute"),
        (lambda: ServiceLimits(burst_seconds=float("nan")), "burst_seconds"),
        (lambda: ServiceLimits(headers="no"), "headers"),  # pyright: ignore[reportArgumentType]
        (lambda: Ramp(requests_per_minute="many"), "requests_per_minute"),  # pyright: ignore[reportArgumentType]
        (lambda: Ramp(requests_per_minute=1, growth=0.5), "growth"),
        (lambda: SpendLimit(output_tokens=-1), "output_tokens"),
        (lambda: Overload(probability=1.5), "probability"),
        (lambda: Overload(outages=((5, 1),)), r"outages\[0\]"),
        (lambda: Overload(outages=((0, 1), 7)), r"outages\[1\]"),  # pyright: ignore[reportArgumentType]
        (lambda: Overload(outages="soon"), "outages"),  # pyright: ignore[reportArgumentType]
        (lambda: Cache(ttl=0), "ttl"),
        (lambda: Cache(minimum_tokens=None), "minimum_tokens"),  # pyright: ignore[reportArgumentType]
        (lambda: Conditions(cache=None), "cache"),  # pyright: ignore[reportArgumentType]
        (lambda: Conditions(ramp=ServiceLimits()), "ramp"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_wrong_setting_is_named(make: Any, name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        make()


def test_outages_may_be_lists_as_a_file_has_them() -> None:
    read: Any = [[0, 1.5], [20, 30]]
    assert Overload(outages=read).outages == ((0, 1.5), (20, 30))


@pytest.mark.anyio
async def test_the_official_client_gets_through_by_waiting_as_told() -> None:
    conditions = Conditions(limits=ServiceLimits(requests_per_minute=60, burst_seconds=1))
    simulator = Simulator(conditions=conditions, clock=anyio.current_time)
    began = anyio.current_time()
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=9, http_client=http_client
    ) as client:
        for number in range(4):
            await client.messages.create(
                model="claude-opus-5-5", max_tokens=9, messages=[{"role": "user", "content": f"Question {number}"}]
            )
    assert 3 <= anyio.current_time() - began <= 3.1
    assert [request.status for request in simulator.requests] == [200, 429, 200, 429, 200, 429, 200]
    assert simulator.totals.statuses == {200: 4, 429: 3}
    assert simulator.totals.refused == {"requests_per_minute": 3}


@pytest.mark.anyio
async def test_output_is_counted_at_the_pace_of_the_model() -> None:
    conditions = Conditions(limits=ServiceLimits(output_tokens_per_minute=6_000, burst_seconds=1))
    simulator = Simulator(tokens_per_second=1_000, conditions=conditions, clock=anyio.current_time)
    simulator.script(["word " * 1_000])
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=0, http_client=http_client
    ) as client:
        params: Any = {
            "model": "claude-opus-5-5",
            "max_tokens": 2_000,
            "messages": [{"role": "user", "content": "hi"}],
        }
        async with client.messages.stream(**params) as stream:
            async for _ in stream.text_stream:
                if anyio.current_time() > 0.5:
                    break
        produced = simulator.requests[0].output_tokens
        assert 350 <= produced <= 650  # half a second of a thousand tokens
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(**params)
        # A bucket of a hundred, which refilled a hundred a second meanwhile.
        wait = int(caught.value.response.headers["retry-after"])
        assert abs(wait - (produced - 150) / 100) <= 1.5
        await anyio.sleep(wait)
        await client.messages.create(**params)
    dated = datetime.strptime(caught.value.response.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
    assert dated.replace(tzinfo=UTC).timestamp() < 10  # by the clock it was given
