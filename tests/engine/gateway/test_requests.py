"""Requests of the SDK's client in the engine: answers that are not streamed, labels, attempts, timeouts, refusals."""

from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from anthropic.lib.bedrock import AsyncAnthropicBedrock
from tests.support.engines import engine_in_memory
from tests.support.reference.streams import STREAMS
from tests.support.upstream import ASK, Reply, Upstream, asking, engine_over, events_in, refusal, stream_reply
from tests.support.virtual import virtual_backends

from manystream import AnswerFailed, AnswerTimedOut, Engine, EngineStats, Group, RetryPolicy, StreamResult
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

TEXT = STREAMS["text"].body
HALF = b"".join(events_in(TEXT)[:4]) + events_in(TEXT)[4][:20]
"""With content, and with a part of an event."""
REFUSED = refusal(529, "overloaded_error")


def on_virtual_time(backend: str, main: Any) -> None:
    name, options = virtual_backends()[backend]
    anyio.run(main, backend=name, backend_options=options)


# -- not streamed


@pytest.mark.parametrize("beta", [False, True])
async def test_an_answer_that_is_not_streamed_is_the_api_s_own(beta: bool) -> None:
    def messages(client: Any) -> Any:
        return client.beta.messages if beta else client.messages

    simulator = Simulator()
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    plain = anthropic.AsyncAnthropic(api_key="k", base_url="http://simulated", http_client=http_client)
    expected = (await messages(plain).create(**ASK)).to_dict(mode="json")
    async with engine_in_memory(simulator) as engine:
        got = (await messages(engine.anthropic_client()).create(**ASK)).to_dict(mode="json")
    assert {**got, "id": None} == {**expected, "id": None}
    assert [request.json.get("stream") for request in simulator.requests] == [None, True]


async def test_it_may_be_long() -> None:
    async with engine_over(Upstream(stream_reply(TEXT))) as engine:
        client: Any = engine.anthropic_client()
        message = await client.messages.create(**asking(max_tokens=120_000))
    assert message.stop_reason == "end_turn"


async def test_it_begins_anew_after_a_cut() -> None:
    ended: list[StreamResult] = []
    upstream = Upstream(stream_reply(HALF), stream_reply(TEXT, size=50))
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client(on_end=ended.append)
        response = await client.messages.with_raw_response.create(**ASK)
    assert (await response.parse()).stop_reason == "end_turn"
    assert response.headers["manystream-attempts"] == "2"
    assert response.headers["content-type"] == "application/json"
    assert [result.state for result in ended] == ["complete"]
    assert ended[0].attempts[0].error is not None


async def test_what_is_never_whole_fails_with_what_came() -> None:
    upstream = Upstream(stream_reply(HALF, ending="reset"))
    async with engine_over(upstream) as engine:
        with pytest.raises(AnswerFailed, match="broke off") as caught:
            await engine.anthropic_client().messages.create(**ASK)
    assert caught.value.result.text
    assert len(upstream.requests) == 4
    assert dict(caught.value.request.headers).keys().isdisjoint({"x-api-key"})
    assert caught.value.__cause__ is not None


# -- attempts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("asked", "sent"), [(None, 4), (0, 1), (1, 2), (2, 3), (5, 6)])
async def test_the_attempts_asked_for_are_made(asked: int | None, sent: int, stream: bool) -> None:
    upstream = Upstream(REFUSED)
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        if asked is not None:
            client = client.with_options(max_retries=asked).copy()
        with pytest.raises(anthropic.APIStatusError) as caught:
            await client.messages.create(**ASK, stream=stream)
        assert caught.value.status_code == 529
        assert len(upstream.requests) == sent


async def test_the_attempts_of_a_client_and_of_a_header() -> None:
    upstream = Upstream(REFUSED)
    http_client = httpx2.AsyncClient(transport=upstream)
    given = anthropic.AsyncAnthropic(api_key="k", base_url="http://up", http_client=http_client, max_retries=1)
    by_header: dict[str, Any] = {"extra_headers": {"manystream-max-attempts": "2"}}
    async with engine_over(upstream) as engine:
        for client, options in (
            (engine.anthropic_client(max_retries=1), {}),
            (engine.anthropic_client(), by_header),
            (engine.anthropic_client(client=given), {}),
        ):
            upstream.requests.clear()
            with pytest.raises(anthropic.APIStatusError):
                await client.messages.create(**ASK, **options)
            assert len(upstream.requests) == 2
            assert "manystream-max-attempts" not in upstream.requests[0].headers


async def test_a_restart_is_an_attempt() -> None:
    upstream = Upstream(stream_reply(HALF, ending="reset"))
    async with engine_over(upstream) as engine:
        with pytest.raises(AnswerFailed):
            await engine.anthropic_client(max_retries=0).messages.create(**ASK)
    assert len(upstream.requests) == 1


async def test_what_passes_through_keeps_the_sdk_s_retries() -> None:
    counted = Reply(200, {"content-type": "application/json"}, (b'{"input_tokens":7}',))
    failed = refusal(500, "api_error", **{"retry-after-ms": "1"})
    upstream = Upstream(failed, failed, counted)
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        count = await client.messages.count_tokens(model="claude-opus-5-5", messages=ASK["messages"])
        assert count.input_tokens == 7
        assert engine.stats().running == 0
    assert len(upstream.requests) == 3


# -- credentials


async def test_a_client_that_is_given_keeps_its_credentials_and_its_http_client() -> None:
    theirs, ours = Upstream(stream_reply(TEXT)), Upstream(stream_reply(TEXT))
    given = anthropic.AsyncAnthropic(
        api_key="theirs",
        base_url="http://theirs/sub",
        http_client=httpx2.AsyncClient(transport=theirs),
        default_headers={"x-team": "search"},
    )
    async with engine_over(ours) as engine:
        client: Any = engine.anthropic_client(client=given)
        async with client.messages.stream(**ASK) as stream:
            await stream.until_done()
        assert [pool.name for pool in engine.stats().pools] == ["claude-opus-5-5"]
    assert not ours.requests
    request = theirs.requests[0]
    assert str(request.url) == "http://theirs/sub/v1/messages"
    assert request.headers["authorization"] == "Bearer theirs"
    assert request.headers["x-team"] == "search"
    assert given.max_retries == 2


async def test_clients_that_can_t_be_run_are_refused() -> None:
    async with engine_over(Upstream(REFUSED)) as engine:
        bedrock: Any = AsyncAnthropicBedrock(aws_region="us-east-1", aws_access_key="a", aws_secret_key="b")
        with pytest.raises(TypeError, match="AsyncAnthropicBedrock"):
            engine.anthropic_client(client=bedrock)
        with pytest.raises(TypeError, match="has an engine below already"):
            engine.anthropic_client(client=engine.anthropic_client())
        synchronous: Any = anthropic.Anthropic(api_key="k")
        with pytest.raises(TypeError, match=r"anthropic\.Anthropic"):
            engine.anthropic_client(client=synchronous)


async def test_before_and_after_the_engine() -> None:
    engine = engine_over(Upstream(stream_reply(TEXT)))
    with pytest.raises(RuntimeError, match="enter the engine first"):
        engine.anthropic_client()
    async with engine:
        client: Any = engine.anthropic_client()
    with pytest.raises(anthropic.APIStatusError, match="the engine is shutting down") as caught:
        await client.messages.create(**ASK)
    assert caught.value.status_code == 503
    with pytest.raises(RuntimeError, match="shutting down"):
        engine.anthropic_client()


# -- labels


async def test_labels_by_header_and_by_context() -> None:
    ended: list[StreamResult] = []
    async with engine_over(Upstream(stream_reply(TEXT))) as engine:
        client: Any = engine.anthropic_client(on_end=ended.append)
        headers = {"manystream-group": "live", "manystream-priority": "5", "manystream-custom-id": "a"}
        await client.messages.create(**ASK, extra_headers=headers)
        with engine.labels(group="nightly", priority=1):
            with engine.labels(custom_id="b", priority=2):
                await client.messages.create(**ASK)
            await client.messages.create(**ASK, extra_headers={"manystream-group": "live"})
        await client.messages.create(**ASK)
        async with engine_over(Upstream(stream_reply(TEXT))) as other:
            with engine.labels(group="elsewhere"):
                await other.anthropic_client(on_end=ended.append).messages.create(**ASK)
    told = [(r.request.group, r.request.priority, r.custom_id) for r in ended if r.request is not None]
    assert told == [
        ("live", 5, "a"),
        ("nightly", 2, "b"),
        ("live", 1, None),
        (None, 0, None),
        (None, 0, None),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manystream-groop", "a"),
        ("manystream-priority", "high"),
        ("manystream-max-attempts", "0"),
        ("manystream-custom-id", " "),
    ],
)
async def test_a_label_that_can_t_be_is_a_400_that_names_it(name: str, value: str) -> None:
    upstream = Upstream(stream_reply(TEXT))
    async with engine_over(upstream) as engine:
        with pytest.raises(anthropic.BadRequestError, match=name):
            await engine.anthropic_client().messages.create(**ASK, extra_headers={name: value})
        with pytest.raises(TypeError, match="group is a string"), engine.labels(group=3):  # type: ignore[arg-type]
            pass
    assert not upstream.requests


# -- the engine's own refusals


async def test_a_spend_cap_that_is_reached_is_a_402() -> None:
    upstream = Upstream(stream_reply(TEXT))
    async with engine_over(upstream, spend_cap=1e-9) as engine:
        for stream in (False, True):
            with pytest.raises(anthropic.APIStatusError, match="the spend cap is reached") as caught:
                await engine.anthropic_client().messages.create(**ASK, stream=stream)
            assert (caught.value.status_code, caught.value.type) == (402, "billing_error")
        with pytest.raises(anthropic.BadRequestError, match="no price is known for 'newer'"):
            await engine.anthropic_client().messages.create(**asking(model="newer"))
    assert not upstream.requests


async def test_a_full_queue_is_a_529() -> None:
    upstream = Upstream(stream_reply(TEXT, ending="stall"))
    async with (
        engine_over(upstream, max_concurrency=1, max_queued=1, grace=0.0) as engine,
        anyio.create_task_group() as tg,
    ):
        client: Any = engine.anthropic_client()

        async def ask() -> None:
            await client.messages.create(**ASK)

        tg.start_soon(ask)
        tg.start_soon(ask)
        while engine.stats().waiting < 1:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(anthropic.APIStatusError, match="the engine is busy") as caught:
            await client.messages.create(**ASK)
        assert caught.value.status_code == 529
        tg.cancel_scope.cancel()


async def test_shutting_down_says_so() -> None:
    failures: list[AnswerFailed] = []
    upstream = Upstream(stream_reply(HALF, ending="stall"))

    async def ask(engine: Engine) -> None:
        try:
            await engine.anthropic_client().messages.create(**ASK)
        except AnswerFailed as exc:
            failures.append(exc)

    async with anyio.create_task_group() as tg, engine_over(upstream, grace=0.0) as engine:
        tg.start_soon(ask, engine)
        while not upstream.read:
            await anyio.lowlevel.checkpoint()
    assert "the engine shut down" in str(failures[0])
    assert failures[0].result.text


async def test_groups_hold_back() -> None:
    upstream = Upstream(stream_reply(TEXT, ending="stall"))
    stats: list[EngineStats] = []
    async with (
        engine_over(upstream, groups={"few": Group(max_concurrency=1)}, grace=0.0) as engine,
        anyio.create_task_group() as tg,
    ):
        client: Any = engine.anthropic_client()
        with engine.labels(group="few"):
            for _ in range(3):
                tg.start_soon(lambda: client.messages.create(**ASK))
        while engine.stats().waiting < 2:
            await anyio.lowlevel.checkpoint()
        stats.append(engine.stats())
        tg.cancel_scope.cancel()
    assert (stats[0].running, stats[0].waiting) == (1, 2)


# -- time


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_timeout_of_a_read_is_the_longest_silence(backend: str, stream: bool) -> None:
    async def main() -> None:
        upstream = Upstream(stream_reply(HALF, ending="stall"))
        async with engine_over(upstream, retry=RetryPolicy(max_attempts=2, base_delay=1e-9)) as engine:
            client: Any = engine.anthropic_client()
            began = anyio.current_time()
            with pytest.raises(AnswerTimedOut, match="silence of 7 s") as caught:
                answer = await client.with_options(timeout=7.0).messages.create(**ASK, stream=stream)
                async for _ in answer:
                    pass
            assert isinstance(caught.value, anthropic.APITimeoutError)
            attempts = 1 if stream else 2  # content was handed on
            assert anyio.current_time() - began == pytest.approx(7 * attempts, abs=0.5)
            assert len(upstream.requests) == attempts
            assert upstream.requests[0].extensions["timeout"]["connect"] == 7.0
            began = anyio.current_time()
            with pytest.raises(AnswerTimedOut, match="silence of 120 s"):
                async for _ in await client.messages.create(**ASK, stream=True):
                    pass

    on_virtual_time(backend, main)
