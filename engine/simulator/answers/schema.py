"""Seeded instances of JSON schemas, for the arguments of tool calls and for structured answers.

Understands what tool schemas are made of: types, `enum`, `const`, `properties` and `required`, `items` and
`prefixItems`, bounds on numbers, lengths and counts, `format`, `pattern` as far as it is plain, `anyOf`, `oneOf`,
`allOf`, and `$ref` within the schema. Does not understand `not`, `if`, `dependentRequired`, `patternProperties`: where
one of these decides, the instance may be invalid.
"""

from __future__ import annotations

import json
import math
import re
from random import Random
from typing import Any, cast
from urllib.parse import unquote

from .jsondata import is_array, is_object
from .pattern import text_matching

__all__ = ["instance_of", "resolve"]

_SHALLOW = 3  # nested deeper than this, optional things are left out
_DEEPEST = 24  # a schema that requires itself has no finite instance: give up here

# As the official SDKs write them at the end of a description.
_HINTS = re.compile(r"(?:^|\n\n)\{(.*)\}\Z", re.DOTALL)
_HINT = re.compile(r"(?:^|, )(\w+): (.*?)(?=, \w+: |\Z)", re.DOTALL)
_HINTED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "uniqueItems", "minProperties", "maxProperties", "pattern", "format",
)  # fmt: skip

_WORDS = ("Paris", "report", "blue heron", "naïve café", "v2.1", 'say "hi"', "line\nbreak", "metric", "🌊")
_KEYS = ("alpha", "beta", "gamma", "delta")
_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T15:09:26Z",
    "time": "15:09:26Z",
    "duration": "P1DT2H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.com/a",
    "uuid": "3f2b8c1e-5d4a-4e7b-9c60-1a2b3c4d5e6f",
}


def instance_of(schema: object, random: Random) -> Any:
    """Returns JSON data that the schema accepts, as far as this module understands it."""
    return _Instances(schema, random).make(schema, 0)


def resolve(root: object, reference: str) -> dict[str, Any] | None:
    """Returns what a reference within a schema leads to, such as `#/$defs/node`; None when that is no schema."""
    target: object = root
    for step in unquote(reference).removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if is_object(target):
            target = target.get(key)
        elif is_array(target) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        else:
            target = None
    return target if is_object(target) else None


class _Instances:
    def __init__(self, root: object, random: Random) -> None:
        self._root = root
        self._random = random

    def make(self, schema: object, depth: int) -> Any:
        if not is_object(schema) or depth > _DEEPEST:  # `true`, or nothing at all, accepts anything
            return {}
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if is_array(values := schema.get("enum")) and values:
            return self._random.choice(values)
        match self._type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Follows references and choose among alternatives, until one plain schema is left."""
        for _ in range(_DEEPEST):
            schema = _hinted(schema)
            if isinstance(reference := schema.get("$ref"), str):
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = _merged(resolve(self._root, reference) or {}, rest)
            elif is_array(parts := schema.get("allOf")):
                schema = {key: value for key, value in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merged(schema, self._flat(part, depth) if is_object(part) else {})
            elif chosen := next((key for key in ("anyOf", "oneOf") if is_array(schema.get(key))), None):
                rest = {key: value for key, value in schema.items() if key != chosen}
                schema = _merged(rest, self._alternative(schema[chosen], depth))
            else:
                break
        return schema

    def _alternative(self, schemas: list[Any], depth: int) -> dict[str, Any]:
        options = [schema for schema in schemas if is_object(schema)]
        if depth > _SHALLOW:  # what refers to nothing cannot recurse
            options = [schema for schema in options if "$ref" not in str(schema)] or options
        return self._random.choice(options) if options else {}

    def _type(self, schema: dict[str, Any]) -> str:
        kind: object = schema.get("type")
        if is_array(kind) and kind:
            return str(self._random.choice(kind))
        if isinstance(kind, str):
            return kind
        for key, implied in (("properties", "object"), ("items", "array"), ("prefixItems", "array"),
                             ("minimum", "number"), ("maximum", "number")):  # fmt: skip
            if key in schema:
                return implied
        return "string"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        raw: object = schema.get("properties")
        properties = raw if is_object(raw) else {}
        more: object = schema.get("additionalProperties")
        required: list[str] = [name for name in schema.get("required") or () if isinstance(name, str)]
        wanted = set(required)
        fewest, most = int(schema.get("minProperties", 0)), schema.get("maxProperties", math.inf)
        for name in properties:
            lacking = len(wanted) < fewest
            if len(wanted) < most and (lacking or (depth < _SHALLOW and self._random.random() < 0.6)):
                wanted.add(name)
        if properties and not wanted and most >= 1 and depth <= _SHALLOW:  # a model says something
            wanted.add(self._random.choice(list(properties)))
        if not properties and is_object(more) and depth <= _SHALLOW:
            fewest = max(fewest, min(self._random.randint(1, 3), int(min(most, 3))))
        names = [name for name in properties if name in wanted]
        names += [name for name in dict.fromkeys(required) if name not in properties]
        made = {name: self.make(properties.get(name, {"type": "string"}), depth + 1) for name in names}
        for number in range(max(0, fewest - len(made))):
            made[_KEYS[number] if number < len(_KEYS) else f"extra_{number}"] = self.make(more, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        raw: object = schema.get("prefixItems")
        first = raw if is_array(raw) else []
        fewest = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", fewest + 3))
        some = max(fewest, min(1, most))  # a model says something
        count = fewest if depth > _SHALLOW else self._random.randint(some, max(some, min(most, fewest + 3)))
        if schema.get("items") is False:
            count = min(count, len(first))
        items = [self.make(first[i] if i < len(first) else schema.get("items"), depth + 1) for i in range(count)]
        if schema.get("uniqueItems") is True:
            unique: list[Any] = []
            for item in [*items, *(self.make(schema.get("items"), depth + 1) for _ in range(8 * fewest))]:
                if item not in unique and len(unique) < count:
                    unique.append(item)
            return unique
        return items

    def _number(self, schema: dict[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if whole else 0.5)
        lowest = _bound(schema, "minimum", "exclusiveMinimum", max)
        highest = _bound(schema, "maximum", "exclusiveMaximum", min)
        if lowest is None:
            lowest = (highest - 100 * step) if highest is not None else 0
        if highest is None:
            highest = lowest + 100 * step
        first, last = math.ceil(lowest / step), math.floor(highest / step)
        # Exclusive bounds, and roundings in the division, take off a step at either end.
        if first * step <= schema.get("exclusiveMinimum", -math.inf) or first * step < lowest:
            first += 1
        if last * step >= schema.get("exclusiveMaximum", math.inf) or last * step > highest:
            last -= 1
        if first > last:  # no multiple of the step lies between the bounds
            return (lowest + highest) / 2
        value = self._random.randint(first, last) * step
        return int(value) if whole else value

    def _string(self, schema: dict[str, Any]) -> str:
        if (known := _FORMATS.get(str(schema.get("format")))) is not None:
            return known
        shortest = int(schema.get("minLength", 0))
        if isinstance(pattern := schema.get("pattern"), str):
            found = text_matching(pattern, self._random, shortest, schema.get("maxLength", math.inf))
            if found is not None:
                return found
        longest = int(schema.get("maxLength", max(shortest, 40)))
        text = self._random.choice(_WORDS)
        while len(text) < shortest:
            text += " " + self._random.choice(_WORDS)
        return text[:longest]


def _hinted(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the bounds that an SDK put into its description, since the API takes none: `{minimum: 1}`."""
    if (hints := _HINTS.search(str(schema.get("description", "")))) is None:
        return schema
    found: dict[str, Any] = {}
    hint: tuple[str, str]
    for hint in _HINT.findall(hints[1]):
        name, text = hint
        if name not in _HINTED or name in schema:
            continue
        try:
            found[name] = json.loads(text.lower() if text in ("True", "False") else text)
        except ValueError:
            found[name] = text
    return {**schema, **found}


def _merged(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once: their properties and requirements united, of other keywords the latter's."""
    merged = {**base, **extra}
    for key in ("properties", "$defs"):
        if is_object(one := base.get(key)) and is_object(other := extra.get(key)):
            merged[key] = {**one, **other}
    if is_array(one := base.get("required")) and is_array(other := extra.get("required")):
        merged["required"] = list(dict.fromkeys([*one, *other]))
    return merged


def _bound(schema: dict[str, Any], inclusive: str, exclusive: str, tighter: Any) -> float | None:
    given: list[object] = [schema.get(inclusive), schema.get(exclusive)]
    numbers = [cast(float, value) for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    return tighter(numbers) if numbers else None
