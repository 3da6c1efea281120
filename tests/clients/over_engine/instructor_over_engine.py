"""Instructor over the SDK's clients with an engine below."""

import json

import anthropic
import instructor
from casebook import OLDER, case, main, raises, same, says
from instructor.core.exceptions import InstructorRetryException
from promises import Framework, register
from pydantic import BaseModel, field_validator
from setting import MODEL, RESET_BEFORE_CONTENT, engine_over

from manystream import AnswerFailed, RetryPolicy

ADA = json.dumps({"name": "Ada", "age": 36, "languages": [f"language{number}" for number in range(40)]})
ASKED = {"model": MODEL, "max_tokens": 1000, "messages": says("A person, please")}


class Person(BaseModel):
    """A person."""

    name: str
    age: int
    languages: list[str]


class Shout(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def loud(cls, text):
        if not text.isupper():
            raise ValueError("must be in capitals")
        return text


def over(client, mode=instructor.Mode.JSON):
    return instructor.from_anthropic(client, mode=mode)


def options(headers):
    return {**ASKED} if headers is None else {**ASKED, "extra_headers": headers}


async def ask(client, headers):
    return (await over(client).create(response_model=Person, **options(headers))).model_dump()


async def read(client, headers):
    async for partial in over(client).create_partial(response_model=Person, **options(headers)):
        yield partial.model_dump()


def ask_in_thread(client, headers):
    return over(client).create(response_model=Person, **options(headers)).model_dump()


def read_in_thread(client, headers):
    for partial in over(client).create_partial(response_model=Person, **options(headers)):
        yield partial.model_dump()


@case()
async def an_object_by_a_tool(simulator):
    simulator.script(RESET_BEFORE_CONTENT, {"tool_use": {"name": "Person", "input": json.loads(ADA)}})
    async with engine_over(simulator) as (engine, client, ends):
        with engine.labels(group="people"):
            tools = over(client, instructor.Mode.TOOLS)
            found = await tools.create(response_model=Person, **{**ASKED, "model": OLDER})
    same(found.model_dump(), json.loads(ADA))
    same((ends.only.request.group, len(ends.only.attempts)), ("people", 2))


@case()
async def an_answer_that_is_not_valid_is_asked_for_again(simulator):
    simulator.script('{"text": "quiet"}', '{"text": "LOUD"}')
    async with engine_over(simulator) as (engine, client, ends):
        with engine.labels(group="shouts"):
            found = await over(client).create(response_model=Shout, max_retries=2, **ASKED)
    same((found.text, [end.request.group for end in ends]), ("LOUD", ["shouts"] * 2))


@case()
async def what_a_cut_is_for_its_users(simulator):
    simulator.script({"cut": {"after": 4, "how": "end", "text": ADA}})
    async with engine_over(simulator) as (_, client, _):
        with raises(anthropic.APIConnectionError):
            async for _ in read(client, None):
                pass


@case()
async def what_a_failed_request_is_for_its_users(simulator):
    simulator.script(*[{"cut": {"after": 4, "how": "end", "text": ADA}}] * 20)
    async with engine_over(simulator, retry=RetryPolicy(max_attempts=2, base_delay=0.001)) as (_, client, ends):
        with raises(InstructorRetryException) as caught:
            await over(client).create(response_model=Person, max_retries=3, **ASKED)
    assert isinstance(caught[0].__cause__, AnswerFailed)
    same((len(ends), len(simulator.messages)), (1, 2))  # it asks again for what is not valid alone


if __name__ == "__main__":
    ways = (ask, read, ask_in_thread, read_in_thread)
    register(Framework(*ways, says=ADA, answer=json.loads(ADA), reads_as_it_comes=False))
    main()
