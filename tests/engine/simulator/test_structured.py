"""Structured outputs: answers that fit a schema, as the official client parses them, and schemas that are refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import anthropic
import httpx2
import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, TypeAdapter
from tests.support.responder import WEATHER, a_body, a_request, a_responder, generated, json_of

from manystream.engine.simulator import Simulator, Structured

pytestmark = pytest.mark.anyio

Client: TypeAlias = Any
ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 4_000,
    "messages": [{"role": "user", "content": "Tell me about the river."}],
}


class Season(Enum):
    SPRING = "spring"
    AUTUMN = "autumn"


class Bridge(BaseModel):
    """A record with all that the SDK's transformation moves about."""

    name: Annotated[str, MinLen(2), MaxLen(12)]
    spans: Annotated[int, Ge(3), Le(7)]
    length: Annotated[float, Ge(0.5), Le(9.5)]
    opened: date
    season: Season
    kind: Literal["arch", "beam"] | None = None
    tags: Annotated[list[str], MinLen(2), MaxLen(3)]
    after: Bridge | None = None


class Rivers(BaseModel):
    bridges: list[Bridge]
    lengths: dict[str, int] = {}


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    http_client = httpx2.AsyncClient(transport=simulator.transport())
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url="http://simulated", max_retries=0, http_client=http_client
    ) as client:
        yield client


@pytest.mark.parametrize("output", [Bridge, Rivers, list[Bridge], Season, Literal["a", 3]], ids=str)
@pytest.mark.parametrize("beta", [False, True], ids=["stable", "beta"])
async def test_the_official_client_parses_every_answer(client: Client, output: Any, beta: bool) -> None:
    messages = client.beta.messages if beta else client.messages
    for number in range(5):
        asked = {**ASK, "messages": [{"role": "user", "content": f"River {number}"}], "output_format": output}
        parsed = await messages.parse(**asked)
        TypeAdapter(output).validate_python(parsed.parsed_output)
        async with messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()
        assert streamed.parsed_output == parsed.parsed_output
        assert [block.type for block in streamed.content] == ["text"]
        assert streamed.stop_reason == "end_turn"


@pytest.mark.parametrize("thinking", [False, True])
async def test_thinking_comes_before_and_tools_instead(client: Client, thinking: bool) -> None:
    asked: dict[str, Any] = {**ASK, "output_format": Bridge}
    if thinking:
        asked["thinking"] = {"type": "adaptive"}
    parsed = await client.messages.parse(**asked)
    assert [block.type for block in parsed.content] == ["thinking"] * thinking + ["text"]
    called = await client.messages.parse(
        **asked | {"tools": [WEATHER], "messages": [{"role": "user", "content": "How is the weather?"}]}
    )
    assert called.stop_reason == "tool_use"


async def test_a_script_may_give_the_answer(client: Client, simulator: Simulator) -> None:
    simulator.script([Structured({"a": [1, None, "é"]})])
    parsed = await client.messages.parse(**ASK, output_format=dict[str, list[Any]])
    assert parsed.parsed_output == {"a": [1, None, "é"]}


OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": False}
TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            **OBJECT,
            "properties": {
                "value": {"anyOf": [{"const": 7}, {"type": ["string", "null"]}]},
                "children": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/node"}},
                "leaf": {"$ref": "#/$defs/leaf"},
            },
            "required": ["value"],
        },
        "leaf": {"type": "string", "format": "uuid"},
    },
}


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_a_schema_is_satisfied_by_either_field(field: str) -> None:
    format = {"type": "json_schema", "schema": TREE}
    asked = {field: {"format": format} if field == "output_config" else format}
    for seed in range(40):
        message = generated(a_body(**asked, max_tokens=4_000), seed)
        (text,) = message["content"]
        tree = json.loads(text["text"])
        assert {"value"} <= set(tree) <= {"value", "children", "leaf"}
        assert tree["value"] in (7, None) or isinstance(tree["value"], str)
        UUID(tree.get("leaf", str(UUID(int=0))))


def test_a_budget_that_is_too_small_cuts_the_answer_short() -> None:
    format = {"type": "json_schema", "schema": {**OBJECT, "properties": {"a": {"type": "string"}}, "required": ["a"]}}
    message = generated(a_body(output_config={"format": format}, max_tokens=2))
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 2)


SCHEMAS: list[tuple[dict[str, Any], str]] = [
    ({"type": "object"}, "For 'object' type, 'additionalProperties' must be explicitly set to false"),
    ({**OBJECT, "additionalProperties": True}, "For 'object' type, 'additionalProperties' must be"),
    ({"type": "array", "items": {"type": "object"}}, "For 'object' type, 'additionalProperties' must be"),
    ({"anyOf": [{"type": "integer", "minimum": 1}]}, "For 'integer' type, properties minimum are not supported"),
    ({**OBJECT, "properties": {"a": {"type": "string", "maxLength": 3}}}, "For 'string' type, properties maxLength"),
    ({"type": "array", "minItems": 2}, "For 'array' type, 'minItems' values other than 0 or 1 are not supported"),
    ({"type": "text"}, "type: Input should be 'object', 'array'"),
    ({"enum": []}, "enum: Input should be a non-empty list"),
    ({"enum": [{}]}, "enum: only strings, numbers, booleans and null are supported"),
    ({"$ref": "https://example.com/a"}, "'$ref' to 'https://example.com/a': only references within"),
    ({"$ref": "#/$defs/none"}, "'$ref' to '#/$defs/none' leads nowhere"),
]
REFUSED: list[tuple[Any, str]] = [
    ({"type": "json"}, "output_config.format.type: Input should be 'json_schema'"),
    ({"type": "json_schema"}, "output_config.format.schema: Field required"),
    ({"type": "json_schema", "schema": []}, "output_config.format.schema: Input should be a valid dictionary"),
    ({"schema": {}}, "output_config.format.type: Field required"),
    ("json", "output_config.format: Input should be a valid dictionary"),
    *(({"type": "json_schema", "schema": schema}, f"output_config.format.schema: {said}") for schema, said in SCHEMAS),
]


@pytest.mark.parametrize(("format", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_a_schema_that_answers_cannot_be_held_to_is_refused(format: Any, message: str) -> None:
    response = a_responder().respond(a_request(a_body(output_config={"format": format})))
    assert response.status == 400
    assert json_of(response)["error"]["message"].startswith(message)


def test_the_older_field_and_strict_tools_are_checked_alike() -> None:
    schema = {"type": "object"}
    tool = {"name": "t", "input_schema": schema, "strict": True}
    for params, where in (
        ({"output_format": {"type": "json_schema", "schema": schema}}, "output_format.schema"),
        ({"tools": [tool]}, "tools.0.custom"),
    ):
        message = json_of(a_responder().respond(a_request(a_body(**params))))["error"]["message"]
        assert message == f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
