"""Instructor, over the official SDK."""

import asyncio

import anthropic
import instructor
from casebook import MODEL, OLDER, OVERLOADED, PIXEL, RATE_LIMITED, case, main, raises, same, says
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel, field_validator


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


def client(simulator, mode=instructor.Mode.TOOLS, key="any", **options):
    return instructor.from_anthropic(anthropic.Anthropic(api_key=key, base_url=simulator.url, **options), mode=mode)


def async_client(simulator, mode=instructor.Mode.TOOLS):
    return instructor.from_anthropic(anthropic.AsyncAnthropic(api_key="any", base_url=simulator.url), mode=mode)


ASKED = {"model": OLDER, "max_tokens": 500, "messages": says("A person, please")}


@case()
def an_object_by_a_tool(simulator):
    found = client(simulator).create(response_model=Person, **ASKED)
    assert isinstance(found, Person)
    (request,) = simulator.messages
    same(request["json"]["tool_choice"]["name"], "Person")


@case()
def an_object_by_a_schema(simulator):
    # With today's SDK it asks for the schema in words, for which the simulator needs a script.
    simulator.script('{"name": "Ada", "age": 36, "languages": ["en"]}')
    mode = instructor.Mode.JSON_SCHEMA
    found = client(simulator, mode).create(response_model=Person, **{**ASKED, "model": MODEL})
    same(found.model_dump(), {"name": "Ada", "age": 36, "languages": ["en"]})
    assert '"languages"' in str(simulator.messages[0]["json"])


@case()
def an_object_in_json(simulator):
    simulator.script('{"name": "Ada", "age": 36, "languages": ["en", "fr"]}')
    found = client(simulator, instructor.Mode.JSON).create(response_model=Person, **ASKED)
    same(found.model_dump(), {"name": "Ada", "age": 36, "languages": ["en", "fr"]})


@case()
def an_object_and_its_message(simulator):
    found, message = client(simulator).create_with_completion(response_model=Person, **ASKED)
    assert isinstance(found, Person)
    (request,) = simulator.messages
    same((message.usage.input_tokens, message.usage.output_tokens), (request["input_tokens"], request["output_tokens"]))


@case()
def an_object_that_grows(simulator):
    partials = list(client(simulator).create_partial(response_model=Person, **ASKED))
    assert len(partials) > 1
    assert partials[0].languages is None or partials[0] != partials[-1]
    assert Person.model_validate(partials[-1].model_dump())


@case()
def objects_one_after_the_other(simulator):
    found = list(client(simulator).create_iterable(response_model=Person, **ASKED))
    assert found
    assert all(isinstance(person, Person) for person in found)


@case()
def objects_as_they_were_said(simulator):
    tasks = [{"name": name, "age": 36, "languages": ["en"]} for name in ("Ada", "Grace")]
    simulator.script({"tool_use": {"name": "IterablePerson", "input": {"tasks": tasks}}})
    found = list(client(simulator).create_iterable(response_model=Person, **ASKED))
    same([person.model_dump() for person in found], tasks)


@case()
async def an_object_async(simulator):
    found = await async_client(simulator).create(response_model=Person, **ASKED)
    assert isinstance(found, Person)


@case()
async def an_object_that_grows_async(simulator):
    partials = [partial async for partial in async_client(simulator).create_partial(response_model=Person, **ASKED)]
    assert Person.model_validate(partials[-1].model_dump())


@case()
def a_system_prompt_and_several_turns(simulator):
    turns = [
        {"role": "system", "content": "Be brief."},
        *says("I know Ada."),
        {"role": "assistant", "content": "Who is she?"},
        *says("A person."),
    ]
    client(simulator).create(response_model=Person, model=OLDER, max_tokens=500, messages=turns)
    sent = simulator.messages[0]["json"]
    same(("Be brief." in str(sent["system"]), len(sent["messages"])), (True, 3))


@case()
def an_answer_that_is_not_valid_is_asked_for_again(simulator):
    simulator.script('{"text": "quiet"}', '{"text": "LOUD"}')
    found = client(simulator, instructor.Mode.JSON).create(
        response_model=Shout, max_retries=2, **{**ASKED, "messages": says("Shout")}
    )
    same(found.text, "LOUD")
    assert "must be in capitals" in str(simulator.messages[1]["json"]["messages"])


@case()
def answers_that_are_never_valid(simulator):
    simulator.script('{"text": "quiet"}', '{"text": "still quiet"}')
    with raises(InstructorRetryException):
        client(simulator, instructor.Mode.JSON).create(
            response_model=Shout, max_retries=1, **{**ASKED, "messages": says("Shout")}
        )
    same(len(simulator.messages), 2)


@case()
def a_wrong_key(simulator):
    with raises(InstructorRetryException, anthropic.AuthenticationError) as caught:
        client(simulator, key="invalid").create(response_model=Person, max_retries=1, **ASKED)
    assert "invalid x-api-key" in str(caught[0])


@case()
def refusals_are_retried(simulator):
    simulator.script(RATE_LIMITED)
    assert isinstance(client(simulator).create(response_model=Person, **ASKED), Person)
    same([request["status"] for request in simulator.messages], [429, 200])


@case()
def an_overloaded_service(simulator):
    simulator.script(OVERLOADED, OVERLOADED)
    with raises(InstructorRetryException, anthropic.APIStatusError) as caught:
        client(simulator, max_retries=0).create(response_model=Person, max_retries=0, **ASKED)
    assert "verloaded" in str(caught[0])


@case()
def an_error_within_a_stream(simulator):
    simulator.script(
        {"cut": {"after": 3, "how": {"status": 529}, "text": '{"name": "Ada", "age": 36, "languages": []}'}}
    )
    with raises(anthropic.APIStatusError, InstructorRetryException) as caught:
        list(client(simulator, instructor.Mode.JSON).create_partial(response_model=Person, **ASKED))
    assert "verloaded" in str(caught[0])


@case()
def an_image(simulator):
    image = instructor.Image.from_base64(f"data:image/png;base64,{PIXEL}")
    messages = [{"role": "user", "content": ["Who is it?", image]}]
    found = client(simulator).create(response_model=Person, **{**ASKED, "messages": messages})
    assert isinstance(found, Person)
    kinds = [block["type"] for block in simulator.messages[0]["json"]["messages"][0]["content"]]
    same(kinds, ["text", "image"])


@case(time_to_first_token=5)
async def a_cancelled_request(simulator):
    task = asyncio.create_task(async_client(simulator).create(response_model=Person, **ASKED))
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests)
    task.cancel()
    await asyncio.wait([task])
    same(task.cancelled(), True)
    await asyncio.to_thread(simulator.wait_for, lambda requests: requests[0]["outcome"] == "disconnected")


if __name__ == "__main__":
    main()
