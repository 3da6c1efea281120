"""LangChain, with `langchain-anthropic`."""

import asyncio

import anthropic
from casebook import BROKEN_MIDWAY, MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, TWO_CALLS, case, main, raises, same
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel


class Person(BaseModel):
    """A person."""

    name: str
    age: int
    languages: list[str]


def chat(simulator, name=MODEL, key="any", **options):
    return ChatAnthropic(model=name, api_key=key, base_url=simulator.url, **{"max_tokens": 500, **options})


def weather_tool(simulator, asked):
    @tool
    def get_weather(city: str, days: int) -> str:
        """Looks up the weather."""
        asked.append((type(city), type(days)))
        simulator.script("It is sunny.")
        return "sunny"

    return get_weather


@case()
def a_plain_answer(simulator):
    simulator.script("Paris is the capital.")
    message = chat(simulator).invoke("Capital of France?")
    same(message.text, "Paris is the capital.")
    (request,) = simulator.messages
    same(message.usage_metadata["input_tokens"], request["input_tokens"])
    same(message.usage_metadata["output_tokens"], request["output_tokens"])
    same(message.response_metadata["stop_reason"], "end_turn")


@case()
def a_system_prompt_and_several_turns(simulator):
    simulator.script("Blue.")
    turns = [
        SystemMessage("Be brief."),
        HumanMessage("My colour is blue."),
        AIMessage("Noted."),
        HumanMessage("Which is it?"),
    ]
    same(chat(simulator).invoke(turns).text, "Blue.")
    sent = simulator.messages[0]["json"]
    same(("Be brief." in str(sent["system"]), len(sent["messages"])), (True, 3))


@case()
def an_image_and_a_document(simulator):
    simulator.script("A pixel.")
    content = [
        {"type": "text", "text": "What do you see?"},
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "text-plain", "text": "The sky is green.", "mime_type": "text/plain"},
    ]
    same(chat(simulator).invoke([HumanMessage(content)]).text, "A pixel.")
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "image", "document"])


@case()
def a_chain(simulator):
    simulator.script("Rome.")
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Capital of {country}?")])
    same((prompt | chat(simulator) | StrOutputParser()).invoke({"country": "Italy"}), "Rome.")
    assert "Capital of Italy?" in str(simulator.messages[0]["json"]["messages"])


@case()
def a_streamed_answer(simulator):
    simulator.script("one two three four five")
    chunks = list(chat(simulator).stream("Count"))
    same("".join(chunk.text for chunk in chunks), "one two three four five")
    whole = sum(chunks[1:], chunks[0])
    same(whole.usage_metadata["output_tokens"], simulator.messages[0]["output_tokens"])


@case()
async def a_streamed_answer_async(simulator):
    simulator.script("one two three four five")
    parts = [chunk.text async for chunk in chat(simulator).astream("Count")]
    same("".join(parts), "one two three four five")


@case()
async def many_at_once(simulator):
    simulator.script(*["yes"] * 5)
    answers = await chat(simulator).abatch([f"Question {number}" for number in range(5)])
    same([answer.text for answer in answers], ["yes"] * 5)
    same(len(simulator.messages), 5)


@case()
def a_tool_call(simulator):
    model = chat(simulator).bind_tools([weather_tool(simulator, [])])
    message = model.invoke("What is the weather?")
    (call,) = message.tool_calls
    same((call["name"], sorted(call["args"])), ("get_weather", ["city", "days"]))
    simulator.script("It is sunny.")
    answer = model.invoke(
        [HumanMessage("What is the weather?"), message, ToolMessage("sunny", tool_call_id=call["id"])]
    )
    same(answer.text, "It is sunny.")


@case()
def a_tool_call_in_a_stream(simulator):
    chunks = list(chat(simulator).bind_tools([weather_tool(simulator, [])]).stream("What is the weather?"))
    (call,) = sum(chunks[1:], chunks[0]).tool_calls
    same((call["name"], type(call["args"]["days"])), ("get_weather", int))


@case()
def an_agent(simulator):
    asked = []
    agent = create_agent(chat(simulator), [weather_tool(simulator, asked)], system_prompt="Be brief.")
    messages = agent.invoke({"messages": [("user", "What is the weather?")]})["messages"]
    same((messages[-1].text, asked), ("It is sunny.", [(str, int)]))


@case()
def two_calls_after_a_thought(simulator):
    asked = []

    @tool
    def get_weather(city: str, days: int) -> str:
        """Looks up the weather."""
        asked.append((city, days))
        return "done"

    simulator.script(TWO_CALLS, "Rain and snow.")
    agent = create_agent(chat(simulator, max_tokens=2000, thinking={"type": "adaptive"}), [get_weather])
    messages = agent.invoke({"messages": [("user", "And in Köln and Oslo?")]})["messages"]
    same((messages[-1].text, sorted(asked)), ("Rain and snow.", [("Köln", 2), ("Oslo", 7)]))
    *_, reply, results = simulator.messages[-1]["json"]["messages"]
    same([block["type"] for block in reply["content"]], ["thinking", "text", "tool_use", "tool_use"])
    same([block["type"] for block in results["content"]], ["tool_result"] * 2)


@case()
async def an_agent_in_a_stream(simulator):
    asked, steps = [], []
    agent = create_agent(chat(simulator), [weather_tool(simulator, asked)])
    async for step in agent.astream({"messages": [("user", "What is the weather?")]}, stream_mode="updates"):
        steps += list(step)
    same((steps, asked), (["model", "tools", "model"], [(str, int)]))


@case()
def a_structured_output_by_a_tool(simulator):
    found = chat(simulator, OLDER).with_structured_output(Person, method="function_calling").invoke("A person")
    assert isinstance(found, Person)


@case()
def a_structured_output_by_a_schema(simulator):
    found = chat(simulator).with_structured_output(Person, method="json_schema").invoke("A person, please")
    assert isinstance(found, Person)


@case()
def an_agent_with_a_structured_answer(simulator):
    agent = create_agent(chat(simulator), [], response_format=ProviderStrategy(Person))
    found = agent.invoke({"messages": [("user", "Somebody, please")]})["structured_response"]
    assert isinstance(found, Person)


@case()
def an_agent_with_a_structured_answer_by_a_tool(simulator):
    agent = create_agent(chat(simulator, OLDER), [], response_format=ToolStrategy(Person))
    found = agent.invoke({"messages": [("user", "A person, please")]})["structured_response"]
    assert isinstance(found, Person)


@case()
def thinking(simulator):
    model = chat(simulator, max_tokens=2000, thinking={"type": "adaptive", "display": "summarized"})
    message = model.invoke("Think about rivers")
    thought = message.content[0]
    same(thought["type"], "thinking")
    assert thought["thinking"]
    assert thought["signature"]
    assert message.text


@case()
def tokens_are_counted(simulator):
    counted = chat(simulator).get_num_tokens_from_messages([HumanMessage("How long is this?")])
    answered = chat(simulator).invoke([HumanMessage("How long is this?")])
    same(counted, answered.usage_metadata["input_tokens"])


@case()
def a_wrong_key(simulator):
    with raises(anthropic.AuthenticationError):
        chat(simulator, key="invalid").invoke("Hi")


@case()
def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED, OVERLOADED, "At last.")
    same(chat(simulator).invoke("Hi").text, "At last.")
    same([request["status"] for request in simulator.messages], [429, 529, 200])


@case()
def refusals_without_end(simulator):
    simulator.script(OVERLOADED)
    with raises(anthropic.APIStatusError) as caught:
        chat(simulator, max_retries=0).invoke("Hi")
    same(caught[0].status_code, 529)


@case()
def an_error_within_a_stream(simulator):
    simulator.script(BROKEN_MIDWAY)
    parts = []
    with raises(anthropic.APIStatusError):
        for chunk in chat(simulator).stream("Count"):
            parts.append(chunk.text)
    assert "".join(parts)


@case(tokens_per_second=20)
async def a_cancelled_stream(simulator):
    async def read():
        async for chunk in chat(simulator).astream("A long story"):
            if chunk.text:
                begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


if __name__ == "__main__":
    main()
