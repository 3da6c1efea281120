"""LangChain with an engine below `ChatAnthropic`, which has no public way to be given a client."""

import anthropic
from casebook import case, main, raises, same
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.exceptions import ModelConnectionError, ModelTimeoutError
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from promises import Framework, register
from pydantic import BaseModel
from setting import HEADERS, MODEL, RESET_BEFORE_CONTENT, SAYS, THREE_FAILURES, cut_of, engine_over, failure_in, served

from manystream import Deadlines


class Person(BaseModel):
    name: str
    age: int


def chat(client):
    """A model over `client`, as the docs show it."""
    model = ChatAnthropic(model=MODEL, max_tokens=200, api_key="the client has its own")
    name = "_async_client" if isinstance(client, anthropic.AsyncAnthropic) else "_client"
    model.__dict__[name] = client
    return model


def options(headers):
    return {} if headers is None else {"extra_headers": headers}


async def ask(client, headers):
    return (await chat(client).ainvoke("Count", **options(headers))).text


async def read(client, headers):
    text = ""
    async for chunk in chat(client).astream("Count", **options(headers)):
        if chunk.text:
            text += chunk.text
            yield text


def ask_in_thread(client, headers):
    return chat(client).invoke("Count", **options(headers)).text


def read_in_thread(client, headers):
    text = ""
    for chunk in chat(client).stream("Count", **options(headers)):
        if chunk.text:
            text += chunk.text
            yield text


@case()
async def a_chain_with_labels_in_a_context(simulator):
    simulator.script("Rome.")
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Capital of {country}?")])
    async with engine_over(simulator) as (engine, client, ends):
        with engine.labels(group="capitals"):
            same(await (prompt | chat(client) | StrOutputParser()).ainvoke({"country": "Italy"}), "Rome.")
    same(ends.only.request.group, "capitals")


@case()
async def an_agent_with_labels_in_a_context(simulator):
    simulator.script(
        RESET_BEFORE_CONTENT,
        {"tool_use": {"name": "get_weather", "input": {"city": "Oslo"}}},
        RESET_BEFORE_CONTENT,
        "It snows.",
    )
    asked = []

    @tool
    async def get_weather(city: str) -> str:
        """Looks up the weather."""
        asked.append(city)
        return "snow"

    async with engine_over(simulator) as (engine, client, ends):
        with engine.labels(group="weather"):
            agent = create_agent(chat(client), [get_weather])
            messages = (await agent.ainvoke({"messages": [("user", "What is the weather?")]}))["messages"]
    same((messages[-1].text, asked), ("It snows.", ["Oslo"]))
    same([(end.request.group, len(end.attempts)) for end in ends], [("weather", 2)] * 2)


@case()
async def a_structured_output(simulator):
    simulator.script({"cut": {"after": 2, "how": "reset"}})
    async with engine_over(simulator) as (_, client, ends):
        found = await chat(client).with_structured_output(Person, method="json_schema").ainvoke("A person, please")
    assert isinstance(found, Person)
    same(len(ends.only.attempts), 2)


@case()
async def what_a_cut_is_for_its_users(simulator):
    simulator.script({"cut": {"after": 9, "how": "end", "text": SAYS}})
    async with engine_over(simulator) as (_, client, _):
        with raises(ModelConnectionError) as caught:
            async for _ in read(client, None):
                pass
    assert isinstance(caught[0], anthropic.APIConnectionError)
    assert SAYS.startswith(failure_in(caught[0].__cause__).result.text)


@case()
async def labels_that_are_bound(simulator):
    simulator.script("yes", "yes", "yes")
    async with engine_over(simulator) as (_, client, ends):
        bound = chat(client).bind(extra_headers=HEADERS)
        await (ChatPromptTemplate.from_template("{question}") | bound).abatch([{"question": "a"}, {"question": "b"}])
        await chat(client).model_copy().ainvoke("c")
    same(sorted(str(end.request.group) for end in ends), ["None", "live", "live"])


@case()
async def what_a_deadline_is_for_its_users(simulator):
    simulator.script({"stall": {"after": 9, "text": SAYS}})
    async with engine_over(simulator, deadlines=Deadlines(silence=0.3)) as (_, client, _):
        with raises(ModelTimeoutError) as caught:
            async for _ in read(client, None):
                pass
    assert isinstance(caught[0], anthropic.APITimeoutError)


@case()
async def by_serve_with_public_means(simulator):
    simulator.script(*THREE_FAILURES, SAYS, cut_of(SAYS, 9, "end"))
    with served(simulator) as url:
        model = ChatAnthropic(model=MODEL, max_tokens=200, api_key="any", base_url=url, default_headers=HEADERS)
        same((await model.ainvoke("Count")).text, SAYS)
        with raises(anthropic.APIError):
            async for _ in model.astream("Count"):
                pass
    same(len(simulator.messages), 5)


if __name__ == "__main__":
    register(Framework(ask, read, ask_in_thread, read_in_thread))
    main()
