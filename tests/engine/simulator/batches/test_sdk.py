"""The official SDK does not notice the simulator: batches by its methods, sync and async, plain and beta."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias

import anthropic
import httpx2
import pytest
from anthropic.types.beta.messages import BetaMessageBatch
from anthropic.types.messages import MessageBatch
from tests.support.batches import DAY, an_entry, entries
from tests.support.responder import NOW

from manystream.engine.simulator import Batches, Cut, Fail, Simulator
from manystream.pytest_plugin import manystream_simulator  # noqa: F401  # pyright: ignore[reportUnusedImport]

TLS = ssl.create_default_context()  # made once: it takes longer than most of these tests
# `client.messages` or `client.beta.messages` of either client: their types have no more in common than their names.
Messages: TypeAlias = Any


@pytest.fixture(params=["stable", "beta"])
def flavour(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    # Its clock stands still: for batches, time passes when it is set forward.
    settings = Batches(per_second=1, canceling_seconds=60)
    with Simulator(batches=settings, clock=lambda: NOW).in_thread() as simulator:
        yield simulator


def client_of(simulator: Simulator, **settings: Any) -> anthropic.Anthropic:
    http_client = anthropic.DefaultHttpxClient(verify=TLS)
    settings = {"max_retries": 0, **settings}
    return anthropic.Anthropic(api_key="key", base_url=simulator.url, http_client=http_client, **settings)


@pytest.fixture
def batches(simulator: Simulator, flavour: str) -> Iterator[Messages]:
    with client_of(simulator) as client:
        yield (client.beta if flavour == "beta" else client).messages.batches


@pytest.fixture
async def async_batches(simulator: Simulator, flavour: str, anyio_backend: str) -> AsyncIterator[Messages]:
    http_client = anthropic.DefaultAsyncHttpxClient(verify=TLS)
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url=simulator.url, max_retries=0, http_client=http_client
    ) as client:
        yield (client.beta if flavour == "beta" else client).messages.batches


def test_the_life_of_a_batch(simulator: Simulator, batches: Messages, flavour: str) -> None:
    extra = {"betas": ["output-300k-2026-03-24"]} if flavour == "beta" else {}
    batch = batches.create(requests=[*entries(4), an_entry("bad", stream=True)], **extra)
    assert isinstance(batch, BetaMessageBatch if flavour == "beta" else MessageBatch)
    assert (batch.expires_at - batch.created_at).total_seconds() == DAY
    assert batches.retrieve(batch.id) == batch
    with pytest.raises(anthropic.AnthropicError, match="No `results_url` for the given batch"):
        batches.results(batch.id)
    with pytest.raises(anthropic.BadRequestError, match="In progress batches cannot be deleted"):
        batches.delete(batch.id)
    simulator.advance_batches(5)
    over = batches.retrieve(batch.id)
    assert (over.processing_status, over.request_counts.succeeded, over.request_counts.errored) == ("ended", 4, 1)
    lines = {line.custom_id: line.result for line in batches.results(batch.id)}
    assert lines["bad"].error.error.message == "`stream=True` is not supported in the Message Batches API"
    assert {lines[f"r{number}"].message.usage.service_tier for number in range(4)} == {"batch"}
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError, match=f"Message Batch {batch.id} not found"):
        batches.retrieve(batch.id)


def test_cancelling(simulator: Simulator, batches: Messages) -> None:
    batch = batches.create(requests=entries(10))
    simulator.advance_batches(4.5)
    cancelled = batches.cancel(batch.id)
    assert (cancelled.processing_status, cancelled.request_counts.processing) == ("canceling", 10)
    simulator.advance_batches(60)
    assert batches.retrieve(batch.id).request_counts.canceled == 5  # one was in progress
    with pytest.raises(anthropic.BadRequestError, match="has already ended"):
        batches.cancel(batch.id)


def test_listing_all_of_them(simulator: Simulator, batches: Messages) -> None:
    ids = [batches.create(requests=entries(1)).id for _ in range(7)]
    assert [batch.id for batch in batches.list(limit=3)] == ids[::-1]
    backwards = [batch.id for batch in batches.list(limit=3, before_id=ids[0])]
    assert sorted(backwards) == sorted(ids[1:])
    assert [request.target.partition("?")[0] for request in simulator.requests[7:]] == ["/v1/messages/batches"] * 5
    assert batches.list(limit=1).data[0].id == ids[-1]


@pytest.mark.anyio
async def test_the_life_of_a_batch_async(simulator: Simulator, async_batches: Messages) -> None:
    batch = await async_batches.create(requests=entries(300, max_tokens=20))
    simulator.advance_batches(300)
    assert (await async_batches.retrieve(batch.id)).request_counts.succeeded == 300
    ids = [line.custom_id async for line in await async_batches.results(batch.id)]
    assert len(set(ids)) == len(ids) == 300
    others = [(await async_batches.create(requests=entries(1))).id for _ in range(4)]
    assert [batch.id async for batch in await async_batches.list(limit=2)] == [*others[::-1], batch.id]
    assert (await async_batches.cancel(others[0])).processing_status == "canceling"
    assert (await async_batches.delete(batch.id)).id == batch.id


@pytest.mark.parametrize("lost", [Cut("nothing", "reset"), Cut("nothing", Fail(500)), Cut("head", "close")], ids=str)
def test_a_lost_answer_makes_two_batches_of_one(simulator: Simulator, lost: Any) -> None:
    simulator.script_batches("create", [lost])
    with client_of(simulator, max_retries=1) as client:
        batch = client.messages.batches.create(requests=entries(2))
        assert [found.id for found in client.messages.batches.list()] == [made.id for made in simulator.batches[::-1]]
    assert len(simulator.batches) == 2
    assert simulator.batches[1].id == batch.id
    assert simulator.batches[0].requests == simulator.batches[1].requests


def test_a_refusal_makes_no_batch(simulator: Simulator) -> None:
    simulator.script_batches("create", [Fail(529, headers={"retry-after-ms": "1"})])
    with client_of(simulator, max_retries=1) as client:
        client.messages.batches.create(requests=entries(2))
    assert len(simulator.batches) == 1
    assert [request.status for request in simulator.requests] == [529, 200]


def test_results_that_break_off(simulator: Simulator) -> None:
    simulator.script_batches("results", [Cut(3, "close")])
    with client_of(simulator) as client:
        batch = client.messages.batches.create(requests=entries(10))
        simulator.advance_batches(10)
        got: list[str] = []
        with pytest.raises((httpx2.RemoteProtocolError, anthropic.APIConnectionError)):
            got.extend(line.custom_id for line in client.messages.batches.results(batch.id))
        assert len(list(client.messages.batches.results(batch.id))) == 10


def test_another_workspace_has_other_batches(simulator: Simulator) -> None:
    with client_of(simulator) as client:
        batch = client.messages.batches.create(requests=entries(1), workspace_id="wrkspc_other")
        assert list(client.messages.batches.list()) == []
        assert client.messages.batches.retrieve(batch.id, workspace_id="wrkspc_other").id == batch.id
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch.id)


def test_over_tls_results_are_to_be_had_by_https() -> None:
    simulator = Simulator()
    with simulator.in_thread(tls=True):
        http_client = anthropic.DefaultHttpxClient(verify=simulator.ssl_context())
        with anthropic.Anthropic(api_key="key", base_url=simulator.url, http_client=http_client) as client:
            batch = client.messages.batches.create(requests=entries(1))
            simulator.advance_batches(1)
            assert str(client.messages.batches.retrieve(batch.id).results_url).startswith(f"{simulator.url}/v1/")
            assert [line.custom_id for line in client.messages.batches.results(batch.id)] == ["r0"]


@pytest.mark.anyio
async def test_in_memory() -> None:
    simulator = Simulator()
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(api_key="key", base_url="https://any.test", http_client=http_client) as client:
        batch = await client.messages.batches.create(requests=entries(2))
        simulator.advance_batches(1)
        assert len([line async for line in await client.messages.batches.results(batch.id)]) == 2


def test_a_batch_larger_than_a_message_may_be(simulator: Simulator) -> None:
    large = [an_entry(f"r{number}", content="x" * 1_000_000) for number in range(40)]
    with client_of(simulator) as client:
        assert client.messages.batches.create(requests=large).request_counts.processing == 40
        with pytest.raises(anthropic.RequestTooLargeError):
            client.messages.create(**an_entry(content="x" * 40_000_000)["params"])


@pytest.mark.manystream_simulator(batches=Batches(per_second=1 / 3_600))
def test_the_fixture_has_batches(manystream_simulator: Simulator) -> None:  # noqa: F811
    with client_of(manystream_simulator) as client:
        batch = client.messages.batches.create(requests=entries(1))
        assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
        manystream_simulator.advance_batches(3_601)
        assert client.messages.batches.retrieve(batch.id).processing_status == "ended"
    assert manystream_simulator.batches[0].outcomes == {"r0": "succeeded"}
