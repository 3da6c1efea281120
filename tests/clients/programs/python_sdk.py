"""The official Python SDK, `anthropic`: sync, and async on asyncio and on trio."""

import asyncio
import json
import tempfile

import anthropic
import httpx2
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from anthropic.tools import BetaLocalFilesystemMemoryTool
from casebook import (
    BROKEN_MIDWAY,
    MODEL,
    OLDER,
    OVERLOADED,
    PIXEL,
    RATE_LIMITED,
    TWO_CALLS,
    case,
    main,
    raises,
    same,
    says,
)
from pydantic import BaseModel

BOTH = ("asyncio", "trio")
WEATHER = {
    "name": "get_weather",
    "description": "Looks up the weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}


class Person(BaseModel):
    name: str
    age: int
    languages: list[str]


def client(simulator, **options):
    return Anthropic(api_key="any", base_url=simulator.url, **options)


def async_client(simulator, **options):
    return AsyncAnthropic(api_key="any", base_url=simulator.url, **options)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


# Plain answers


@case()
def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    message = client(simulator).messages.create(model=MODEL, max_tokens=50, messages=says("Capital of France?"))
    same(text_of(message), "Paris is the capital.")
    same((message.role, message.stop_reason, message.model), ("assistant", "end_turn", MODEL))
    assert message._request_id.startswith("req_")


@case()
def usage_is_what_the_simulator_bills(simulator):
    message = client(simulator).messages.create(model=MODEL, max_tokens=80, messages=says("Tell me of rivers"))
    (request,) = simulator.messages
    same(message.usage.output_tokens, request["output_tokens"])
    same(message.usage.input_tokens, request["input_tokens"])


@case()
def a_system_prompt_and_several_turns(simulator):
    simulator.script("Blue.")
    turns = [*says("My colour is blue."), {"role": "assistant", "content": "Noted."}, *says("Which is it?")]
    message = client(simulator).messages.create(model=MODEL, max_tokens=50, system="Be brief.", messages=turns)
    same(text_of(message), "Blue.")
    same((simulator.messages[0]["json"]["system"], len(simulator.messages[0]["json"]["messages"])), ("Be brief.", 3))


@case()
def an_image_and_a_document(simulator):
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "The sky is green."}},
        {"type": "text", "text": "What do you see?"},
    ]
    simulator.script("A pixel.")
    message = client(simulator).messages.create(
        model=MODEL, max_tokens=50, messages=[{"role": "user", "content": content}]
    )
    same(text_of(message), "A pixel.")
    assert message.usage.input_tokens > 100


@case()
def citations_of_a_document(simulator):
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "The sky is green. The grass is blue."},
        "citations": {"enabled": True},
    }
    with client(simulator).messages.stream(
        model=MODEL,
        max_tokens=200,
        messages=[{"role": "user", "content": [document, {"type": "text", "text": "What colours?"}]}],
    ) as stream:
        message = stream.get_final_message()
    cited = [citation for block in message.content if block.type == "text" for citation in block.citations or ()]
    assert cited, "no citation"
    assert all(citation.cited_text in "The sky is green. The grass is blue." for citation in cited)


@case()
def adaptive_thinking(simulator):
    message = client(simulator).messages.create(
        model=MODEL,
        max_tokens=2000,
        thinking={"type": "adaptive", "display": "summarized"},
        messages=says("Think about rivers"),
    )
    thought = message.content[0]
    same(thought.type, "thinking")
    assert thought.thinking
    assert thought.signature
    same(message.content[-1].type, "text")
    again = client(simulator).messages.create(
        model=MODEL,
        max_tokens=2000,
        thinking={"type": "adaptive"},
        messages=[
            *says("Think about rivers"),
            {"role": "assistant", "content": [block.to_dict() for block in message.content]},
            *says("And lakes?"),
        ],
    )
    same(again.stop_reason in ("end_turn", "max_tokens"), True)


@case()
def a_thinking_budget_of_an_older_model(simulator):
    with client(simulator).messages.stream(
        model=OLDER,
        max_tokens=3000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=says("Think about rivers"),
    ) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert "thinking" in kinds
    assert "signature" in kinds
    same(message.content[0].type, "thinking")


@case()
def a_stop_sequence(simulator):
    message = client(simulator).messages.create(
        model=MODEL, max_tokens=1000, stop_sequences=["END"], messages=says("Say it and END")
    )
    same((message.stop_reason, message.stop_sequence), ("stop_sequence", "END"))


@case()
def an_answer_cut_by_max_tokens(simulator):
    message = client(simulator).messages.create(
        model=MODEL, max_tokens=3, tools=[WEATHER], messages=says("What is the weather?")
    )
    same((message.stop_reason, message.usage.output_tokens), ("max_tokens", 3))


@case()
def a_cached_prompt(simulator):
    system = [{"type": "text", "text": "Rule. " * 8000, "cache_control": {"type": "ephemeral"}}]
    one = client(simulator).messages.create(model=MODEL, max_tokens=20, system=system, messages=says("First"))
    two = client(simulator).messages.create(model=MODEL, max_tokens=20, system=system, messages=says("Second"))
    assert one.usage.cache_creation_input_tokens > 5000
    same(two.usage.cache_read_input_tokens, one.usage.cache_creation_input_tokens)


# Streams


@case()
def the_raw_events_of_a_stream(simulator):
    simulator.script("one two three")
    kinds, text = [], ""
    for event in client(simulator).messages.create(
        model=MODEL, max_tokens=50, messages=says("Count to three"), stream=True
    ):
        kinds.append(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
    same(text, "one two three")
    same((kinds[0], kinds[-2:]), ("message_start", ["message_delta", "message_stop"]))


@case()
def the_stream_helper(simulator):
    simulator.script("one two three four five six seven eight")
    with client(simulator).messages.stream(model=MODEL, max_tokens=50, messages=says("Count")) as stream:
        parts = list(stream.text_stream)
        message = stream.get_final_message()
    same("".join(parts), "one two three four five six seven eight")
    assert len(parts) > 1
    same(text_of(message), "one two three four five six seven eight")
    same(message.usage.output_tokens, simulator.messages[0]["output_tokens"])


@case()
def a_tool_call_in_a_stream(simulator):
    with client(simulator).messages.stream(
        model=MODEL, max_tokens=500, tools=[WEATHER], messages=says("What is the weather?")
    ) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    (call,) = [block for block in message.content if block.type == "tool_use"]
    same(json.loads("".join(pieces)), call.input)
    assert call.input["unit"] in ("C", "F")
    same(message.stop_reason, "tool_use")


@case(on=BOTH)
async def a_plain_answer_async(simulator):
    simulator.script("Paris.")
    async with async_client(simulator) as sdk:
        message = await sdk.messages.create(model=MODEL, max_tokens=50, messages=says("Capital of France?"))
    same(text_of(message), "Paris.")
    same(message.usage.output_tokens, simulator.messages[0]["output_tokens"])


@case(on=BOTH)
async def raw_events_async(simulator):
    simulator.script("one two three")
    text = ""
    async with async_client(simulator) as sdk:
        async for event in await sdk.messages.create(
            model=MODEL, max_tokens=50, messages=says("Count to three"), stream=True
        ):
            if event.type == "content_block_delta":
                text += event.delta.text
    same(text, "one two three")


@case(on=BOTH)
async def the_stream_helper_async(simulator):
    simulator.script("one two three")
    async with (
        async_client(simulator) as sdk,
        sdk.messages.stream(model=MODEL, max_tokens=50, messages=says("Count")) as stream,
    ):
        parts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    same(("".join(parts), text_of(message)), ("one two three", "one two three"))


@case(on=BOTH, tokens_per_second=20)
async def leaving_a_stream_cancels_it_async(simulator):
    async with async_client(simulator) as sdk:
        async with sdk.messages.stream(model=MODEL, max_tokens=1000, messages=says("A long story")) as stream:
            async for _ in stream.text_stream:
                break
        simulator.wait_for(lambda requests: requests[0]["outcome"] == "disconnected")


@case(tokens_per_second=20)
def leaving_a_stream_cancels_it(simulator):
    with client(simulator).messages.stream(model=MODEL, max_tokens=1000, messages=says("A long story")) as stream:
        for _ in stream.text_stream:
            break
    simulator.wait_for(lambda requests: requests[0]["outcome"] == "disconnected")


# Tools


@case()
def the_tool_loop_by_hand(simulator):
    sdk = client(simulator)
    first = sdk.messages.create(model=MODEL, max_tokens=500, tools=[WEATHER], messages=says("What is the weather?"))
    (call,) = [block for block in first.content if block.type == "tool_use"]
    simulator.script("It is sunny.")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    second = sdk.messages.create(
        model=MODEL,
        max_tokens=500,
        tools=[WEATHER],
        messages=[
            *says("What is the weather?"),
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ],
    )
    same(text_of(second), "It is sunny.")


@case()
def a_forced_tool_of_an_older_model(simulator):
    message = client(simulator).messages.create(
        model=OLDER,
        max_tokens=500,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
        messages=says("Go on"),
    )
    same([block.type for block in message.content], ["tool_use"])
    assert message.content[0].input["unit"] in ("C", "F")


def weather_tool(simulator, asked, answer="It is sunny."):
    @beta_tool
    def get_weather(city: str, days: int) -> str:
        """Looks up the weather.

        Args:
            city: where
            days: for how long
        """
        asked.append((city, days))
        if answer is not None:
            simulator.script(answer)
        return "sunny"

    return get_weather


def weather_tool_async(simulator, asked):
    @beta_async_tool
    async def get_weather(city: str, days: int) -> str:
        """Looks up the weather.

        Args:
            city: where
            days: for how long
        """
        asked.append((city, days))
        simulator.script("It is sunny.")
        return "sunny"

    return get_weather


def check_weather(simulator, asked):
    ((city, days),) = asked
    same((type(city), type(days)), (str, int))
    answered = simulator.messages[-1]["json"]["messages"][-1]["content"]
    same([block["type"] for block in answered], ["tool_result"])
    same([request["status"] for request in simulator.messages[-1:]], [200])


@case()
def the_tool_runner(simulator):
    asked = []
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=500,
        tools=[weather_tool(simulator, asked)],
        messages=says("What is the weather?"),
    )
    same(text_of(runner.until_done()), "It is sunny.")
    check_weather(simulator, asked)


@case()
def the_tool_runner_message_by_message(simulator):
    asked = []
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=500,
        tools=[weather_tool(simulator, asked)],
        messages=says("What is the weather?"),
    )
    same([message.stop_reason for message in runner], ["tool_use", "end_turn"])
    check_weather(simulator, asked)


@case()
def the_tool_runner_streaming(simulator):
    asked, parts = [], []
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=500,
        tools=[weather_tool(simulator, asked)],
        messages=says("What is the weather?"),
        stream=True,
    )
    for stream in runner:
        parts.append("".join(stream.text_stream))
    same(parts[-1], "It is sunny.")
    check_weather(simulator, asked)


@case()
def two_calls_after_a_thought(simulator):
    asked = []
    simulator.script(TWO_CALLS, "Rain and snow.")
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=2000,
        thinking={"type": "adaptive", "display": "summarized"},
        tools=[weather_tool(simulator, asked, answer=None)],
        messages=says("And in Köln and Oslo?"),
    )
    same(text_of(runner.until_done()), "Rain and snow.")
    same(sorted(asked), [("Köln", 2), ("Oslo", 7)])
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["tool_use_id"] for block in results["content"]], [block["id"] for block in reply["content"][2:]])


@case()
def the_tool_runner_without_threads(simulator):
    asked = []
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=500,
        thread=False,
        tools=[weather_tool(simulator, asked)],
        messages=says("What is the weather?"),
    )
    same(text_of(runner.until_done()), "It is sunny.")
    same(len(simulator.messages), 2)
    check_weather(simulator, asked)


@case(on=BOTH)
async def the_tool_runner_async(simulator):
    asked = []
    async with async_client(simulator) as sdk:
        runner = sdk.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=500,
            tools=[weather_tool_async(simulator, asked)],
            messages=says("What is the weather?"),
        )
        same(text_of(await runner.until_done()), "It is sunny.")
    check_weather(simulator, asked)


@case(on=BOTH)
async def the_tool_runner_streaming_async(simulator):
    asked, parts = [], []
    async with async_client(simulator) as sdk:
        runner = sdk.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=500,
            tools=[weather_tool_async(simulator, asked)],
            messages=says("What is the weather?"),
            stream=True,
        )
        async for stream in runner:
            parts.append("".join([text async for text in stream.text_stream]))
    same(parts[-1], "It is sunny.")
    check_weather(simulator, asked)


# The tools that the API defines


@case()
def the_memory_tool_in_the_tool_runner(simulator):
    with tempfile.TemporaryDirectory() as folder:
        runner = client(simulator).beta.messages.tool_runner(
            model=MODEL,
            max_tokens=500,
            tools=[BetaLocalFilesystemMemoryTool(folder)],
            messages=says("Look into your memory"),
            max_iterations=3,
        )
        messages = list(runner)
    (call,) = [block for block in messages[0].content if block.type == "tool_use"]
    same(call.name, "memory")
    assert call.input["command"] in ("view", "create", "str_replace", "insert", "delete", "rename")
    assert len(messages) > 1


@case()
def a_shell_and_a_text_editor(simulator):
    tools = [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    ]
    for question, name in (("Use bash, please", "bash"), ("Edit it", "str_replace_based_edit_tool")):
        message = client(simulator).messages.create(
            model=OLDER,
            max_tokens=500,
            tools=tools,
            tool_choice={"type": "tool", "name": name},
            messages=says(question),
        )
        (call,) = [block for block in message.content if block.type == "tool_use"]
        same(call.name, name)
        assert isinstance(call.input["command"], str)


@case()
def a_web_search(simulator):
    with client(simulator).messages.stream(
        model=OLDER,
        max_tokens=500,
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
        messages=says("Search the web, please"),
    ) as stream:
        message = stream.get_final_message()
    kinds = [block.type for block in message.content]
    same(kinds[:2], ["server_tool_use", "web_search_tool_result"])
    same(message.usage.server_tool_use.web_search_requests, 1)
    assert all(result.url for result in message.content[1].content)


# Message threads


@case()
def a_thread_of_messages(simulator):
    simulator.script("Noted.", "Blue.")
    thread = client(simulator).beta.messages.thread(
        model=MODEL, max_tokens=50, system="Be brief.", unsupported_request_behavior="continue_unthreaded"
    )
    same(text_of(thread.send({"role": "user", "content": "My colour is blue."})), "Noted.")
    same(text_of(thread.send({"role": "user", "content": "Which is it?"})), "Blue.")
    same(len(thread.messages), 4)
    same(len(simulator.messages[-1]["json"]["messages"]), 3)  # the service keeps no threads, so all is sent again


# Structured outputs


@case()
def a_parsed_answer(simulator):
    message = client(simulator).messages.parse(
        model=MODEL, max_tokens=500, messages=says("A person, please"), output_format=Person
    )
    assert isinstance(message.parsed_output, Person)
    same(Person.model_validate_json(text_of(message)), message.parsed_output)
    same(simulator.messages[0]["json"]["output_config"]["format"]["type"], "json_schema")


@case()
def a_parsed_stream(simulator):
    with client(simulator).messages.stream(
        model=MODEL, max_tokens=500, messages=says("A person, please"), output_format=Person
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    same(Person.model_validate_json(text), message.parsed_output)


@case()
def a_json_schema_by_hand(simulator):
    schema = {
        "type": "object",
        "properties": {"verdict": {"enum": ["yes", "no"]}, "score": {"type": "integer"}},
        "required": ["verdict", "score"],
        "additionalProperties": False,
    }
    message = client(simulator).messages.create(
        model=MODEL,
        max_tokens=200,
        messages=says("Judge it"),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    found = json.loads(text_of(message))
    same((sorted(found), found["verdict"] in ("yes", "no"), type(found["score"])), (["score", "verdict"], True, int))


@case()
def a_parsed_answer_of_the_tool_runner(simulator):
    asked = []
    runner = client(simulator).beta.messages.tool_runner(
        model=MODEL,
        max_tokens=500,
        tools=[weather_tool(simulator, asked, answer=None)],
        messages=says("What is the weather?"),
        output_format=Person,
    )
    assert isinstance(runner.until_done().parsed_output, Person)
    same(len(asked), 1)


@case()
def a_parsed_answer_of_the_beta(simulator):
    message = client(simulator).beta.messages.parse(
        model=MODEL, max_tokens=500, messages=says("A person, please"), output_format=Person
    )
    assert isinstance(message.parsed_output, Person)


@case(on=BOTH)
async def a_parsed_answer_async(simulator):
    async with async_client(simulator) as sdk:
        message = await sdk.messages.parse(
            model=MODEL, max_tokens=500, messages=says("A person, please"), output_format=Person
        )
    assert isinstance(message.parsed_output, Person)


# Models, tokens, batches


@case()
def tokens_are_counted(simulator):
    sdk = client(simulator)
    counted = sdk.messages.count_tokens(model=MODEL, system="Be brief.", messages=says("How long is this?"))
    answered = sdk.messages.create(model=MODEL, max_tokens=5, system="Be brief.", messages=says("How long is this?"))
    same(counted.input_tokens, answered.usage.input_tokens)


@case()
def models_come_in_pages(simulator):
    sdk = client(simulator)
    whole = [model.id for model in sdk.models.list(limit=1000)]
    paged = [model.id for model in sdk.models.list(limit=2)]
    assert len(whole) > 2
    same(paged, whole)
    assert len([request for request in simulator.requests if request["path"] == "/v1/models"]) > 2


@case()
def a_model_by_its_name(simulator):
    model = client(simulator).models.retrieve(MODEL)
    same((model.id, model.type), (MODEL, "model"))
    assert model.max_input_tokens > 100_000
    with raises(anthropic.NotFoundError):
        client(simulator).models.retrieve("claude-nonesuch-9")


def batch_requests(count):
    return [
        {
            "custom_id": f"question-{number}",
            "params": {"model": MODEL, "max_tokens": 20, "messages": says(f"Question {number}")},
        }
        for number in range(count)
    ]


@case()
def a_batch_from_its_creation_to_its_results(simulator):
    sdk = client(simulator)
    batch = sdk.messages.batches.create(requests=batch_requests(3))
    same(batch.processing_status, "in_progress")
    simulator.wait_for(lambda _: sdk.messages.batches.retrieve(batch.id).processing_status == "ended", 20)
    same(sdk.messages.batches.retrieve(batch.id).request_counts.succeeded, 3)
    results = {result.custom_id: result.result for result in sdk.messages.batches.results(batch.id)}
    same(sorted(results), ["question-0", "question-1", "question-2"])
    assert all(result.type == "succeeded" and text_of(result.message) for result in results.values())


@case()
def batches_come_in_pages_and_can_be_deleted(simulator):
    sdk = client(simulator)
    made = {sdk.messages.batches.create(requests=batch_requests(1)).id for _ in range(3)}
    same({batch.id for batch in sdk.messages.batches.list(limit=2)}, made)
    one = made.pop()
    simulator.wait_for(lambda _: sdk.messages.batches.retrieve(one).processing_status == "ended", 20)
    same(sdk.messages.batches.delete(one).type, "message_batch_deleted")
    with raises(anthropic.NotFoundError):
        sdk.messages.batches.retrieve(one)


@case()
def a_batch_is_cancelled(simulator):
    sdk = client(simulator)
    batch = sdk.messages.batches.create(requests=batch_requests(2))
    assert sdk.messages.batches.cancel(batch.id).processing_status in ("canceling", "ended")
    simulator.wait_for(lambda _: sdk.messages.batches.retrieve(batch.id).processing_status == "ended", 20)
    same({result.result.type for result in sdk.messages.batches.results(batch.id)} <= {"canceled", "succeeded"}, True)


@case(on=BOTH)
async def a_batch_async(simulator):
    async with async_client(simulator) as sdk:
        batch = await sdk.messages.batches.create(requests=batch_requests(2))
        found = await sdk.messages.batches.retrieve(batch.id)
        same((found.id, found.type), (batch.id, "message_batch"))


# What comes beside an answer


@case()
def the_headers_of_an_answer(simulator):
    simulator.script("Hello.")
    raw = client(simulator).messages.with_raw_response.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-organization-id"]
    same(text_of(raw.parse()), "Hello.")


@case()
def a_bearer_token(simulator):
    simulator.script("Hello.")
    sdk = Anthropic(auth_token="any", base_url=simulator.url)
    same(text_of(sdk.messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))), "Hello.")
    same(simulator.messages[0]["headers"]["authorization"], "Bearer any")


@case(on="trio")
async def a_cancelled_scope(simulator):
    import trio

    simulator.script({"stall": {"after": "nothing"}})
    async with async_client(simulator) as sdk:
        with trio.move_on_after(0.2) as scope:
            await sdk.messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    assert scope.cancelled_caught
    simulator.wait_for(lambda requests: requests[0]["outcome"] == "disconnected")


@case()
async def a_cancelled_request(simulator):
    simulator.script({"stall": {"after": "nothing"}})
    async with async_client(simulator) as sdk:
        with raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sdk.messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


# Errors


@case()
def a_wrong_key(simulator):
    with raises(anthropic.AuthenticationError) as caught:
        Anthropic(api_key="invalid", base_url=simulator.url).messages.create(
            model=MODEL, max_tokens=5, messages=says("Hi")
        )
    same((caught[0].status_code, caught[0].type), (401, "authentication_error"))
    same(len(simulator.messages), 1)


@case()
def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    message = client(simulator).messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    same(text_of(message), "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
def refusals_without_end(simulator):
    simulator.script(RATE_LIMITED, RATE_LIMITED)
    with raises(anthropic.RateLimitError) as caught:
        client(simulator, max_retries=1).messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    same((caught[0].status_code, caught[0].type), (429, "rate_limit_error"))
    assert caught[0].request_id.startswith("req_")


@case()
def an_overloaded_service(simulator):
    simulator.script(529)
    with raises(anthropic.OverloadedError) as caught:
        client(simulator, max_retries=0).messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    same((caught[0].status_code, caught[0].type), (529, "overloaded_error"))


@case()
def an_invalid_request(simulator):
    with raises(anthropic.BadRequestError) as caught:
        client(simulator).messages.create(model=MODEL, max_tokens=20, messages=[])
    same(caught[0].type, "invalid_request_error")
    assert "at least one message" in caught[0].api_message


@case()
def an_unknown_model(simulator):
    with raises(anthropic.NotFoundError) as caught:
        client(simulator).messages.create(model="nonesuch", max_tokens=20, messages=says("Hi"))
    same(caught[0].type, "not_found_error")


@case()
def sampling_parameters(simulator):
    simulator.script("Hello.")
    sdk = client(simulator)
    asked = {"max_tokens": 20, "messages": says("Hi"), "extra_body": {"temperature": 0.5}}
    before = {"anthropic-version": "2023-06-01"}
    same(text_of(sdk.messages.create(model=OLDER, extra_headers=before, **asked)), "Hello.")
    for refused in ({"model": OLDER}, {"model": MODEL, "extra_headers": before}):  # by the version, by the model
        with raises(anthropic.BadRequestError) as caught:
            sdk.messages.create(**refused, **asked)
        assert "temperature" in caught[0].api_message


@case()
def a_budget_for_thinking_that_the_model_refuses(simulator):
    with raises(anthropic.BadRequestError) as caught:
        client(simulator).messages.create(
            model=MODEL,
            max_tokens=2000,
            thinking={"type": "enabled", "budget_tokens": 1024},
            messages=says("Think"),
        )
    assert "thinking" in caught[0].api_message


@case()
def an_error_by_its_code(simulator):
    details = {"status": 400, "code": "organization_on_hold"}
    simulator.script({"fail": details})
    with raises(anthropic.BadRequestError) as caught:
        client(simulator).messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    same((caught[0].error_code, caught[0].type), ("organization_on_hold", "invalid_request_error"))


@case()
def an_unknown_field(simulator):
    with raises(anthropic.BadRequestError) as caught:
        client(simulator).messages.create(
            model=MODEL, max_tokens=20, messages=says("Hi"), extra_body={"no_such_field": 1}
        )
    assert "no_such_field" in caught[0].api_message


@case()
def an_error_within_a_stream(simulator):
    simulator.script(BROKEN_MIDWAY)
    with (
        raises(anthropic.APIStatusError) as caught,
        client(simulator).messages.stream(model=MODEL, max_tokens=50, messages=says("Count")) as stream,
    ):
        parts = []
        for text in stream.text_stream:
            parts.append(text)
    assert "".join(parts)
    same(caught[0].type, "overloaded_error")


@case(on=BOTH)
async def an_error_within_a_stream_async(simulator):
    simulator.script(BROKEN_MIDWAY)
    async with async_client(simulator) as sdk:
        with raises(anthropic.APIStatusError) as caught:
            async with sdk.messages.stream(model=MODEL, max_tokens=50, messages=says("Count")) as stream:
                async for _ in stream.text_stream:
                    pass
    same(caught[0].type, "overloaded_error")


@case(on=BOTH)
async def refusals_are_retried_async(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    async with async_client(simulator) as sdk:
        message = await sdk.messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))
    same(text_of(message), "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
def a_connection_that_is_reset(simulator):
    simulator.script({"cut": {"after": 2, "how": "reset", "text": "one two three four"}})
    with (
        raises(anthropic.APIConnectionError, httpx2.TransportError),
        client(simulator).messages.stream(model=MODEL, max_tokens=50, messages=says("Count")) as stream,
    ):
        stream.until_done()


@case()
def a_timeout(simulator):
    simulator.script({"stall": {"after": "nothing"}})
    with raises(anthropic.APITimeoutError):
        client(simulator, max_retries=0, timeout=0.3).messages.create(model=MODEL, max_tokens=20, messages=says("Hi"))


if __name__ == "__main__":
    main()
