"""What a script makes the model say, part by part: text, thinking, calls of tools, JSON for a schema."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeAlias, cast

import attrs

from .blocks import Answer, Block, Text, ThinkingBlock, ToolUseBlock
from .ids import identifier
from .jsondata import member
from .prose import json_pieces, tokenise

__all__ = ["Part", "Said", "Structured", "Thinking", "ToolUse"]


def _check_text(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if not isinstance(cast(object, value), str):
        raise ValueError(f"{attribute.name} must be a text, not {value!r}")


def _check_json(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{attribute.name} must be what JSON can hold: {error}") from None


def _check_input(instance: object, attribute: attrs.Attribute[Any], value: Mapping[str, Any]) -> None:
    if not isinstance(cast(object, value), dict):
        raise ValueError(f"{attribute.name} must be a dict, not {value!r}")
    _check_json(instance, attribute, value)


@attrs.frozen
class ToolUse:
    """A call of one of the request's tools, whether it offers the tool or not: its name and its arguments.

    An answer with a call ends with the stop reason `tool_use`. Without `id`, each call gets one of its own.
    """

    name: str = attrs.field(validator=_check_text)
    input: dict[str, Any] = attrs.field(factory=dict[str, Any], validator=_check_input, repr=False)
    id: str | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_check_text))


@attrs.frozen
class Structured:
    """The JSON text of this value, as a request with `output_config.format` gets it; whether it fits isn't checked."""

    value: Any = attrs.field(validator=_check_json, repr=False)


@attrs.frozen
class Thinking:
    """Thinking, with a signature made up. The text is left out where the request wants it omitted."""

    text: str = attrs.field(validator=_check_text, repr=False)


Part: TypeAlias = str | ToolUse | Structured | Thinking


@attrs.frozen
class Said:
    """An answer of these parts, a content block each."""

    parts: tuple[Part, ...] = attrs.field(repr=False)

    def answer(self, body: dict[str, Any], ids: Random) -> Answer:
        """Returns it as the answer to a request; `ids` decides on the ids of calls."""
        shown = member(body, "thinking").get("display") != "omitted"
        called = any(isinstance(part, ToolUse) for part in self.parts)
        return Answer(_blocks(self.parts, shown, ids), "tool_use" if called else "end_turn")


def _blocks(parts: Sequence[Part], shown: bool, ids: Random) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for part in parts:
        match part:
            case str():
                blocks.append(Text(tuple(tokenise(part))))
            case Structured():
                blocks.append(Text(json_pieces(part.value)))
            case Thinking():
                signature = base64.b64encode(ids.randbytes(160)).decode()
                blocks.append(ThinkingBlock(tuple(tokenise(part.text)), signature, shown))
            case ToolUse():
                blocks.append(ToolUseBlock(part.id or identifier("toolu", ids), part.name, json_pieces(part.input)))
    return tuple(blocks)
