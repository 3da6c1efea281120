"""Generated tool arguments are valid by the tool's schema, whatever the schema."""

from __future__ import annotations

import math
import re
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manystream.engine.simulator.answers.schema import instance_of

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def is_valid(value: Any, schema: Any, root: Any = None) -> bool:
    """An independent reading of the part of JSON Schema that is used here."""
    root = schema if root is None else root
    if isinstance(schema, bool) or not schema:
        return schema is not False
    if (reference := schema.get("$ref")) is not None:
        target = root
        for key in reference.split("/")[1:]:
            target = target[key]
        if not is_valid(value, target, root):
            return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(isinstance(value, TYPES[kind]) and (kind == "boolean") >= isinstance(value, bool) for kind in kinds):
        return False
    if not all(is_valid(value, part, root) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(is_valid(value, part, root) for part in schema["anyOf"]):
        return False
    if isinstance(value, dict):
        return _is_valid_object(cast(dict[str, Any], value), schema, root)
    if isinstance(value, list):
        return _is_valid_array(cast(list[Any], value), schema, root)
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
    if isinstance(value, bool) or value is None:
        return True
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)
        and (step is None or math.isclose(value / step, round(value / step), abs_tol=1e-9))
    )


def _is_valid_object(value: dict[str, Any], schema: Any, root: Any) -> bool:
    properties = schema.get("properties", {})
    return set(schema.get("required", ())) <= set(value) and all(
        is_valid(item, properties.get(name, schema.get("additionalProperties", True)), root)
        for name, item in value.items()
    )


def _is_valid_array(value: list[Any], schema: Any, root: Any) -> bool:
    first = schema.get("prefixItems", [])
    return (
        schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf)
        and not (schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)))
        and all(
            is_valid(item, first[i] if i < len(first) else schema.get("items", True), root)
            for i, item in enumerate(value)
        )
    )


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(st.integers(-1_000, 1_000))
    high = low + draw(st.integers(20, 500))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.integers(1, 9))
    return schema


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    shortest = draw(st.integers(0, 60))
    schema: dict[str, Any] = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = shortest
    if draw(st.booleans()):
        schema["maxLength"] = shortest + draw(st.integers(0, 20))
    return schema


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    fewest = draw(st.integers(0, 3))
    schema: dict[str, Any] = {"type": "array", "items": draw(inner), "minItems": fewest}
    if draw(st.booleans()):
        schema["maxItems"] = fewest + draw(st.integers(0, 3))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, max_size=2))
    return schema


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return {"type": "object", "properties": properties, "required": required}


def any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": schemas}


leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    numbers(),
    strings(),
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", 1, None]},
            {"const": {"x": [1]}},
            {"type": ["string", "null"]},
        ]
    ),
)
schemas: st.SearchStrategy[dict[str, Any]] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        arrays(inner),
        objects(inner),
        st.lists(inner, min_size=1, max_size=3).map(any_of),
    ),
    max_leaves=10,
)


@given(objects(schemas), st.integers(0, 1_000))
@settings(max_examples=80)
def test_every_instance_is_valid(schema: dict[str, Any], seed: int) -> None:
    instance = instance_of(schema, Random(seed))
    assert is_valid(instance, schema)
    assert instance == instance_of(schema, Random(seed))


TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["name", "children"],
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 3},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
}
MERGED = {
    "type": "object",
    "allOf": [
        {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"properties": {"b": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True}}},
    ],
    "required": ["b"],
}


@pytest.mark.parametrize("schema", [TREE, MERGED, {"type": "object"}, {"type": "object", "required": ["x"]}])
def test_references_recursion_and_combinations(schema: dict[str, Any]) -> None:
    for seed in range(50):
        assert is_valid(instance_of(schema, Random(seed)), schema)


def test_a_schema_that_has_no_finite_instance_is_given_up() -> None:
    endless = {"type": "object", "properties": {"again": {"$ref": "#"}}, "required": ["again"]}
    assert "again" in instance_of(endless, Random(0))


@pytest.mark.parametrize("schema", [None, True, 7, [], {}, {"type": "nonsense"}, {"$ref": "#/nowhere"}, {"enum": []}])
def test_what_is_hardly_a_schema_still_gets_an_instance(schema: Any) -> None:
    instance_of(schema, Random(0))


NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {"anyOf": [{"const": 7}, {"type": ["string", "null"]}]},
        "children": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/the node"}},
        "limits": {"type": "object", "additionalProperties": {"type": "integer", "maximum": 3}},
    },
    "required": ["value"],
}


def test_a_schema_that_refers_to_itself_has_finite_instances() -> None:
    schema = {"$ref": "#/$defs/the%20node", "$defs": {"the node": NODE}}
    plain = {"$ref": "#/$defs/the node", "$defs": {"the node": NODE}}
    made = [instance_of(schema, Random(seed)) for seed in range(200)]
    assert all(is_valid(value, plain) for value in made)
    assert any("children" in value for value in made)
    assert any(value.get("limits") for value in made)


@pytest.mark.parametrize("start", ["", "How many.\n\n"])
def test_bounds_that_stand_in_a_description_are_kept(start: str) -> None:
    hinted = {"type": "integer", "description": start + "{minimum: 3, maximum: 5}"}
    assert {instance_of(hinted, Random(seed)) for seed in range(60)} == {3, 4, 5}
    items = {"type": "array", "items": {"type": "integer"}, "description": start + "{minItems: 4, uniqueItems: True}"}
    assert all(len(set(instance_of(items, Random(seed)))) >= 4 for seed in range(30))
    ordinary = {"type": "integer", "description": "such as {minimum: 500} and more"}
    assert any(instance_of(ordinary, Random(seed)) < 500 for seed in range(30))


def test_what_could_be_empty_is_not() -> None:
    tasks = {"type": "array", "items": {"type": "string"}}
    for seed in range(60):
        made = instance_of({"type": "object", "properties": {"tasks": tasks}}, Random(seed))
        assert made["tasks"]
    assert instance_of({**tasks, "maxItems": 0}, Random(0)) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Z]{3}-\d{4}$",
        r"^(?:https?|ftp)://\w+\.(com|org)(/[a-z0-9_-]*)?$",
        r"^\+?[1-9]\d{1,14}$",
        r"^#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})$",
        r"[^,;\s]+",
        r"^(?P<year>20\d\d)-(0[1-9]|1[0-2])$",
        r"^a{2,}b*?c+[]x]$",
        r"^.{5}$",
        r"^$",
    ],
)
def test_a_text_matches_its_pattern(pattern: str) -> None:
    for seed in range(40):
        assert re.search(pattern, instance_of({"type": "string", "pattern": pattern}, Random(seed)))


@pytest.mark.parametrize("pattern", [r"(?=x)y", r"(a)\1", r"\bx", "(", "[a", r"^a{9}$"])
def test_a_pattern_that_is_not_understood_or_cannot_be_met_gets_some_text(pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern, "maxLength": 8}
    assert len(instance_of(schema, Random(0))) <= 8
