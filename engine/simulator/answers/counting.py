"""How many tokens a request counts for: an estimate, about four characters of what it says a token."""

from __future__ import annotations

from typing import Any

import msgspec

from .jsondata import is_array, is_object, member

__all__ = ["input_tokens"]

_A_PAGE = 6_000  # characters: images and documents count by their size on the page, not by their letters
# Says how something is meant, not what is said: a text counts the same whether it stands in a block or by itself.
_UNCOUNTED = frozenset(
    ("type", "id", "tool_use_id", "media_type", "cache_control", "signature", "encrypted_content", "caller")
)
_AS_JSON = frozenset(("input", "input_schema", "schema"))


def input_tokens(body: dict[str, Any]) -> int:
    """Returns the estimate for everything in a request that the model reads: never less than one."""
    format = member(body, "output_config").get("format") or body.get("output_format")
    counted = [body.get("system"), body.get("messages"), body.get("tools"), format]
    return max(1, sum(_characters(part) for part in counted) // 4 + 3 * len(body.get("messages") or ()))


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if is_array(value):
        return sum(_characters(item) for item in value)
    if not is_object(value):
        return 0
    if value.get("type") == "base64":
        return _A_PAGE
    return sum(
        len(msgspec.json.encode(item)) if name in _AS_JSON else _characters(item)
        for name, item in value.items()
        if name not in _UNCOUNTED
    )
