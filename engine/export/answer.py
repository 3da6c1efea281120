"""One line of results as one flat row: the columns that every row has."""

from collections.abc import Mapping
from typing import Any, cast

import attrs

from ...actors.message import Usage, usage_from_json
from ...actors.wire import json_text, parse_json
from ..prices import BATCH_PRICE, Prices
from .lines import whole_text
from .spending import Spent

__all__ = ["KINDS", "answer_row"]

KINDS: Mapping[str, str] = {
    "custom_id": "text",
    "epoch": "integer",
    "state": "text",
    "text": "text",
    "output": "json",
    "stop_reason": "text",
    "model": "text",
    "input_tokens": "integer",
    "cache_read_tokens": "integer",
    "cache_write_tokens": "integer",
    "output_tokens": "integer",
    "cost_usd": "number",
    "error_type": "text",
    "error_message": "text",
}
"""The columns, in their order, with the kinds of their values."""


def answer_row(line: Mapping[str, Any], spent: Spent | None, prices: Prices) -> dict[str, Any]:
    """The row of a line that `ResultLines` gave. `spent` is what the journal says of it; without it, the message's own
    usage counts. `prices` are for what the journal has no price of."""
    result = line["result"]
    message = _object(result.get("message"))
    model = _text(message.get("model"))
    blocks = [_object(block) for block in _list(message.get("content"))]
    text = "".join(block["text"] for block in blocks if block.get("type") == "text" and type(block.get("text")) is str)
    error = _error(result)
    if spent is None:
        spent = _spent(message, model, prices)
    elif spent.dollars is None:
        costs = [prices.cost(name, _usage(spent)) for name in (spent.model, model, spent.asked) if name]
        spent = attrs.evolve(spent, dollars=next((cost for cost in costs if cost is not None), None))
    return {
        "custom_id": shown if isinstance(shown := line.get("id"), str) else line.get("custom_id"),
        "epoch": epoch if type(epoch := line.get("epoch")) is int else None,
        "state": result["type"],
        "text": text if message else None,
        "output": line["output"] if "output" in line else _output(text, blocks),
        "stop_reason": _text(message.get("stop_reason")),
        "model": model or spent.model,
        "input_tokens": spent.input_tokens,
        "cache_read_tokens": spent.cache_read_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "output_tokens": spent.output_tokens,
        "cost_usd": spent.dollars,
        "error_type": spent.failure or _text(error.get("type")),
        "error_message": _text(error.get("message")),
    }


def _spent(message: Mapping[str, Any], model: str | None, prices: Prices) -> Spent:
    given = _object(message.get("usage"))
    if not given:
        return Spent()
    usage = usage_from_json(given)
    return Spent(
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.output_tokens,
        _dollars(model, usage, prices),
    )


def _usage(spent: Spent) -> Usage:
    return Usage(
        input_tokens=spent.input_tokens or 0,
        cache_creation_input_tokens=spent.cache_write_tokens or 0,
        cache_read_input_tokens=spent.cache_read_tokens or 0,
        output_tokens=spent.output_tokens or 0,
    )


def _dollars(model: str | None, usage: Usage, prices: Prices) -> float | None:
    dollars = None if model is None else prices.cost(model, usage)
    if dollars is not None and usage.details.get("service_tier") == "batch":
        dollars *= BATCH_PRICE
    return dollars


def _output(text: str, blocks: list[dict[str, Any]]) -> Any:
    """The answer as data: its whole text, if that is a JSON object or array, else what its only tool call was given."""
    stripped = text.strip()
    if stripped.startswith(("{", "[")) and stripped.endswith(("}", "]")):
        try:
            return whole_text(parse_json(stripped))
        except (ValueError, RecursionError):
            pass
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return calls[0].get("input") if len(calls) == 1 else None


def _error(result: Mapping[str, Any]) -> dict[str, Any]:
    """The error itself; the Batches API puts it into an error response."""
    outer = result.get("error")
    inner = _object(outer).get("error", outer)
    return _object(inner) or {"message": inner}


def _text(value: object) -> str | None:
    """A name, whatever the service put in its place."""
    return value if value is None or isinstance(value, str) else json_text(value)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
