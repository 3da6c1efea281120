"""Which kinds of JSON value each parameter of the Messages API takes, read from the SDK's own types.

Only plain kinds are told apart: a string from a number, an array from an object. What stands inside is the API's to
judge.
"""

import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from ...actors.stream import MessageParams

__all__ = ["wanted_kinds"]

_ANYTHING = frozenset[str]()
_NAMES = {
    "string": "a string",
    "whole": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
}


def wanted_kinds(name: str, value: object) -> str | None:
    """What the parameter takes, in words, when it doesn't take `value`; None when it does, or nobody knows. It imports
    `anthropic`.

    Null is never objected to: it is how some programs leave a parameter out.
    """
    kinds = _kinds().get(name, _ANYTHING)
    if not kinds or value is None or _kinds_of(value) & kinds:
        return None
    return " or ".join(words for kind, words in _NAMES.items() if kind in kinds)


def _kinds_of(value: object) -> set[str]:
    match value:
        case bool():
            return {"boolean"}
        case str():
            return {"string"}
        case int():
            return {"whole", "number"}
        case float():
            return {"number"}
        case list():
            return {"array"}
        case _:
            return {"object"}


@cache
def _kinds() -> Mapping[str, frozenset[str]]:
    from anthropic.types import MessageCreateParams
    from anthropic.types.beta import MessageCreateParams as BetaMessageCreateParams

    found: dict[str, frozenset[str]] = {}
    # Ours names some that the SDK no longer names; where the SDK names one, its word counts.
    kinds: list[Any] = [MessageParams, *get_args(BetaMessageCreateParams), *get_args(MessageCreateParams)]
    for kind in kinds:
        found |= {name: _taken(type_) for name, type_ in get_type_hints(kind).items()}
    return found


def _taken(type_: Any) -> frozenset[str]:
    """The kinds of value that a type stands for; empty when that is not plain."""
    origin = get_origin(type_)
    if origin is Literal:
        return _ANYTHING.union(*(_kinds_of(value) for value in get_args(type_)))
    if origin in (Union, types.UnionType):
        inner = [_taken(one) for one in get_args(type_) if one is not types.NoneType]
        return _ANYTHING.union(*inner) if all(inner) else _ANYTHING
    if origin is not None and not get_args(type_):
        return _ANYTHING
    plain: Any = origin or type_
    if is_typeddict(plain):
        return frozenset({"object"})
    for known, kind in ((bool, "boolean"), (str, "string"), (int, "whole"), (float, "number")):
        if plain is known:
            return frozenset({kind})
    if isinstance(plain, type) and issubclass(plain, Mapping):
        return frozenset({"object"})
    if isinstance(plain, type) and issubclass(plain, Iterable):
        return frozenset({"array"})
    return _ANYTHING
