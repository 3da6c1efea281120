"""Token usage of one message: cumulative figures that overwrite each other.

The rule (Messages API, `message_delta`): figures are totals so far, and a field that is absent or null keeps what an
earlier event said.
"""

from collections.abc import Mapping
from typing import Any, cast

import attrs

from .parts import EMPTY
from .wire import JsonObject

__all__ = ["Usage", "merge_usage", "usage_from_json"]


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


_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def merge_usage(total: JsonObject, update: Mapping[str, Any]) -> bool:
    """Overwrites `total` with what `update` says, in place; returns whether anything changed."""
    changed = False
    for name, value in update.items():
        if value is not None and total.get(name) != value:
            total[name] = value
            changed = True
    return changed


def usage_from_json(total: Mapping[str, Any]) -> Usage:
    """The usage in the API's JSON. A figure that isn't a whole number is left among the details."""
    details = {name: value for name, value in total.items() if value is not None}
    counts = {name: details.pop(name) for name in _COUNTS if type(details.get(name)) is int}
    split = details.get("output_tokens_details")
    thinking = cast("object", split.get("thinking_tokens")) if isinstance(split, dict) else None  # pyright: ignore[reportUnknownMemberType]
    return Usage(**counts, thinking_tokens=thinking if type(thinking) is int else None, details=details or EMPTY)
