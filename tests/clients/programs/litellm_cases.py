"""LiteLLM, which speaks the Messages API by itself and answers as OpenAI does."""

import asyncio
import json

import litellm
from casebook import BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, TWO_CALLS, case, main, raises, same, says
from pydantic import BaseModel

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Looks up the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int
    languages: list[str]


def asked(simulator, messages, model=MODEL, **options):
    given = {"max_tokens": 500, "api_key": "any", **options}
    return {"model": f"anthropic/{model}", "messages": messages, "api_base": simulator.url, **given}


@case()
def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    answer = litellm.completion(**asked(simulator, says("Capital of France?")))
    same((answer.choices[0].message.content, answer.choices[0].finish_reason), ("Paris is the capital.", "stop"))
    (request,) = simulator.messages
    same(
        (answer.usage.prompt_tokens, answer.usage.completion_tokens),
        (request["input_tokens"], request["output_tokens"]),
    )


@case()
async def a_plain_answer_async(simulator):
    simulator.script("Paris is the capital.")
    answer = await litellm.acompletion(**asked(simulator, says("Capital of France?")))
    same(answer.choices[0].message.content, "Paris is the capital.")


@case()
def a_system_prompt_and_several_turns(simulator):
    simulator.script("Blue.")
    turns = [
        {"role": "system", "content": "Be brief."},
        *says("My colour is blue."),
        {"role": "assistant", "content": "Noted."},
        *says("Which is it?"),
    ]
    same(litellm.completion(**asked(simulator, turns)).choices[0].message.content, "Blue.")
    sent = simulator.messages[0]["json"]
    same(("Be brief." in str(sent["system"]), len(sent["messages"])), (True, 3))


@case()
def an_image(simulator):
    simulator.script("A pixel.")
    content = [
        {"type": "text", "text": "What do you see?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    answer = litellm.completion(**asked(simulator, [{"role": "user", "content": content}]))
    same(answer.choices[0].message.content, "A pixel.")
    same(simulator.messages[0]["json"]["messages"][0]["content"][1]["source"]["data"], PIXEL)


@case()
def a_streamed_answer(simulator):
    simulator.script("one two three four five")
    chunks = list(
        litellm.completion(**asked(simulator, says("Count"), stream=True, stream_options={"include_usage": True}))
    )
    same("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), "one two three four five")
    usage = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)][-1]
    same(usage.completion_tokens, simulator.messages[0]["output_tokens"])


@case()
async def a_streamed_answer_async(simulator):
    simulator.script("one two three four five")
    text = ""
    async for chunk in await litellm.acompletion(**asked(simulator, says("Count"), stream=True)):
        text += chunk.choices[0].delta.content or ""
    same(text, "one two three four five")


@case()
def a_tool_loop(simulator):
    first = litellm.completion(**asked(simulator, says("What is the weather?"), tools=[WEATHER]))
    same(first.choices[0].finish_reason, "tool_calls")
    message = first.choices[0].message
    (call,) = message.tool_calls
    same((call.function.name, sorted(json.loads(call.function.arguments))), ("get_weather", ["city", "days"]))
    simulator.script("It is sunny.")
    turns = [
        *says("What is the weather?"),
        message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = litellm.completion(**asked(simulator, turns, tools=[WEATHER]))
    same(second.choices[0].message.content, "It is sunny.")


@case()
def a_tool_call_in_a_stream(simulator):
    chunks = list(litellm.completion(**asked(simulator, says("What is the weather?"), tools=[WEATHER], stream=True)))
    (call,) = litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls
    same((call.function.name, type(json.loads(call.function.arguments)["days"])), ("get_weather", int))


@case()
def two_calls_after_a_thought(simulator):
    simulator.script(TWO_CALLS)
    options = {"tools": [WEATHER], "max_tokens": 2000, "reasoning_effort": "low"}
    message = litellm.completion(**asked(simulator, says("And in Köln and Oslo?"), **options)).choices[0].message
    calls = [json.loads(call.function.arguments) for call in message.tool_calls]
    same(calls, [{"city": "Köln", "days": 2}, {"city": "Oslo", "days": 7}])
    simulator.script("Rain and snow.")
    turns = [
        *says("And in Köln and Oslo?"),
        message.model_dump(),
        *({"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls),
    ]
    answer = litellm.completion(**asked(simulator, turns, **options))
    same(answer.choices[0].message.content, "Rain and snow.")
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["type"] for block in results["content"]], ["tool_result"] * 2)


@case()
def a_structured_answer(simulator):
    answer = litellm.completion(**asked(simulator, says("A person, please"), response_format=Person))
    assert Person.model_validate_json(answer.choices[0].message.content)


@case()
def a_structured_answer_of_an_older_model(simulator):
    answer = litellm.completion(**asked(simulator, says("A person, please"), OLDER, response_format=Person))
    assert Person.model_validate_json(answer.choices[0].message.content)


@case()
def thinking(simulator):
    answer = litellm.completion(
        **asked(
            simulator,
            says("Think about rivers"),
            OLDER,
            max_tokens=2000,
            thinking={"type": "enabled", "budget_tokens": 1024},
        )
    )
    message = answer.choices[0].message
    assert message.reasoning_content
    assert message.thinking_blocks[0]["signature"]
    assert message.content


@case()
def the_messages_api_through_it(simulator):
    simulator.script("Paris.")
    answer = asyncio.run(
        litellm.anthropic.messages.acreate(
            model=f"anthropic/{MODEL}",
            max_tokens=50,
            messages=says("Capital of France?"),
            api_base=simulator.url,
            api_key="any",
        )
    )
    same(answer["content"][0]["text"], "Paris.")


@case()
def a_wrong_key(simulator):
    with raises(litellm.AuthenticationError):
        litellm.completion(**asked(simulator, says("Hi"), api_key="invalid"))


@case()
def a_limited_rate(simulator):
    simulator.script({"fail": {"status": 429, "headers": {"retry-after": "7"}}})
    with raises(litellm.RateLimitError) as caught:
        litellm.completion(**asked(simulator, says("Hi"), max_retries=0, num_retries=0))
    same(caught[0].status_code, 429)


@case()
def refusals_are_retried(simulator):
    simulator.script(OVERLOADED, "At last.")
    answer = litellm.completion(**asked(simulator, says("Hi"), num_retries=2))
    same(answer.choices[0].message.content, "At last.")
    same([request["status"] for request in simulator.messages], [529, 200])


@case()
def an_overloaded_service(simulator):
    simulator.script(529)
    with raises(litellm.InternalServerError, litellm.ServiceUnavailableError, litellm.APIError) as caught:
        litellm.completion(**asked(simulator, says("Hi"), num_retries=0))
    assert "verloaded" in str(caught[0])


@case()
def an_error_within_a_stream(simulator):
    simulator.script(BROKEN_MIDWAY)
    text = ""
    with raises(litellm.APIError, litellm.InternalServerError, litellm.exceptions.MidStreamFallbackError) as caught:
        for chunk in litellm.completion(**asked(simulator, says("Count"), stream=True)):
            text += chunk.choices[0].delta.content or ""
    assert text
    assert "verloaded" in str(caught[0])


@case()
def tokens_are_counted(simulator):
    counted = asyncio.run(
        litellm.acount_tokens(
            model=f"anthropic/{MODEL}",
            messages=says("How long is this?"),
            api_base=simulator.url,
            api_key="any",
        )
    )
    answered = litellm.completion(**asked(simulator, says("How long is this?")))
    same(counted.total_tokens, answered.usage.prompt_tokens)


@case()
def a_document(simulator):
    simulator.script("A page.")
    file = {"file_data": "data:application/pdf;base64,JVBERi0xLjQK", "filename": "page.pdf"}
    content = [{"type": "text", "text": "What is it?"}, {"type": "file", "file": file}]
    answer = litellm.completion(**asked(simulator, [{"role": "user", "content": content}]))
    same(answer.choices[0].message.content, "A page.")
    same(simulator.messages[0]["json"]["messages"][0]["content"][1]["type"], "document")


@case(tokens_per_second=20)
async def a_cancelled_stream(simulator):
    async def read():
        async for chunk in await litellm.acompletion(**asked(simulator, says("A long story"), stream=True)):
            if chunk.choices[0].delta.content:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    same(task.cancelled(), True)
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


if __name__ == "__main__":
    main()
