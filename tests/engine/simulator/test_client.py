"""The official client does not notice that it talks to a simulator: every way to ask it, on asyncio and trio."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import anthropic
import anyio
import httpx2
import pytest

from manystream.engine.simulator import Cut, Fail, Simulator

pytestmark = pytest.mark.anyio

TLS = ssl.create_default_context()  # made once: it takes longer than most of these tests
# An `anthropic.AsyncAnthropic`. Its overloads tell apart what is streamed and what isn't by literal arguments, which
# these tests pass as mappings.
Client: TypeAlias = Any
ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 300,
    "messages": [{"role": "user", "content": "What's the weather like?"}],
}
THINKING: dict[str, Any] = {"thinking": {"type": "adaptive"}}
TOOLS: dict[str, Any] = {
    "tools": [
        {
            "name": "get_weather",
            "input_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        }
    ]
}


@pytest.fixture
async def simulator(anyio_backend: str) -> AsyncIterator[Simulator]:
    async with Simulator().serve() as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    http_client = anthropic.DefaultAsyncHttpxClient(verify=TLS)
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url=simulator.url, max_retries=0, http_client=http_client
    ) as client:
        yield client


def comparable(message: Any) -> dict[str, Any]:
    """A message without the ids, which no two responses share."""
    data: dict[str, Any] = message.to_dict(mode="json")
    for part in (data, *data["content"]):
        part.pop("id", None)
    return data


@pytest.mark.parametrize("params", [{}, THINKING, TOOLS, {**THINKING, **TOOLS}], ids=["text", "think", "tool", "both"])
@pytest.mark.parametrize("beta", [False, True], ids=["stable", "beta"])
async def test_created_and_streamed_are_the_same(
    client: Client, simulator: Simulator, params: dict[str, Any], beta: bool
) -> None:
    messages: Any = client.beta.messages if beta else client.messages
    asked = {**ASK, **params, **({"betas": ["interleaved-thinking-2025-05-14"]} if beta else {})}
    created = await messages.create(**asked)
    async with messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()
    kinds = [block.type for block in created.content]
    expected = ["thinking"] * ("thinking" in params) + ["text"] + ["tool_use"] * ("tools" in params)
    assert kinds == expected
    assert comparable(created) == comparable(streamed)
    assert streamed.stop_reason == ("tool_use" if "tools" in params else "end_turn")
    assert {request.path for request in simulator.requests} == {"/v1/messages"}
    assert {"anthropic-beta" in request.headers for request in simulator.requests} == {beta}


async def test_raw_events_are_of_known_types(client: Client) -> None:
    events = [event.type async for event in await client.messages.create(**ASK, **TOOLS, stream=True)]
    assert events[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert events[-2:] == ["message_delta", "message_stop"]


async def test_the_text_stream(client: Client, simulator: Simulator) -> None:
    text = "One — two 🌊, three.\n" * 20
    simulator.script([text])
    async with client.messages.stream(**ASK) as stream:
        pieces = [piece async for piece in stream.text_stream]
    assert "".join(pieces) == text
    assert len(pieces) > 20


async def test_a_tool_loop_comes_to_an_end(client: Client) -> None:
    messages: list[Any] = list(ASK["messages"])
    asked = {**ASK, **TOOLS, "messages": messages}
    turns = 0
    while (answer := await client.messages.create(**asked)).stop_reason == "tool_use":
        turns += 1
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
            for block in answer.content
            if block.type == "tool_use"
        ]
        messages += [answer.to_param(), {"role": "user", "content": results}]
    assert turns == 1
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (409, anthropic.ConflictError),
        (413, anthropic.RequestTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_status_raises_the_clients_own_error(
    client: Client,
    simulator: Simulator,
    status: int,
    error: type[anthropic.APIStatusError],
    stream: bool,
) -> None:
    simulator.script([status])
    with pytest.raises(error) as caught:
        await client.messages.create(**ASK, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")


async def test_the_client_retries_what_it_is_told_to(simulator: Simulator) -> None:
    simulator.script([Fail(529, headers={"retry-after-ms": "1"}), "at last"])
    async with anthropic.AsyncAnthropic(api_key="key", base_url=simulator.url) as retrying:
        client: Client = retrying
        message = await client.messages.create(**ASK)
    assert [block.type == "text" and block.text for block in message.content] == ["at last"]
    assert [request.status for request in simulator.requests] == [529, 200]


async def test_an_error_inside_the_stream(client: Client, simulator: Simulator) -> None:
    simulator.script([Cut(after=2, how=Fail(529))])
    events = await client.messages.create(**ASK, stream=True)
    kinds = [(await anext(events)).type for _ in range(4)]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "content_block_delta"]
    with pytest.raises(anthropic.APIStatusError) as caught:
        await anext(events)
    assert caught.value.type == "overloaded_error"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_broken_connection(client: Client, simulator: Simulator, how: Any) -> None:
    simulator.script([Cut(after=2, how=how)])
    events = await client.messages.create(**ASK, stream=True)
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        _ = [event async for event in events]
    assert simulator.requests[0].outcome == "cut"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_broken_before_the_head(client: Client, simulator: Simulator, how: Any) -> None:
    simulator.script([Cut(after="nothing", how=how)])
    with pytest.raises(anthropic.APIConnectionError):
        await client.messages.create(**ASK)
    assert simulator.requests[0].status is None


async def test_a_wrong_key(simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(api_key="invalid", base_url=simulator.url, max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError, match=r"[Ii]nvalid"):
            await client.messages.create(**ASK)


async def test_a_bearer_token(simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(auth_token="token", base_url=simulator.url, max_retries=0) as client:
        await client.messages.create(**ASK)


async def test_tokens_are_counted_and_models_listed(client: Client) -> None:
    counted = await client.messages.count_tokens(model=ASK["model"], messages=ASK["messages"])
    assert counted.input_tokens == (await client.messages.create(**ASK)).usage.input_tokens
    listed = [model.id async for model in client.models.list()]
    assert ASK["model"] in listed
    assert (await client.models.retrieve(ASK["model"])).line == "opus"


async def test_many_streams_at_once_each_get_their_own_answer(client: Client, simulator: Simulator) -> None:
    answers: dict[int, str] = {}

    async def ask(number: int) -> None:
        asked: dict[str, Any] = {**ASK, "messages": [{"role": "user", "content": f"Question {number}"}]}
        async with client.messages.stream(**asked) as stream:
            answers[number] = await stream.get_final_text()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    assert len(set(answers.values())) == 20
    assert {request.outcome for request in simulator.requests} == {"complete"}


async def test_connections_are_used_again(client: Client, simulator: Simulator) -> None:
    for _ in range(5):
        await client.messages.create(**ASK)
    simulator.script([400])
    with pytest.raises(anthropic.BadRequestError):
        await client.messages.create(**ASK)
    await client.messages.create(**ASK)
    assert simulator.total_connections == simulator.open_connections == 1
    assert {request.connection for request in simulator.requests} == {1}
