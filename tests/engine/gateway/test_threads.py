"""The SDK's synchronous client over an engine: many threads, in one event loop."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Literal

import anthropic
import anyio
import anyio.to_thread
import httpx2
import pytest
from tests.support.reference.streams import STREAMS
from tests.support.upstream import ASK, Upstream, asking, engine_over, events_in, json_reply, refusal, stream_reply

from manystream import AnswerFailed, AnthropicModel, RetryPolicy, Simulator, StreamResult, SyncEngine

TEXT = STREAMS["text"].body
SHOWN = b"".join(events_in(TEXT)[:4])
DELTA = events_in(TEXT)[3]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Literal["asyncio", "trio"]:
    return request.param


@pytest.fixture
def over(backend: Literal["asyncio", "trio"]) -> Iterator[Callable[..., SyncEngine]]:
    """Opens engines that an upstream answers."""
    engines: list[SyncEngine] = []

    def open_one(upstream: Upstream, **settings: Any) -> SyncEngine:
        client = httpx2.AsyncClient(transport=upstream)
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url="http://up", http_client=client)
        settings.setdefault("retry", RetryPolicy(base_delay=1e-9))
        engine = SyncEngine(model, backend=backend, grace=0.1, **settings)
        engine.open()
        engines.append(engine)
        return engine

    yield open_one
    for engine in engines:
        engine.close()


def until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(500):
        if condition():
            return
        waited.wait(0.01)
    raise TimeoutError


def test_a_message_a_stream_and_the_helper(over: Callable[..., SyncEngine]) -> None:
    ended: list[StreamResult] = []
    client: Any = over(Upstream(stream_reply(TEXT, size=30))).anthropic_client(on_end=ended.append)
    assert issubclass(type(client), anthropic.Anthropic)
    message = client.messages.create(**ASK)
    events = list(client.messages.create(**ASK, stream=True))
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_message().content[0].to_dict() == message.content[0].to_dict()
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        assert b"".join(response.http_response.iter_raw()) == TEXT
        assert response.headers["manystream-attempts"] == "1"
    assert events[-1].type == "message_stop"
    assert [result.state for result in ended] == ["complete"] * 4


def test_retries_are_unseen_and_counted(over: Callable[..., SyncEngine]) -> None:
    upstream = Upstream(
        refusal(529, "overloaded_error"), stream_reply(SHOWN[:-200], ending="reset"), stream_reply(TEXT)
    )
    engine = over(upstream)
    stream = engine.anthropic_client().messages.create(**ASK, stream=True)
    assert stream.response.headers["manystream-attempts"] == "3"
    assert list(stream)[-1].type == "message_stop"
    upstream.replies = [refusal(529, "overloaded_error")]
    upstream.requests.clear()
    with pytest.raises(anthropic.APIStatusError):
        engine.anthropic_client(max_retries=3).with_options(max_retries=1).messages.create(**ASK)
    assert len(upstream.requests) == 2


def test_a_cut_is_an_error(over: Callable[..., SyncEngine]) -> None:
    client: Any = over(Upstream(stream_reply(SHOWN, ending="reset"))).anthropic_client()
    got: list[Any] = []
    with pytest.raises(AnswerFailed) as caught:
        got.extend(event.type for event in client.messages.create(**ASK, stream=True))
    assert caught.value.result.text
    with pytest.raises(AnswerFailed):
        client.messages.create(**ASK)


def test_what_passes_through(over: Callable[..., SyncEngine]) -> None:
    large = b'{"data":[' + b" " * 2_000_000 + b'],"has_more":false}'
    upstream = Upstream(json_reply(200, b'{"input_tokens":7}'))
    client: Any = over(upstream).anthropic_client()
    assert client.messages.count_tokens(model="m", messages=ASK["messages"]).input_tokens == 7
    upstream.replies = [json_reply(200, large)]
    assert client.models.list().data == []
    upstream.replies = [refusal(404, "not_found_error")]
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("x")


def test_labels_of_a_thread(over: Callable[..., SyncEngine]) -> None:
    ended: list[StreamResult] = []
    engine = over(Upstream(stream_reply(TEXT)))
    client: Any = engine.anthropic_client(on_end=ended.append)

    def ask(number: int) -> None:
        with engine.labels(group=f"g{number}", priority=number):
            client.messages.create(**ASK, extra_headers={"manystream-custom-id": str(number)})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(20)))
    told = {(r.request.group, r.request.priority, r.custom_id) for r in ended if r.request is not None}
    assert told == {(f"g{number}", number, str(number)) for number in range(20)}


@pytest.mark.parametrize("way", ["break", "close", "dropped"])
def test_a_stream_that_is_left(over: Callable[..., SyncEngine], way: str) -> None:
    upstream = Upstream(stream_reply(SHOWN, ending="stall"))
    engine = over(upstream)
    stream: Any = engine.anthropic_client().messages.create(**ASK, stream=True)
    if way == "break":
        with stream:
            for _ in stream:
                break
    elif way == "close":
        stream.close()
    del stream
    gc.collect()
    until(lambda: engine.stats().running == 0 and upstream.open == 0)


def test_a_reader_who_has_fallen_behind_holds_the_stream_back(over: Callable[..., SyncEngine]) -> None:
    body = SHOWN + DELTA * 20_000 + b"".join(events_in(TEXT)[4:])
    upstream = Upstream(stream_reply(body, size=16 * 1024))
    engine = over(upstream)
    stream = engine.anthropic_client().messages.create(**ASK, stream=True)
    until(lambda: engine.stats().held_by_consumers == 1)
    assert upstream.read <= 256 * 1024 + 2 * 16 * 1024
    assert b"".join(stream.response.iter_raw()) == body


def test_the_engine_is_closed_meanwhile(over: Callable[..., SyncEngine]) -> None:
    upstream = Upstream(stream_reply(SHOWN, ending="stall"))
    engine = over(upstream)
    client: Any = engine.anthropic_client()
    failures: list[Exception] = []

    def ask() -> None:
        try:
            client.messages.create(**ASK)
        except AnswerFailed as exc:
            failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    until(lambda: engine.stats().running == 5)
    engine.close()
    for thread in threads:
        thread.join(5)
    assert len(failures) == 5
    assert "the engine shut down" in str(failures[0])
    with pytest.raises(anthropic.APIStatusError, match="shutting down") as caught:
        client.messages.create(**ASK)
    assert caught.value.status_code == 503


def test_a_client_that_is_given(over: Callable[..., SyncEngine]) -> None:
    upstream = Upstream(stream_reply(TEXT))
    given = anthropic.Anthropic(api_key="theirs", base_url="http://theirs", max_retries=0)
    client: Any = over(upstream).anthropic_client(client=given)
    client.messages.create(**ASK)
    assert upstream.requests[0].headers["authorization"] == "Bearer theirs"
    assert upstream.requests[0].url.host == "theirs"
    upstream.replies = [refusal(529, "overloaded_error")]
    upstream.requests.clear()
    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**ASK)
    assert len(upstream.requests) == 1


def test_two_hundred_threads_beside_two_hundred_streams() -> None:
    async def main() -> None:
        simulator = Simulator(time_to_first_token=0.01)
        async with (
            simulator.serve(),
            engine_over(Upstream(stream_reply(TEXT)), max_concurrency=400) as engine,
        ):
            given = anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url)
            asynchronous: Any = engine.anthropic_client(client=given)
            synchronous: Any = engine.sync_anthropic_client()
            texts: list[str] = []

            async def ask() -> None:
                async with asynchronous.messages.stream(**asking(max_tokens=30)) as stream:
                    texts.append(await stream.get_final_text())

            def block() -> None:
                with synchronous.messages.stream(**asking(max_tokens=30)) as stream:
                    texts.append(stream.get_final_text())

            limiter = anyio.CapacityLimiter(200)
            async with anyio.create_task_group() as tg:
                for _ in range(200):
                    tg.start_soon(ask)
                    tg.start_soon(lambda: anyio.to_thread.run_sync(block, limiter=limiter))
            assert len(texts) == 400
            assert all(texts)
            assert engine.stats().running == 0
            await given.close()

    anyio.run(main)


@pytest.mark.anyio
async def test_in_the_engine_s_own_thread_it_is_refused() -> None:
    async with engine_over(Upstream(stream_reply(TEXT))) as engine:
        client: Any = engine.sync_anthropic_client()
        with pytest.raises(RuntimeError, match="block the engine's own event loop"):
            client.messages.create(**ASK)
        asynchronous: Any = engine.anthropic_client()

        def elsewhere() -> None:
            anyio.run(lambda: asynchronous.messages.create(**ASK))

        with pytest.raises(RuntimeError, match="belongs to"):
            await anyio.to_thread.run_sync(elsewhere)


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["left", "raised", "cancelled"])
async def test_an_engine_that_is_left_before_the_door_s_first_step_lets_no_thread_wait(way: str) -> None:
    called: list[str] = []
    client: Any = None

    def from_a_thread(ask: Callable[[], object]) -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    with anyio.CancelScope() as scope, suppress(ValueError):
        async with engine_over(Upstream(stream_reply(TEXT))) as engine:
            client = engine.sync_anthropic_client()
            door = engine._find_gateway().door  # pyright: ignore[reportPrivateUsage]
            from_a_thread(lambda: door.ask(lambda: called.append(way)))  # in which the loop has no turn
            if way == "raised":
                raise ValueError
            if way == "cancelled":
                scope.cancel()
    assert called == [way]
    refused: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(anthropic.APIStatusError, match="shutting down") as caught:
            client.messages.create(**ASK)
        refused.append(caught.value)

    from_a_thread(ask)
    assert len(refused) == 1


def test_a_loop_that_has_ended_without_leaving_the_engine_lets_no_thread_wait() -> None:
    clients: list[Any] = []

    async def open_one() -> None:
        engine = engine_over(Upstream(stream_reply(TEXT)))
        await engine.open()
        clients.append(engine.sync_anthropic_client())

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, told: None)  # it tells of tasks that never end, as is meant
    loop.run_until_complete(open_one())
    loop.close()
    refused: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(RuntimeError, match="event loop of the engine has ended") as caught:
            clients[0].messages.create(**ASK)
        refused.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(5)
    assert len(refused) == 1
