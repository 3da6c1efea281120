"""Datetimes and times in a schema, which msgspec describes as strings and nothing more.

The model has to know how one is written, and half of one must not be shown as if it were a text. Both is said by the
schema's `format`. What it says fits either kind: msgspec reads a datetime with and without its zone.
"""

import datetime
from collections.abc import Iterator
from copy import deepcopy
from types import UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from ...actors import JsonObject
from .kinds import alternatives, fields_of, item_type, member_type
from .subset import members, resolve

__all__ = ["with_moments"]

_DECIDED = {"format", "enum", "const", "pattern", "contentEncoding"}


def with_moments(schema: JsonObject, given: Any) -> JsonObject:
    """The schema that msgspec made of a type, with the formats of datetimes and times in it."""
    root = deepcopy(schema)
    seen: set[int] = set()
    waiting: list[tuple[JsonObject, list[Any]]] = [(root, [given])]
    while waiting:
        node, types = waiting.pop()
        kinds = [kind for found in types for kind in _kinds(found)]
        if isinstance(reference := node.get("$ref"), str):
            target = resolve(root, reference)
            if target is None:
                continue
            node, named = target, [kind for kind in kinds if _name(kind) == reference.rpartition("/")[2]]
            kinds = named or kinds
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.get("type") == "string" and not _DECIDED & node.keys() and (told := _format(kinds)) is not None:
            node["format"] = told
        waiting += ((part, kinds) for part in _schemas(node.get("anyOf")))
        for name, part in _objects(members(node)):
            waiting.append((part, [found for kind in kinds if (found := member_type(kind, name)) is not None]))
        for part in _schemas([node.get("items"), node.get("additionalProperties")]):
            waiting.append((part, [found for kind in kinds if (found := _inner(kind)) is not None]))
        for place, part in enumerate(_schemas(node.get("prefixItems"))):
            waiting.append((part, [found for kind in kinds for found in _places(kind)[place : place + 1]]))
    return root


def _kinds(given: Any) -> Iterator[Any]:
    """The types that a value may have, but for datetimes that must have no zone: the format says that they have one."""
    origin = get_origin(given)
    if origin is Annotated:
        inner, *said = get_args(given)
        if all(getattr(one, "tz", None) is not False for one in said):
            yield from _kinds(inner)
    elif origin is Union or isinstance(given, UnionType):
        for inner in get_args(given):
            yield from _kinds(inner)
    else:
        yield from alternatives(given)


def _format(kinds: list[Any]) -> str | None:
    if any(kind is str for kind in kinds):
        return None  # of another type of the same union
    if any(kind is datetime.datetime for kind in kinds):
        return "date-time"
    return "time" if any(kind is datetime.time for kind in kinds) else None


def _inner(kind: Any) -> Any:
    """The type of what a list or a dictionary holds; None for what is neither."""
    found = item_type(kind)
    return member_type(kind, "") if found is None else found


def _places(kind: Any) -> list[Any]:
    """The types of a tuple's places."""
    return [*get_args(kind)] or [*fields_of(kind).values()]


def _name(kind: Any) -> str:
    return getattr(get_origin(kind) or kind, "__name__", "")


def _schemas(found: object) -> Iterator[JsonObject]:
    for part in cast("list[object]", found) if isinstance(found, list) else []:
        if isinstance(part, dict):
            yield cast("JsonObject", part)


def _objects(found: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    for name, part in found.items():
        if isinstance(part, dict):
            yield name, cast("JsonObject", part)
