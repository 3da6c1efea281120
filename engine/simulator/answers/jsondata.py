"""Telling JSON objects and arrays from other decoded JSON, for the type checker as much as at run time."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["is_array", "is_object", "member"]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether the value is a JSON object, whose names are strings by the rules of JSON."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether the value is a JSON array."""
    return isinstance(value, list)


def member(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns the object of that name in `parent`, an empty one when there is none."""
    value: object = parent.get(name)
    return value if is_object(value) else {}
