"""The part of JSON Schema that the API holds answers to: a schema is brought into it, or refused in one sentence.

What only narrows a value down (bounds, lengths, patterns, defaults) moves into the description, where the model reads
it; the answer is validated against it afterwards. What the API can't be told at all is refused before anything is sent.

Source: the platform's page on structured outputs and what version 2.14 of the official Python SDK takes out of schemas,
read on 2026-11-28. The SDK silently makes of a dictionary an object without members; here it is refused.
"""

from collections.abc import Iterator
from typing import Any, NoReturn, cast

from ...actors import JsonObject

__all__ = ["SchemaRefused", "fit", "members", "resolve"]

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)  # fmt: skip
_MOST_OPTIONAL = 24
_MOST_UNIONS = 16
_SAID_NOTHING = frozenset(
    {"$schema", "$id", "$anchor", "$comment", "discriminator", "deprecated", "readOnly", "writeOnly", "examples"}
)
_UNKNOWN = ("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties", "$dynamicRef")
_KEPT = frozenset({"type", "title", "description", "enum", "const"})
_PRIMITIVE = (str, int, float, bool, type(None))


class SchemaRefused(ValueError):
    """The API does not take this schema. The message says what to change."""


def fit(schema: JsonObject) -> JsonObject:
    """The schema as the API takes it. The one that was given is left as it is.

    Raises `SchemaRefused` with one sentence that says what to change.
    """
    return _Fitting(schema).whole()


def resolve(root: JsonObject, reference: str) -> JsonObject | None:
    """What a reference within a schema leads to, such as `#/$defs/node`; None when that is no schema."""
    target: Any = root
    if reference != "#" and not reference.startswith("#/"):
        return None
    for step in reference.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or key not in target:
            return None
        target = cast("JsonObject", target)[key]
    return cast("JsonObject", target) if isinstance(target, dict) else None


def members(schema: JsonObject) -> JsonObject:
    """The properties of an object's schema by their names; none if there are none."""
    found: object = schema.get("properties")
    return cast("JsonObject", found) if isinstance(found, dict) else {}


class _Fitting:
    """One schema, and what was counted of it so far."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._optional: list[str] = []
        self._unions: list[str] = []

    def whole(self) -> JsonObject:
        for start in ("$defs", "definitions"):
            for name in _object(self._root.get(start)):
                self._check_recursion(f"#/{start}/{name}", name)
        self._check_recursion("#", "the output")
        fitted = self._fit(self._root, "the output")
        for start in ("$defs", "definitions"):
            if parts := _object(self._root.get(start)):
                fitted[start] = {name: self._fit(part, name) for name, part in parts.items()}
        for found, most, what, change in (
            (self._optional, _MOST_OPTIONAL, "optional fields", "give fewer of them a default"),
            (
                self._unions,
                _MOST_UNIONS,
                "fields of several types",
                'give fewer of them "| None" or other alternatives',
            ),
        ):
            if len(found) > most:
                self._refuse(
                    f"the output has {len(found)} {what} ({', '.join(found[:3])}, ...), and the API takes {most}:"
                    f' {change}, or use OutputSpec(..., via="tool")'
                )
        return fitted

    def _refuse(self, words: str) -> NoReturn:
        raise SchemaRefused(words)

    def _check_recursion(self, reference: str, name: str) -> None:
        seen: set[str] = set()
        waiting = [*_references(resolve(self._root, reference))]
        while waiting:
            found = waiting.pop()
            if found == reference:
                self._refuse(
                    f"{name} holds itself, and the API takes no schema that does: nest it to a fixed depth,"
                    ' or use OutputSpec(..., via="tool")'
                )
            if found not in seen:
                seen.add(found)
                waiting += _references(resolve(self._root, found))

    def _fit(self, given: object, where: str) -> JsonObject:
        if given is True or given == {}:
            self._refuse(
                f"{where} may hold anything, which the API does not take: give it a type,"
                ' or use OutputSpec(..., via="tool")'
            )
        if not isinstance(given, dict):
            self._refuse(f"{where} is no schema: write a mapping that has a type")
        schema = self._as_one(cast("JsonObject", given), where)
        if (reference := schema.get("$ref")) is not None:
            if not isinstance(reference, str) or resolve(self._root, reference) is None:
                self._refuse(f"{where} refers to {reference!r}, which is not in the schema: put it under $defs")
            return {"$ref": reference}
        if unknown := [name for name in _UNKNOWN if name in schema]:
            self._refuse(
                f"{where} uses {unknown[0]!r}, which the API does not take: leave it out and check the output yourself,"
                ' or use OutputSpec(..., via="tool")'
            )
        fitted = {name: value for name, value in schema.items() if name in _KEPT}
        rest = {
            name: value
            for name, value in schema.items()
            if name not in _KEPT | _SAID_NOTHING and name not in ("$defs", "definitions")
        }
        self._alternatives(rest, fitted, where)
        kinds: object = schema.get("type")
        listed = cast("list[object]", kinds) if isinstance(kinds, list) else [kinds]
        if "object" in listed or (kinds is None and "properties" in rest):
            self._object(rest, fitted, where)
        if "array" in listed or (kinds is None and ("items" in rest or "prefixItems" in rest)):
            self._array(rest, fitted, where)
        if "string" in listed and rest.get("format") in _FORMATS:
            fitted["format"] = rest.pop("format")
        self._literals(fitted, where)
        if not {"type", "anyOf", "allOf", "enum", "const"} & {*fitted}:
            self._refuse(f"{where} does not say what it is: give it a type, an enum or alternatives (anyOf)")
        if rest:
            hints = "{" + ", ".join(f"{name}: {value}" for name, value in rest.items()) + "}"
            said: object = fitted.get("description")
            fitted["description"] = f"{said}\n\n{hints}" if said else hints
        return fitted

    def _as_one(self, schema: JsonObject, where: str) -> JsonObject:
        """A schema without an `allOf` that the API does not take: it takes no reference there, and objects, which are
        closed, would take nothing at all together. One alone is how some libraries write a reference with a title."""
        parts: object = schema.get("allOf")
        several = cast("list[object]", parts) if isinstance(parts, list) else []
        if not any("$ref" in _object(part) or members(_object(part)) for part in several):
            return schema
        inner = _object(several[0])
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        if len(several) > 1 or members(rest):
            self._refuse(
                f"{where} is made of several schemas (allOf), which the API does not take: write its fields as one"
                ' object, or use OutputSpec(..., via="tool")'
            )
        return inner if "$ref" in inner else {**inner, **rest}

    def _alternatives(self, rest: JsonObject, fitted: JsonObject, where: str) -> None:
        for name, told in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
            parts: object = rest.pop(name, None)
            if isinstance(parts, list):
                fitted[told] = [self._fit(part, where) for part in cast("list[object]", parts)]

    def _object(self, rest: JsonObject, fitted: JsonObject, where: str) -> None:
        if rest.get("properties") == {} and "additionalProperties" not in rest:
            self._refuse(f"{where} has no fields, so that there is nothing to ask for: give it some")
        properties = _object(rest.pop("properties", None))
        more: object = rest.pop("additionalProperties", None)
        if isinstance(more, dict) or (not properties and more is not False):
            self._refuse(
                f"{where} is a dictionary, and the API takes only objects whose names are known: use a list of entries"
                ' that have a name and a value each, or OutputSpec(..., via="tool")'
            )
        required: object = rest.pop("required", None)
        needed = cast("list[str]", required) if isinstance(required, list) else []
        fitted["properties"] = {}
        for name, part in properties.items():
            fitted["properties"][name] = self._fit(part, _inside(where, name))
            if name not in needed:
                self._optional.append(_inside(where, name))
            if _has_alternatives(part):
                self._unions.append(_inside(where, name))
        fitted["required"] = [name for name in needed if name in properties]
        fitted["additionalProperties"] = False

    def _array(self, rest: JsonObject, fitted: JsonObject, where: str) -> None:
        if "prefixItems" in rest or isinstance(rest.get("items"), list):
            self._refuse(
                f"{where} is a tuple, and the API takes only arrays whose items are alike: use a class with a field for"
                ' each place, or OutputSpec(..., via="tool")'
            )
        fitted["items"] = self._fit(rest.pop("items", True), f"an item of {where}")
        if rest.get("minItems") in (0, 1):
            fitted["minItems"] = rest.pop("minItems")

    def _literals(self, fitted: JsonObject, where: str) -> None:
        values: object = fitted.get("enum", [fitted["const"]] if "const" in fitted else None)
        if values is None:
            return
        plain = isinstance(values, list) and all(
            isinstance(value, _PRIMITIVE) for value in cast("list[object]", values)
        )
        if values == []:
            self._refuse(f"{where} is one of no values: give it some to choose from")
        if not plain:
            self._refuse(f"{where} is one of given values, and the API takes only strings, numbers, booleans and null")
        fitted.pop("type", None)


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _inside(where: str, name: str) -> str:
    return name if where == "the output" else f"{where}.{name}"


def _has_alternatives(schema: object) -> bool:
    found = _object(schema)
    return "anyOf" in found or "oneOf" in found or isinstance(found.get("type"), list)


def _references(schema: object) -> Iterator[str]:
    """What a schema refers to, by itself and by what it holds."""
    if isinstance(schema, dict):
        for name, value in cast("JsonObject", schema).items():
            if name == "$ref" and isinstance(value, str):
                yield value
            elif name not in ("$defs", "definitions", "enum", "const", "default", "examples"):
                yield from _references(value)
    elif isinstance(schema, list):
        for part in cast("list[object]", schema):
            yield from _references(part)
