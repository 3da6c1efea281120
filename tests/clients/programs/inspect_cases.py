"""Inspect, the framework for evaluations: its model for Anthropic, tools, and a whole evaluation."""

import asyncio
import tempfile

import anthropic
from casebook import BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, TWO_CALLS, case, main, raises, same
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentDocument,
    ContentImage,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ResponseSchema,
    execute_tools,
    get_model,
)
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool
from inspect_ai.util import json_schema
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


def model(simulator, name=MODEL, key="any", **config):
    return get_model(
        f"anthropic/{name}",
        base_url=simulator.url,
        api_key=key,
        memoize=False,
        config=GenerateConfig(**{"max_tokens": 500, **config}),
    )


def weather_tool(simulator, asked):
    @tool
    def get_weather():
        async def execute(city: str, days: int) -> str:
            """Looks up the weather.

            Args:
                city: where
                days: for how long
            """
            asked.append((type(city), type(days)))
            simulator.script("It is sunny.")
            return "sunny"

        return execute

    return get_weather()


@case()
async def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    output = await model(simulator).generate("Capital of France?")
    same((output.completion, output.stop_reason), ("Paris is the capital.", "stop"))
    (request,) = simulator.messages
    same((output.usage.input_tokens, output.usage.output_tokens), (request["input_tokens"], request["output_tokens"]))


@case()
async def a_system_prompt_and_several_turns(simulator):
    simulator.script("Blue.")
    turns = [
        ChatMessageSystem(content="Be brief."),
        ChatMessageUser(content="My colour is blue."),
        ChatMessageAssistant(content="Noted."),
        ChatMessageUser(content="Which is it?"),
    ]
    same((await model(simulator).generate(turns)).completion, "Blue.")
    sent = simulator.messages[0]["json"]
    same(("Be brief." in str(sent["system"]), len(sent["messages"])), (True, 3))


@case()
async def an_image(simulator):
    simulator.script("A pixel.")
    content = [ContentText(text="What do you see?"), ContentImage(image=f"data:image/png;base64,{PIXEL}")]
    same((await model(simulator).generate([ChatMessageUser(content=content)])).completion, "A pixel.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "image"])


@case()
async def a_tool_loop_by_hand(simulator):
    asked = []
    tools = [weather_tool(simulator, asked)]
    turns = [ChatMessageUser(content="What is the weather?")]
    first = await model(simulator).generate(turns, tools)
    same((first.stop_reason, first.message.tool_calls[0].function), ("tool_calls", "get_weather"))
    turns.append(first.message)
    results, _ = await execute_tools(turns, tools)
    same((type(results[0]), results[0].text, asked), (ChatMessageTool, "sunny", [(str, int)]))
    same((await model(simulator).generate(turns + results, tools)).completion, "It is sunny.")


@case()
async def the_tool_loop(simulator):
    asked = []
    messages, output = await model(simulator).generate_loop("What is the weather?", [weather_tool(simulator, asked)])
    same((output.completion, asked), ("It is sunny.", [(str, int)]))
    same([message.role for message in messages], ["assistant", "tool", "assistant"])


@case()
async def two_calls_after_a_thought(simulator):
    asked = []

    @tool
    def get_weather():
        async def execute(city: str, days: int) -> str:
            """Looks up the weather.

            Args:
                city: where
                days: for how long
            """
            asked.append((city, days))
            return "done"

        return execute

    simulator.script(TWO_CALLS, "Rain and snow.")
    thoughtful = model(simulator, max_tokens=2000, reasoning_effort="low")
    _, output = await thoughtful.generate_loop("And in Köln and Oslo?", [get_weather()])
    same((output.completion, sorted(asked)), ("Rain and snow.", [("Köln", 2), ("Oslo", 7)]))
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["type"] for block in results["content"]], ["tool_result"] * 2)


@case()
async def a_structured_answer(simulator):
    schema = ResponseSchema(name="person", json_schema=json_schema(Person))
    output = await model(simulator, response_schema=schema).generate("A person, please")
    assert Person.model_validate_json(output.completion)


@case()
async def thinking(simulator):
    output = await model(simulator, OLDER, max_tokens=2500, reasoning_tokens=1024).generate("Think about rivers")
    thoughts = [part for part in output.message.content if isinstance(part, ContentReasoning)]
    assert thoughts, "no thinking"
    assert thoughts[0].summary  # its "reasoning" is the signature
    assert output.completion


@case()
async def effort_and_adaptive_thinking(simulator):
    output = await model(simulator, effort="high", reasoning_effort="medium").generate("Think about rivers")
    assert output.completion
    assert simulator.messages[0]["json"]["output_config"]["effort"]


@case()
def an_evaluation(simulator):
    simulator.script("It is 4.", "It is 6.")
    task = Task(dataset=[Sample(input="2+2?", target="4"), Sample(input="3+4?", target="7")], scorer=includes())
    with tempfile.TemporaryDirectory() as folder:
        (log,) = eval(task, model=model(simulator), log_dir=folder, display="none", max_connections=1, max_samples=1)
    same(log.status, "success")
    same(log.results.scores[0].metrics["accuracy"].value, 0.5)
    ((_, usage),) = log.stats.model_usage.items()
    same(usage.output_tokens, sum(request["output_tokens"] for request in simulator.messages))


@case()
def an_evaluation_with_tools(simulator):
    asked = []
    task = Task(
        dataset=[Sample(input="What is the weather?", target="sunny")],
        solver=[use_tools(weather_tool(simulator, asked)), generate()],
        scorer=includes(),
    )
    with tempfile.TemporaryDirectory() as folder:
        (log,) = eval(task, model=model(simulator), log_dir=folder, display="none")
    same((log.status, log.results.scores[0].metrics["accuracy"].value, asked), ("success", 1.0, [(str, int)]))


@case()
async def a_wrong_key(simulator):
    with raises(anthropic.AuthenticationError, RuntimeError) as caught:
        await model(simulator, key="invalid").generate("Hi")
    assert "authentication_error" in str(caught[0])


@case()
async def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    same((await model(simulator, max_retries=5).generate("Hi")).completion, "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
async def a_document(simulator):
    simulator.script("A page.")
    data = "data:text/plain;base64,VGhlIHNreSBpcyBncmVlbi4="
    content = [ContentText(text="What is it?"), ContentDocument(document=data, mime_type="text/plain")]
    same((await model(simulator).generate([ChatMessageUser(content=content)])).completion, "A page.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "document"])


@case()
async def an_error_within_a_stream_is_retried(simulator):
    simulator.script(BROKEN_MIDWAY, "At last.")
    same((await model(simulator, max_retries=5, max_tokens=32_000).generate("Count")).completion, "At last.")
    same(len(simulator.messages), 2)


@case(time_to_first_token=5)
async def a_cancelled_request(simulator):
    task = asyncio.create_task(model(simulator).generate("Hi"))
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests)
    task.cancel()
    await asyncio.wait([task])
    same(task.cancelled(), True)
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


if __name__ == "__main__":
    main()
