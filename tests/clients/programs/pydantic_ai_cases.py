"""Pydantic AI, with its model for Anthropic."""

import asyncio

from casebook import BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, RATE_LIMITED, TWO_CALLS, case, main, raises, same
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    ModelHTTPError,
    NativeOutput,
    PromptedOutput,
    ThinkingPart,
    ToolCallPart,
    ToolOutput,
    ToolReturnPart,
)
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider


class Person(BaseModel):
    name: str
    age: int
    languages: list[str]


def model(simulator, name=MODEL, key="any"):
    return AnthropicModel(name, provider=AnthropicProvider(api_key=key, base_url=simulator.url))


def weather_agent(simulator, asked, **options):
    agent = Agent(model(simulator), **options)

    @agent.tool_plain
    def get_weather(city: str, days: int) -> str:
        """Looks up the weather."""
        asked.append((type(city), type(days)))
        simulator.script("It is sunny.")
        return "sunny"

    return agent


@case()
def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    result = Agent(model(simulator)).run_sync("Capital of France?")
    same(result.output, "Paris is the capital.")
    (request,) = simulator.messages
    usage = result.usage() if callable(result.usage) else result.usage
    same((usage.input_tokens, usage.output_tokens), (request["input_tokens"], request["output_tokens"]))


@case()
async def instructions_and_several_turns(simulator):
    simulator.script("Noted.", "Blue.")
    agent = Agent(model(simulator), instructions="Be brief.")
    first = await agent.run("My colour is blue.")
    second = await agent.run("Which is it?", message_history=first.all_messages())
    same(second.output, "Blue.")
    sent = simulator.messages[-1]["json"]
    same(len(sent["messages"]), 3)
    assert "Be brief." in str(sent["system"])


@case()
async def an_image_and_a_document(simulator):
    simulator.script("A pixel.")
    question = [
        "What do you see?",
        BinaryContent(b"\x89PNG\r\n\x1a\n" + bytes(40), media_type="image/png"),
        BinaryContent(b"The sky is green.", media_type="text/plain"),
    ]
    result = await Agent(model(simulator)).run(question)
    same(result.output, "A pixel.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(("image" in kinds, "document" in kinds or kinds.count("text") > 1), (True, True))


@case()
async def a_streamed_answer(simulator):
    simulator.script("one two three four five")
    async with Agent(model(simulator)).run_stream("Count") as result:
        parts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
    same("".join(parts), "one two three four five")
    assert len(parts) > 1


@case()
def tools(simulator):
    asked = []
    result = weather_agent(simulator, asked).run_sync("What is the weather?")
    same((result.output, asked), ("It is sunny.", [(str, int)]))
    kinds = [type(part) for message in result.all_messages() for part in message.parts]
    assert ToolCallPart in kinds
    assert ToolReturnPart in kinds


@case()
def two_calls_after_a_thought(simulator):
    asked = []
    agent = Agent(model(simulator), model_settings={"max_tokens": 2000, "anthropic_thinking": {"type": "adaptive"}})

    @agent.tool_plain
    def get_weather(city: str, days: int) -> str:
        asked.append((city, days))
        return "done"

    simulator.script(TWO_CALLS, "Rain and snow.")
    same(agent.run_sync("And in Köln and Oslo?").output, "Rain and snow.")
    same(sorted(asked), [("Köln", 2), ("Oslo", 7)])
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["type"] for block in results["content"]], ["tool_result"] * 2)


@case()
async def tools_in_a_stream_of_events(simulator):
    asked, kinds, result = [], [], None
    async with weather_agent(simulator, asked).run_stream_events("What is the weather?") as events:
        async for event in events:
            kinds.append(event.event_kind)
            result = getattr(event, "result", None)
    same((result.output, asked), ("It is sunny.", [(str, int)]))
    assert {"part_delta", "function_tool_call", "function_tool_result", "agent_run_result"} <= set(kinds), kinds


@case()
async def an_iterated_run(simulator):
    asked, nodes = [], []
    async with weather_agent(simulator, asked).iter("What is the weather?") as run:
        async for node in run:
            nodes.append(type(node).__name__)
    same((run.result.output, asked), ("It is sunny.", [(str, int)]))
    same(nodes.count("ModelRequestNode"), 2)


@case()
def an_output_by_a_tool(simulator):
    result = Agent(model(simulator, OLDER), output_type=ToolOutput(Person)).run_sync("A person, please")
    assert isinstance(result.output, Person)
    same(simulator.messages[0]["json"]["tool_choice"]["type"], "any")


@case()
def an_output_as_the_library_chooses(simulator):
    result = Agent(model(simulator), output_type=Person).run_sync("A person, please")
    assert isinstance(result.output, Person)


@case()
def a_native_output(simulator):
    result = Agent(model(simulator), output_type=NativeOutput(Person)).run_sync("A person, please")
    assert isinstance(result.output, Person)
    same(simulator.messages[0]["json"]["output_config"]["format"]["type"], "json_schema")


@case()
async def a_native_output_in_a_stream(simulator):
    async with Agent(model(simulator), output_type=NativeOutput(Person)).run_stream("A person, please") as result:
        assert isinstance(await result.get_output(), Person)


@case()
def a_prompted_output(simulator):
    simulator.script('{"name": "Ada", "age": 36, "languages": ["en"]}')
    result = Agent(model(simulator), output_type=PromptedOutput(Person)).run_sync("A person, please")
    same(result.output, Person(name="Ada", age=36, languages=["en"]))


@case()
async def thinking(simulator):
    settings = {"max_tokens": 2000, "anthropic_thinking": {"type": "adaptive", "display": "summarized"}}
    result = await Agent(model(simulator), model_settings=settings).run("Think about rivers")
    thoughts = [part for part in result.all_messages()[-1].parts if isinstance(part, ThinkingPart)]
    assert thoughts, "no thinking"
    assert thoughts[0].content
    assert thoughts[0].signature
    assert result.output


@case()
def a_wrong_key(simulator):
    with raises(ModelHTTPError) as caught:
        Agent(model(simulator, key="invalid")).run_sync("Hi")
    same(caught[0].status_code, 401)


@case()
def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    same(Agent(model(simulator)).run_sync("Hi").output, "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
def an_overloaded_service(simulator):
    simulator.script(*[OVERLOADED] * 6)
    with raises(ModelHTTPError) as caught:
        Agent(model(simulator)).run_sync("Hi")
    same(caught[0].status_code, 529)


@case()
async def an_error_within_a_stream(simulator):
    simulator.script(BROKEN_MIDWAY)
    parts = []
    with raises(AgentRunError) as caught:
        async with Agent(model(simulator)).run_stream("Count") as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                parts.append(text)
    assert parts, "no text came before"
    assert "verloaded" in str(caught[0]), caught[0]


@case(tokens_per_second=20)
async def a_cancelled_stream(simulator):
    async def read():
        async with Agent(model(simulator)).run_stream("A long story") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    same(task.cancelled(), True)
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


@case()
async def tokens_are_counted(simulator):
    from pydantic_ai.messages import ModelRequest
    from pydantic_ai.models import ModelRequestParameters

    counted = await model(simulator).count_tokens(
        [ModelRequest.user_text_prompt("How long is this?")], {}, ModelRequestParameters()
    )
    assert counted.input_tokens > 0
    same([request["path"] for request in simulator.requests], ["/v1/messages/count_tokens"])


if __name__ == "__main__":
    main()
