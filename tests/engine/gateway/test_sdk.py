"""What the SDK offers, through the engine and against the simulator: as without the engine, on asyncio, trio and in
threads."""

import copy
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias, cast

import anthropic
import anyio.to_thread
import pytest
from anthropic import beta_async_tool, beta_tool
from pydantic import BaseModel
from tests.support.engines import engine_for, happens
from tests.support.upstream import ASK, asking

from manystream import AnswerFailed, Engine, StreamResult
from manystream.engine.simulator import Cut, Simulator, Stall, Thinking, ToolUse

pytestmark = pytest.mark.anyio

Client: TypeAlias = Any
SCRIPT: list[Any] = [[Thinking("Hm."), "Let me look.", ToolUse("get_weather", {"city": "Paris"})], "It is fair."]


class River(BaseModel):
    """What is asked for."""

    name: str
    length: int


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def ended() -> list[StreamResult]:
    return []


@pytest.fixture
async def engine(simulator: Simulator) -> AsyncIterator[Engine]:
    async with engine_for(simulator) as engine:
        yield engine


@pytest.fixture
async def plain(simulator: Simulator) -> AsyncIterator[Client]:
    async with anthropic.AsyncAnthropic(api_key="key", base_url=simulator.url, max_retries=0) as client:
        yield client


async def create(client: Client) -> Any:
    return (await client.messages.create(**ASK)).to_dict()


async def create_in_beta(client: Client) -> Any:
    return (await client.beta.messages.create(**ASK, betas=["one-2026-01-01"])).to_dict()


async def stream(client: Client) -> Any:
    return [event.to_dict() async for event in await client.messages.create(**ASK, stream=True)]


async def helper(client: Client) -> Any:
    async with client.messages.stream(**ASK) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert "".join(texts) == message.content[0].text
    return message.to_dict()


async def helper_in_beta(client: Client) -> Any:
    async with client.beta.messages.stream(**ASK) as stream:
        return (await stream.get_final_message()).to_dict()


async def parse(client: Client) -> Any:
    message = await client.messages.parse(**ASK, output_format=River)
    assert isinstance(message.parsed_output, River)
    return message.to_dict()


async def raw_response(client: Client) -> Any:
    response = await client.messages.with_raw_response.create(**ASK)
    assert response.headers["content-type"] == "application/json"
    return (await response.parse()).to_dict()


async def count(client: Client) -> Any:
    return (await client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"])).to_dict()


async def models(client: Client) -> Any:
    return [model.id async for model in client.models.list()]


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: without_ids(inner) for name, inner in fields.items() if name not in ("id", "request_id")}
    return [without_ids(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "use", [create, create_in_beta, stream, helper, helper_in_beta, parse, raw_response, count, models]
)
async def test_as_the_plain_client(engine: Engine, plain: Client, use: Callable[[Client], Any]) -> None:
    assert without_ids(await use(engine.anthropic_client())) == without_ids(await use(plain))


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_tool_runner(engine: Engine, simulator: Simulator, ended: list[StreamResult], streamed: bool) -> None:
    called: list[str] = []

    @beta_async_tool
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        called.append(city)
        return "fair"

    simulator.script(SCRIPT)
    client: Client = engine.anthropic_client(on_end=ended.append)
    runner = client.beta.messages.tool_runner(**ASK, tools=[get_weather], stream=streamed)
    last = await runner.until_done()
    assert called == ["Paris"]
    assert last.content[0].text == "It is fair."
    whole = [result for result in ended if result.state == "complete"]
    assert [bool(result.tool_calls) for result in whole] == [True, False]


async def test_the_tool_runner_in_a_thread(engine: Engine, simulator: Simulator) -> None:
    @beta_tool
    def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return f"fair in {city}"

    simulator.script(SCRIPT)
    client: Client = engine.sync_anthropic_client()

    def run() -> Any:
        return client.beta.messages.tool_runner(**ASK, tools=[get_weather]).until_done()

    last = await anyio.to_thread.run_sync(run)
    assert last.content[0].text == "It is fair."


async def test_the_helpers_in_a_thread(engine: Engine, simulator: Simulator) -> None:
    client: Client = engine.sync_anthropic_client()

    def run() -> tuple[Any, Any, Any]:
        with client.messages.stream(**ASK) as stream:
            streamed = stream.get_final_message().to_dict()
        created = client.messages.create(**ASK).to_dict()
        return streamed, created, client.messages.parse(**ASK, output_format=River).parsed_output

    streamed, created, parsed = await anyio.to_thread.run_sync(run)
    assert without_ids(streamed)["content"][0]["text"] == without_ids(created)["content"][0]["text"]
    assert isinstance(parsed, River)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_the_helper_never_takes_a_cut_for_an_end(engine: Engine, simulator: Simulator, end: Any) -> None:
    simulator.script([Cut(1, end, text="one two three four five six seven")])
    client: Client = engine.anthropic_client()
    with pytest.raises(AnswerFailed) as caught:
        async with client.messages.stream(**ASK) as stream:
            await stream.get_final_message()
    assert caught.value.result.state == "truncated"
    simulator.script([Cut(1, end, text="one two three four five six seven"), "whole"])
    assert (await client.messages.create(**ASK)).content[0].text == "whole"


async def test_the_connection_of_a_stream_that_is_left_is_gone(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(2, text="one two three four")])
    client: Client = engine.anthropic_client()
    async with client.messages.stream(**ASK) as stream:
        async for _ in stream.text_stream:
            break
    assert engine.stats().running == 0
    await happens(simulator, lambda simulator: simulator.requests[0].outcome == "disconnected")


async def test_connections_are_used_again(engine: Engine, simulator: Simulator) -> None:
    client: Client = engine.anthropic_client()
    for use in (create, stream, count, create):
        await use(client)
    assert simulator.total_connections == 1


async def test_no_key_and_no_prompt_is_shown(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Cut(1, "reset", text="one two")])
    client: Client = engine.anthropic_client(max_retries=0)
    with pytest.raises(AnswerFailed) as caught:
        await client.messages.create(**asking(messages=[{"role": "user", "content": "a prompt of mine"}]))
    error = caught.value
    shown = f"{error!r} {error} {error.request!r} {error.request.headers} {error.result!r}"
    assert "a prompt of mine" not in shown
    assert "authorization" not in error.request.headers
    assert not error.request.content


FACES: dict[str, Callable[[Client], Client]] = {
    "itself": lambda client: client,
    "a shallow copy": copy.copy,
    "copy": lambda client: client.copy(),
    "with_options": lambda client: client.with_options(max_retries=3, default_headers={"x-mine": "1"}),
    "options of options": lambda client: client.with_options(timeout=9.0).with_options(max_retries=0),
}


@pytest.mark.parametrize("face", FACES)
async def test_whatever_a_framework_makes_of_the_client_runs_in_the_engine(
    engine: Engine, ended: list[StreamResult], face: str
) -> None:
    client: Client = FACES[face](engine.anthropic_client(on_end=ended.append))
    others: Any = anthropic
    assert isinstance(client, anthropic.AsyncAnthropic)
    assert not isinstance(client, (others.AsyncAnthropicBedrock, others.AsyncAnthropicVertex))
    client = cast("Client", client)
    assert (type(client).__name__, type(client).__module__) == ("AsyncAnthropic", anthropic.AsyncAnthropic.__module__)
    await client.messages.create(**ASK)
    await client.beta.messages.create(**ASK)
    raw = await client.messages.with_raw_response.create(**ASK, stream=True)
    assert raw.headers["manystream-attempts"] == "1"
    parsed = raw.parse()  # to be awaited or not, as the SDK's version has it
    stream = await parsed if inspect.isawaitable(parsed) else parsed
    assert [event.type async for event in stream][-1] == "message_stop"
    async with client.beta.messages.with_streaming_response.create(**ASK) as response:
        assert (await response.parse()).type == "message"
    assert (await client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"])).input_tokens > 0
    assert [result.state for result in ended] == ["complete"] * 4


@pytest.mark.parametrize("attribute", ["max_retries", "timeout"])
async def test_what_is_set_on_the_client_counts(engine: Engine, simulator: Simulator, attribute: str) -> None:
    """As Pydantic AI's users do it, who have no other way to the client's settings."""
    client = engine.anthropic_client()
    if attribute == "max_retries":
        client.max_retries = 1
        assert (client.max_retries, client.copy().max_retries) == (1, 1)
        simulator.script([529] * 9)
        with pytest.raises(anthropic.APIStatusError):
            await client.messages.create(**ASK)
        assert len(simulator.requests) == 2
    else:
        client.timeout = 0.2
        simulator.script([Stall(after=1)] * 9)
        with pytest.raises(anthropic.APITimeoutError):
            await client.messages.create(**ASK, stream=False)


@pytest.mark.parametrize("way", [copy.deepcopy, pickle.dumps])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the SDK's half-made copy
async def test_what_the_sdk_s_client_can_t_be_put_through_ours_can_t_either(
    engine: Engine, plain: Client, way: Callable[[Client], object]
) -> None:
    for client in (plain, engine.anthropic_client()):
        with pytest.raises((TypeError, pickle.PicklingError)):
            way(client)
