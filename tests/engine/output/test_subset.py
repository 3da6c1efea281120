"""Schemas are brought into what the API takes, and what it can't be told is refused."""

import json
from random import Random
from typing import Any

import pytest

from manystream.engine.output.subset import SchemaRefused, fit
from manystream.engine.simulator.answers.schema import instance_of
from manystream.engine.simulator.service.output_rules import check_schema


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 3},
            {"type": "integer", "description": "{minimum: 1, maximum: 3}"},
        ),
        (
            {"type": "string", "description": "A name.", "minLength": 2},
            {"type": "string", "description": "A name.\n\n{minLength: 2}"},
        ),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "format": "decimal"}, {"type": "string", "description": "{format: decimal}"}),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"enum": ["a", None]}, {"enum": ["a", None]}),
        ({"type": "string", "const": "a"}, {"const": "a"}),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "{uniqueItems: True}"},
        ),
        (
            {"$schema": "x", **an_object(a={"type": "integer", "default": 3})},
            {
                "type": "object",
                "properties": {"a": {"type": "integer", "description": "{default: 3}"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "required": [],
                "additionalProperties": False,
            },
        ),
        ({"allOf": [{"$ref": "#/$defs/a"}], "title": "A", "$defs": {"a": {"type": "null"}}}, {"$ref": "#/$defs/a"}),
        (
            {"description": "One.", "allOf": [an_object(a={"type": "null"})]},
            {**an_object(a={"type": "null"}), "description": "One.", "additionalProperties": False},
        ),
        (
            {"allOf": [{"type": "integer", "minimum": 1}, {"type": "integer"}]},
            {"allOf": [{"type": "integer", "description": "{minimum: 1}"}, {"type": "integer"}]},
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_narrows_a_value_down_goes_into_its_description(given: dict[str, Any], fitted: dict[str, Any]) -> None:
    before = json.dumps(given)
    made = fit(given)
    made.pop("$defs", None)
    assert made == fitted
    assert json.dumps(given) == before
    check_schema(fit(given), "schema")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "may hold anything"),
        (an_object(a={}), "^a may hold anything"),
        (an_object(a=an_object(b=True)), "^a.b may hold anything"),
        ({"type": "object"}, "the output is a dictionary"),
        (an_object(a={"type": "object", "additionalProperties": {"type": "integer"}}), "^a is a dictionary"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "the output is a tuple"),
        ({"type": "array", "items": [{"type": "string"}]}, "the output is a tuple"),
        ({"type": "array"}, "an item of the output may hold anything"),
        ({"enum": [{"a": 1}]}, "one of given values"),
        ({"enum": []}, "one of no values"),
        ({"not": {"type": "string"}}, "uses 'not'"),
        ({"description": "?"}, "does not say what it is"),
        ({"$ref": "https://example.com/schema"}, "is not in the schema"),
        ({"$ref": "#/$defs/nothing"}, "is not in the schema"),
        (an_object(a={"$ref": "#"}), "holds itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": an_object(b={"$ref": "#/$defs/a"})}}, "a holds itself"),
        ({"anyOf": [3]}, "is no schema"),
        ({"allOf": [an_object(a={"type": "null"}), an_object(b={"type": "null"})]}, "made of several schemas"),
        ({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"type": "null"}}}, "made of several schemas"),
        ({**an_object(a={"type": "null"}), "allOf": [an_object(b={"type": "null"})]}, "made of several schemas"),
    ],
    ids=str,
)
def test_what_the_api_can_t_be_told_is_refused_in_one_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemaRefused, match=words) as caught:
        fit(given)
    assert "\n" not in str(caught.value)


def test_what_is_used_twice_holds_not_itself() -> None:
    schema = {
        **an_object(a={"$ref": "#/$defs/x"}, b={"$ref": "#/$defs/x"}),
        "$defs": {"x": an_object(c={"type": "null"})},
    }
    assert fit(schema)["$defs"]["x"]["additionalProperties"] is False
    check_schema(fit(schema), "schema")


KEYWORDS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 1, "pattern": "^a"},
    {"type": "string", "format": "email"},
    {"type": ["string", "null"], "maxLength": 4},
    {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
    {"type": "integer", "maximum": 9},
    {"enum": [1, "a", None, True]},
    {"const": 3},
    {"type": "boolean", "default": True},
]  # fmt: skip


def a_schema(r: Random, depth: int = 0) -> dict[str, Any]:
    kind = r.randrange(5) if depth < 3 else 0
    if kind == 1:
        names = r.sample("abcdef", r.randint(1, 3))
        found = an_object(**{name: a_schema(r, depth + 1) for name in names})
        found["required"] = r.sample(names, r.randint(0, len(names)))
        return found | r.choice([{}, {"additionalProperties": False}, {"title": "T"}])
    if kind == 2:
        return {"type": "array", "items": a_schema(r, depth + 1), "minItems": r.randint(0, 3), "maxItems": 4}
    if kind == 3:
        return {r.choice(["anyOf", "oneOf"]): [a_schema(r, depth + 1) for _ in range(2)]}
    return r.choice(KEYWORDS)


def test_whatever_is_fitted_is_taken() -> None:
    r = Random(3)
    taken = 0
    for _ in range(500):
        schema = a_schema(r)
        try:
            fitted = fit(schema)
        except SchemaRefused:  # too many alternatives
            continue
        check_schema(fitted, "schema")
        instance_of(fitted, r)
        taken += 1
    assert taken > 400
