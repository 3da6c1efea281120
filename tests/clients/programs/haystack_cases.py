"""Haystack, with its integration `anthropic-haystack`."""

import asyncio
import json
import os

import anthropic
from casebook import BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, TWO_CALLS, case, main, raises, same
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.dataclasses import ChatMessage, FileContent, ImageContent
from haystack.tools import Tool
from haystack.utils import Secret
from haystack_integrations.components.generators.anthropic import AnthropicChatGenerator


def generator(simulator, name=MODEL, key="any", **options):
    os.environ["ANTHROPIC_BASE_URL"] = simulator.url  # it has no parameter for it
    settings = {"max_tokens": 500, **options.pop("generation_kwargs", {})}
    return AnthropicChatGenerator(api_key=Secret.from_token(key), model=name, generation_kwargs=settings, **options)


def asks(text):
    return [ChatMessage.from_user(text)]


def weather_tool(simulator, asked):
    def get_weather(city, days):
        asked.append((type(city), type(days)))
        simulator.script("It is sunny.")
        return "sunny"

    return Tool(
        name="get_weather",
        description="Looks up the weather",
        parameters={
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
        function=get_weather,
    )


@case()
def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    (reply,) = generator(simulator).run(asks("Capital of France?"))["replies"]
    same((reply.text, reply.meta["finish_reason"]), ("Paris is the capital.", "stop"))
    (request,) = simulator.messages
    usage = reply.meta["usage"]
    same(usage.get("output_tokens", usage.get("completion_tokens")), request["output_tokens"])


@case()
async def a_plain_answer_async(simulator):
    simulator.script("Paris is the capital.")
    (reply,) = (await generator(simulator).run_async(asks("Capital of France?")))["replies"]
    same(reply.text, "Paris is the capital.")


@case()
def a_system_prompt_and_several_turns(simulator):
    simulator.script("Blue.")
    turns = [
        ChatMessage.from_system("Be brief."),
        ChatMessage.from_user("My colour is blue."),
        ChatMessage.from_assistant("Noted."),
        ChatMessage.from_user("Which is it?"),
    ]
    same(generator(simulator).run(turns)["replies"][0].text, "Blue.")
    sent = simulator.messages[0]["json"]
    same(("Be brief." in str(sent["system"]), len(sent["messages"])), (True, 3))


@case()
def an_image(simulator):
    simulator.script("A pixel.")
    question = ChatMessage.from_user(
        content_parts=["What do you see?", ImageContent(base64_image=PIXEL, mime_type="image/png")]
    )
    same(generator(simulator).run([question])["replies"][0].text, "A pixel.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "image"])


@case()
def a_streamed_answer(simulator):
    simulator.script("one two three four five")
    parts = []
    replies = generator(simulator, streaming_callback=lambda chunk: parts.append(chunk.content)).run(asks("Count"))
    same(("".join(parts), replies["replies"][0].text), ("one two three four five",) * 2)
    assert len([part for part in parts if part]) > 1


@case()
async def a_streamed_answer_async(simulator):
    simulator.script("one two three four five")
    parts = []

    async def take(chunk):
        parts.append(chunk.content)

    await generator(simulator, streaming_callback=take).run_async(asks("Count"))
    same("".join(parts), "one two three four five")


@case()
def a_tool_call(simulator):
    asked = []
    tool = weather_tool(simulator, asked)
    chat = generator(simulator, tools=[tool])
    (reply,) = chat.run(asks("What is the weather?"))["replies"]
    (call,) = reply.tool_calls
    same((call.tool_name, sorted(call.arguments)), ("get_weather", ["city", "days"]))
    answered = ChatMessage.from_tool(tool.invoke(**call.arguments), origin=call)
    (last,) = chat.run([*asks("What is the weather?"), reply, answered])["replies"]
    same((last.text, asked), ("It is sunny.", [(str, int)]))


@case()
def an_agent(simulator):
    asked = []
    agent = Agent(chat_generator=generator(simulator), tools=[weather_tool(simulator, asked)])
    result = agent.run(messages=asks("What is the weather?"))
    same((result["messages"][-1].text, asked), ("It is sunny.", [(str, int)]))


@case()
def two_calls_after_a_thought(simulator):
    asked = []
    tool = weather_tool(simulator, [])
    tool.function = lambda city, days: asked.append((city, days)) or "done"
    simulator.script(TWO_CALLS, "Rain and snow.")
    settings = {"max_tokens": 2000, "thinking": {"type": "adaptive"}}
    agent = Agent(
        chat_generator=generator(simulator, generation_kwargs=settings, ignore_tools_thinking_messages=False),
        tools=[tool],
    )
    result = agent.run(messages=asks("And in Köln and Oslo?"))
    same((result["messages"][-1].text, sorted(asked)), ("Rain and snow.", [("Köln", 2), ("Oslo", 7)]))
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["type"] for block in results["content"]], ["tool_result"] * 2)


@case()
def an_agent_that_streams(simulator):
    asked, parts = [], []
    agent = Agent(
        chat_generator=generator(simulator),
        tools=[weather_tool(simulator, asked)],
        streaming_callback=lambda chunk: parts.append(chunk.content or ""),
    )
    result = agent.run(messages=asks("What is the weather?"))
    same((result["messages"][-1].text, asked), ("It is sunny.", [(str, int)]))
    assert "".join(parts).endswith("It is sunny.")


@case()
def a_pipeline(simulator):
    simulator.script("Rome.")
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder(template=asks("Capital of {{ country }}?")))
    pipeline.add_component("chat", generator(simulator))
    pipeline.connect("prompt.prompt", "chat.messages")
    same(pipeline.run({"prompt": {"country": "Italy"}})["chat"]["replies"][0].text, "Rome.")
    assert "Capital of Italy?" in str(simulator.messages[0]["json"]["messages"])


@case()
def a_structured_answer(simulator):
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": ["yes", "no"]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    settings = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    (reply,) = generator(simulator, generation_kwargs=settings).run(asks("Judge it"))["replies"]
    assert json.loads(reply.text)["verdict"] in ("yes", "no")


@case()
def thinking(simulator):
    settings = {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    (reply,) = generator(simulator, OLDER, generation_kwargs=settings).run(asks("Think about rivers"))["replies"]
    assert reply.reasoning.reasoning_text
    assert reply.text


@case()
def a_wrong_key(simulator):
    with raises(anthropic.AuthenticationError):
        generator(simulator, key="invalid").run(asks("Hi"))


@case()
def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    same(generator(simulator).run(asks("Hi"))["replies"][0].text, "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
def an_error_within_a_stream(simulator):
    simulator.script(BROKEN_MIDWAY)
    parts = []
    with raises(anthropic.APIStatusError) as caught:
        generator(simulator, streaming_callback=lambda chunk: parts.append(chunk.content)).run(asks("Count"))
    assert "".join(parts)
    same(caught[0].type, "overloaded_error")


@case()
def a_document(simulator):
    simulator.script("A page.")
    file = FileContent(base64_data="JVBERi0xLjQK", mime_type="application/pdf", filename="page.pdf")
    question = ChatMessage.from_user(content_parts=["What is it?", file])
    same(generator(simulator).run([question])["replies"][0].text, "A page.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "document"])


@case()
def refusals_without_end(simulator):
    simulator.script(OVERLOADED)
    with raises(anthropic.APIStatusError) as caught:
        generator(simulator, max_retries=0).run(asks("Hi"))
    same(caught[0].status_code, 529)


@case(time_to_first_token=5)
async def a_cancelled_request(simulator):
    task = asyncio.create_task(generator(simulator).run_async(asks("Hi")))
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests)
    task.cancel()
    await asyncio.wait([task])
    same(task.cancelled(), True)
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


if __name__ == "__main__":
    main()
