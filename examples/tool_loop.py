"""A tool loop: the engine runs single turns, and this goes on with them until the model has nothing more to ask."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
from anthropic.types import MessageParam

from manystream import AnthropicModel, Engine, Simulator, StreamResult, ToolCallPart, ToolResultBlock, tool_result

Tool = Callable[[Mapping[str, Any]], Awaitable[str]]

INHABITANTS = {"Vienna": 2_000_000, "Graz": 300_000}
CITY = {"type": "object", "properties": {"city": {"enum": ["Vienna", "Atlantis"]}}, "required": ["city"]}
TOOLS = [
    {"type": "web_search_20250305", "name": "web_search"},  # the API runs this one itself, and may pause over it
    {"name": "get_weather", "description": "The weather in a city.", "input_schema": CITY},
    {"name": "count_inhabitants", "description": "How many live in a city.", "input_schema": CITY},
]


async def get_weather(arguments: Mapping[str, Any]) -> str:
    await anyio.sleep(0.05)  # as if it asked somebody
    return f"Sunny in {arguments['city']}, 21 °C."


async def count_inhabitants(arguments: Mapping[str, Any]) -> str:
    return f"{INHABITANTS[arguments['city']]} inhabitants."


FUNCTIONS: Mapping[str, Tool] = {"get_weather": get_weather, "count_inhabitants": count_inhabitants}


async def answer(call: ToolCallPart) -> ToolResultBlock:
    """Runs one call. What goes wrong is told to the model, which can do something about it."""
    try:
        text = await FUNCTIONS[call.tool_name](call.args_as_dict())
    except (LookupError, ValueError) as error:
        print(f"  {call.tool_name}({call.args}) failed: {error!r}")
        return tool_result(call, f"{type(error).__name__}: {error}", is_error=True)
    print(f"  {call.tool_name}({call.args}) = {text}")
    return tool_result(call, text)


async def answer_all(calls: tuple[ToolCallPart, ...]) -> list[ToolResultBlock]:
    """Runs calls side by side; the answers are in the calls' order."""
    answers: dict[str, ToolResultBlock] = {}

    async def run(call: ToolCallPart) -> None:
        answers[call.tool_call_id] = await answer(call)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(run, call)
    return [answers[call.tool_call_id] for call in calls]


async def converse(engine: Engine, question: str, *, max_turns: int = 10) -> StreamResult:
    """Asks, and runs the tools the model calls, until it ends its turn. Raises `RuntimeError` for any other end."""
    messages: list[MessageParam] = [{"role": "user", "content": question}]
    for number in range(1, max_turns + 1):
        async with engine.stream({"max_tokens": 2000, "messages": messages, "tools": TOOLS}) as stream:
            async for _ in stream.text_stream:
                pass  # here the text would be shown as it comes
        result = stream.result  # complete: reading raised otherwise
        print(f"turn {number}: {result.stop_reason}, {len(result.text)} characters")
        if result.stop_reason == "end_turn":
            return result
        if (turn := result.to_message_param()) is not None:
            messages.append(turn)
        if result.stop_reason == "tool_use":
            answers = await answer_all(result.tool_calls)
            # The turn goes back without a call whose arguments are not JSON, so there may be no call to answer.
            messages.append({"role": "user", "content": answers or "The arguments of your call were no JSON object."})
        elif result.stop_reason != "pause_turn":  # a paused turn goes back as it is, and the API goes on with it
            raise RuntimeError(f"turn {number} ended with {result.stop_reason}")
    raise RuntimeError(f"no answer after {max_turns} turns")


def paused_turn() -> bytes:
    """What the API sends when one of its own tools takes long: a turn that stops before the tool has answered."""
    usage = {"input_tokens": 9, "output_tokens": 1}
    text = {"type": "text", "text": "Next, weather and inhabitants."}
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Vienna"}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": search},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(seed=2).serve() as simulator:
        simulator.script([paused_turn()])
        model = AnthropicModel("claude-haiku-4-5", api_key="simulated", base_url=simulator.url)
        async with Engine(model) as engine:
            result = await converse(engine, "What is the weather in Vienna, and how many inhabitants has it?")
            print(f"answer: {result.text[:60].strip()!r} …")
            result = await converse(engine, "How many inhabitants has Atlantis?")
            print(f"answer: {result.text[:60].strip()!r} …")


if __name__ == "__main__":
    anyio.run(main)
