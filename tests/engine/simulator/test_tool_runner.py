"""The official client's tool runner runs against the simulator: its own tools, and those the API defines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import anthropic
import httpx2
import pytest
from anthropic import beta_async_tool, beta_tool
from anthropic.tools import BetaLocalFilesystemMemoryTool
from tests.support.responder import a_body, a_request, a_responder, generated, json_of

from manystream.engine.simulator import Simulator, Thinking, ToolUse

Client: TypeAlias = Any
ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 4_000,
    "messages": [{"role": "user", "content": "What is the weather like?"}],
}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=0, http_client=http_client
    ) as client:
        yield client


@pytest.fixture(scope="module")
def blocking() -> Iterator[Client]:
    with (
        Simulator().in_thread() as simulator,
        httpx2.Client() as http_client,
        anthropic.Anthropic(api_key="key", base_url=simulator.url, max_retries=0, http_client=http_client) as client,
    ):
        yield client


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_is_run_and_its_result_answered(client: Client, simulator: Simulator, stream: bool) -> None:
    called: list[str] = []

    @beta_async_tool
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        called.append(city)
        return "fair"

    simulator.script([[Thinking("Hm."), "Let me look.", ToolUse("get_weather", {"city": "Paris"})], "It is fair."])
    runner = client.beta.messages.tool_runner(**ASK, tools=[get_weather], stream=stream)
    last = await runner.until_done()
    assert called == ["Paris"]
    assert last.content[0].text == "It is fair."
    first, second = [request for request in simulator.requests if request.status == 200]
    assert [block["type"] for block in second.json["messages"][1]["content"]] == ["thinking", "text", "tool_use"]
    assert second.json["messages"][2]["content"][0]["content"] == "fair"
    assert "thread" not in first.json
    refused = [request for request in simulator.requests if request.status == 400]
    assert [request.json["thread"] for request in refused] == [{"type": "create"}]


def test_a_tool_is_called_without_a_script_too(blocking: Client) -> None:
    called: list[tuple[str, int]] = []

    @beta_tool
    def get_weather(city: str, days: int) -> str:
        """Tell the weather in a city."""
        called.append((city, days))
        return "fair"

    runner = blocking.beta.messages.tool_runner(**ASK, tools=[get_weather])
    messages = list(runner)
    assert [message.stop_reason for message in messages] == ["tool_use", "end_turn"]
    assert len(called) == 1


def test_the_clients_own_memory_tool_is_called(blocking: Client, tmp_path: Path) -> None:
    memory = BetaLocalFilesystemMemoryTool(base_path=str(tmp_path))
    asked: dict[str, Any] = {**ASK, "messages": [{"role": "user", "content": "Look into your memory."}]}
    messages = list(blocking.beta.messages.tool_runner(**asked, tools=[memory]))
    assert [message.stop_reason for message in messages] == ["tool_use", "end_turn"]


NAMES = {
    "bash_20250124": ("bash", {"command"}),
    "text_editor_20250728": ("str_replace_based_edit_tool", {"command", "path"}),
    "memory_20250818": ("memory", {"command", "path"}),
    "computer_20250124": ("computer", {"action"}),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_tool_that_the_api_defines_for_clients_is_called_when_forced(kind: str) -> None:
    name, needed = NAMES[kind]
    tool = {"type": kind, "name": name}
    for choice in ({"type": "any"}, {"type": "tool", "name": name}):
        for seed in range(5):
            message = generated(a_body(tools=[tool], tool_choice=choice), seed)
            (call,) = message["content"]
            assert (call["type"], call["name"], message["stop_reason"]) == ("tool_use", name, "tool_use")
            assert needed <= set(call["input"])
    assert not [part for part in generated(a_body(tools=[tool]))["content"] if part["type"] == "tool_use"]


def test_a_scripted_call_has_an_id_of_its_own_or_the_one_it_was_given() -> None:
    responder = a_responder([ToolUse("a"), ToolUse("b", {"x": 1}, id="toolu_mine")], ToolUse("a"))
    one, other = [json_of(responder.respond(a_request(a_body()))) for _ in range(2)]
    assert [part["id"][:6] for part in one["content"]] == ["toolu_"] * 2
    assert one["content"][1] == {
        "type": "tool_use",
        "id": "toolu_mine",
        "name": "b",
        "input": {"x": 1},
        "caller": {"type": "direct"},
    }
    assert one["stop_reason"] == other["stop_reason"] == "tool_use"
    assert one["content"][0]["id"] != other["content"][0]["id"]


@pytest.mark.parametrize("step", [[1], [["x"]], [529, "x"], {"tool": 1}, [b"x"], None])
def test_what_is_no_part_of_an_answer_is_refused(step: Any) -> None:
    with pytest.raises(TypeError):
        Simulator().script([step])


@pytest.mark.parametrize("input", [{"a": object()}, {"a": float("nan")}, [1], "x"])
def test_arguments_that_json_cannot_hold_are_refused(input: Any) -> None:
    with pytest.raises(ValueError, match="input must be"):
        ToolUse("t", input)
