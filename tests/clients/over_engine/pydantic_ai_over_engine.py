"""Pydantic AI with an engine below its model for Anthropic."""

import anyio.to_thread
from casebook import case, main, raises, same
from promises import Framework, register
from pydantic import BaseModel
from pydantic_ai import Agent, ModelAPIError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from setting import MODEL, RESET_BEFORE_CONTENT, SAYS, engine_over, failure_in


class Person(BaseModel):
    name: str
    age: int


def agent(client, **options):
    return Agent(AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client)), **options)


def settings(headers):
    # Without max_tokens it asks for the model's most, and for that by a stream.
    return {"max_tokens": 200} if headers is None else {"max_tokens": 200, "extra_headers": headers}


async def ask(client, headers):
    return (await agent(client).run("Count", model_settings=settings(headers))).output


async def read(client, headers):
    async with agent(client).run_stream("Count", model_settings=settings(headers)) as result:
        async for text in result.stream_text(debounce_by=None):
            yield text


@case()
async def tools_with_labels_in_a_context(simulator):
    simulator.script(
        RESET_BEFORE_CONTENT,
        {"tool_use": {"name": "get_weather", "input": {"city": "Oslo"}}},
        RESET_BEFORE_CONTENT,
        "It snows.",
    )
    async with engine_over(simulator) as (engine, client, ends):
        asked = []
        meteorologist = agent(client)

        @meteorologist.tool_plain
        async def get_weather(city: str) -> str:
            asked.append(city)
            return "snow"

        with engine.labels(group="weather"):
            result = await meteorologist.run("What is the weather in Oslo?")
    same((result.output, asked), ("It snows.", ["Oslo"]))
    same([(end.request.group, len(end.attempts)) for end in ends], [("weather", 2)] * 2)


@case()
async def an_output_by_a_tool(simulator):
    simulator.script({"cut": {"after": 2, "how": "reset"}})
    async with engine_over(simulator) as (_, client, ends):
        result = await agent(client, output_type=Person).run("A person, please", model_settings=settings(None))
    assert isinstance(result.output, Person)
    same(len(ends.only.attempts), 2)


@case()
async def what_a_cut_is_for_its_users(simulator):
    simulator.script({"cut": {"after": 9, "how": "end", "text": SAYS}})
    async with engine_over(simulator) as (_, client, _):
        with raises(ModelAPIError) as caught:
            async for _ in read(client, None):
                pass
    assert SAYS.startswith(failure_in(caught[0].__cause__).result.text)


@case()
async def a_run_without_max_tokens_is_streamed(simulator):
    simulator.script({"cut": {"after": 9, "how": "end", "text": SAYS}})
    async with engine_over(simulator) as (_, client, ends):
        with raises(ModelAPIError):
            await agent(client).run("Count")
    same(len(ends.only.attempts), 1)


@case()
async def run_sync_in_another_thread_is_refused(simulator):
    simulator.script("never asked for")
    async with engine_over(simulator) as (_, client, _):
        with raises(RuntimeError) as caught:
            await anyio.to_thread.run_sync(lambda: agent(client).run_sync("Count", model_settings=settings(None)))
    assert "another thread" in str(caught[0]), caught[0]
    same(simulator.messages, [])


if __name__ == "__main__":
    register(Framework(ask, read))
    main()
