"""Token usage: cumulative figures within one message, each replacing the one before; sums over several messages.

The rule within a message (Messages API, `message_delta`): figures are totals so far, and a field that is absent or null
keeps what an earlier event said.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard, cast

import attrs

from ..wire import JsonObject
from .parts import EMPTY

__all__ = ["Usage", "is_count", "merge_usage", "sum_of_usages", "usage_from_json"]


@attrs.frozen
class Usage:
    """Tokens, as the API counted them. Input is split three ways: uncached, written to the cache, read from it."""

    input_tokens: int = 0
    """Uncached input."""
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    thinking_tokens: int | None = None
    """How many of the output tokens were thinking, if the API said so."""
    details: Mapping[str, Any] = EMPTY
    """Everything else the API reported, as it was: server tool requests, the cache's split, service tier …"""

    @property
    def total_input_tokens(self) -> int:
        """All input: uncached, written to the cache and read from it."""
        return self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """What both used together. Of the details, numbers are added up, lists joined, and names are the later's."""
        thinking = [usage.thinking_tokens for usage in (self, other) if usage.thinking_tokens is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_creation_input_tokens + other.cache_creation_input_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            sum(thinking) if thinking else None,
            sum_of_usages(self.details, other.details) or EMPTY,
        )


_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def merge_usage(total: JsonObject, update: Mapping[str, Any]) -> bool:
    """Overwrites `total` with what `update` says, in place; returns whether anything changed."""
    changed = False
    for name, value in update.items():
        if value is not None and total.get(name) != value:
            total[name] = value
            changed = True
    return changed


def sum_of_usages(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> JsonObject:
    """What two messages used together, in the API's JSON."""
    return {name: _sum(earlier.get(name), later.get(name)) for name in {**earlier, **later}}


def _sum(earlier: Any, later: Any) -> Any:
    match earlier, later:
        case None, value:
            return value
        case value, None:
            return value
        case bool(), _:
            return later
        case int() | float(), int() | float():
            return _sum_of_numbers(earlier, later)
        case dict(), dict():
            return sum_of_usages(cast("JsonObject", earlier), cast("JsonObject", later))
        case list(), list():
            return [*cast("list[Any]", earlier), *cast("list[Any]", later)]
        case _:
            return later


def _sum_of_numbers(earlier: float, later: float) -> float:
    try:
        total = earlier + later
    except OverflowError:  # an integer beyond all floats, and a float
        return later
    return total if isinstance(total, int) or math.isfinite(total) else later


_MOST_TOKENS = 2**53  # what JSON's readers agree upon, and more than anybody will be billed for


def is_count(value: object) -> TypeGuard[int]:
    """Whether the value can be a number of tokens."""
    return type(value) is int and 0 <= value <= _MOST_TOKENS


def usage_from_json(total: Mapping[str, Any]) -> Usage:
    """The usage in the API's JSON. A figure that can't be a number of tokens is left among the details."""
    details = {name: value for name, value in total.items() if value is not None}
    counts = {name: details.pop(name) for name in _COUNTS if is_count(details.get(name))}
    split = details.get("output_tokens_details")
    thinking = cast("object", split.get("thinking_tokens")) if isinstance(split, dict) else None  # pyright: ignore[reportUnknownMemberType]
    return Usage(**counts, thinking_tokens=thinking if is_count(thinking) else None, details=details or EMPTY)
