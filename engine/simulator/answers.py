"""What the simulated model says: a finished answer, made from a seed and a request, not yet on any wire.

An answer depends on the seed and on the content of the request alone, not on when it arrives or beside what. Whether
it is streamed makes no difference to it either.
"""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any, TypeAlias

import attrs

from .ids import identifier
from .jsondata import is_array, is_object, member
from .prose import random_prose, tokenise
from .schema import instance_of

__all__ = ["Answer", "Block", "Text", "Thinking", "ToolUse", "generate", "input_tokens", "told"]

_LONGEST = 1_024  # tokens of prose: beyond this a larger `max_tokens` makes no longer answer


@attrs.frozen
class Text:
    """A text block, in token-like pieces."""

    pieces: tuple[str, ...] = attrs.field(repr=False)


@attrs.frozen
class Thinking:
    """A thinking block. `shown` is False where the request wants the signature only."""

    pieces: tuple[str, ...] = attrs.field(repr=False)
    signature: str = attrs.field(repr=False)
    shown: bool = True


@attrs.frozen
class ToolUse:
    """A call of a client tool. The pieces are those of its JSON, which `max_tokens` may have cut short."""

    id: str
    name: str
    pieces: tuple[str, ...] = attrs.field(repr=False)


Block: TypeAlias = Text | Thinking | ToolUse


@attrs.frozen
class Answer:
    """A whole answer and why it ends."""

    blocks: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None

    @property
    def thinking_tokens(self) -> int:
        """The tokens spent on thinking, shown or not."""
        return sum(len(block.pieces) for block in self.blocks if isinstance(block, Thinking))

    @property
    def output_tokens(self) -> int:
        """All tokens of the answer. Never zero, as an empty answer has its end, too."""
        return max(1, sum(len(block.pieces) for block in self.blocks))


def told(text: str) -> Answer:
    """Return the answer that says exactly this."""
    return Answer((Text(tuple(tokenise(text))),), "end_turn")


def generate(body: dict[str, Any], random: Random, ids: Random) -> Answer:
    """Return an answer to the body of a valid request.

    `random` decides on the content, `ids` only on the ids of tool calls: the same question asked twice gets the same
    answer, but two calls are never the same call.
    """
    budget: int = body["max_tokens"]
    if budget == 0:  # the request only warms the prompt cache
        return Answer((), "max_tokens")
    blocks: list[Block] = []
    if (thinking := _think(body, random, budget)) is not None:
        blocks.append(thinking)
        budget -= len(thinking.pieces)
    if calls := _calls(body, random, ids):
        if _choice(body) == "auto":
            calls = [Text(tuple(random_prose(random, random.randint(4, 16)))), *calls]
        return _within(budget, blocks, calls)
    return _prose(body, random, budget, blocks)


def input_tokens(body: dict[str, Any]) -> int:
    """Return an estimate of what the request counts for: about four characters of its content a token."""
    counted = [body.get("system"), body.get("messages"), body.get("tools")]
    return max(1, sum(_characters(part) for part in counted) // 4 + 3 * len(body.get("messages") or ()))


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if is_array(value):
        return sum(_characters(item) for item in value)
    if not is_object(value):
        return 0
    if value.get("type") == "base64":  # images and documents count by their size on the page, not by their letters
        return 6_000
    return sum(_characters(item) for item in value.values())


def _think(body: dict[str, Any], random: Random, budget: int) -> Thinking | None:
    config = member(body, "thinking")
    if config.get("type") not in ("enabled", "adaptive") or budget < 2:
        return None
    most = max(1, min(budget // 3, 160))
    pieces = random_prose(random, random.randint(max(1, most // 4), most))
    signature = base64.b64encode(random.randbytes(random.randint(120, 240))).decode()
    return Thinking(tuple(pieces), signature, shown=config.get("display") != "omitted")


def _choice(body: dict[str, Any]) -> str:
    return member(body, "tool_choice").get("type", "auto")


def _calls(body: dict[str, Any], random: Random, ids: Random) -> list[Block]:
    """Return the tool calls that the request forces, or that its last turn suggests."""
    tools: list[dict[str, Any]] = [tool for tool in body.get("tools") or () if tool.get("type", "custom") == "custom"]
    choice = member(body, "tool_choice")
    suggested = [tool for tool in tools if _suggests(body["messages"][-1], tool["name"])]
    match _choice(body):
        case "none":
            return []
        case "tool":
            chosen = [tool for tool in tools if tool["name"] == choice.get("name")]
        case "any":
            chosen = suggested or ([random.choice(tools)] if tools else [])
        case _:
            chosen = suggested
    if choice.get("disable_parallel_tool_use"):
        chosen = chosen[:1]
    return [_call(tool, random, ids) for tool in chosen]


def _suggests(message: dict[str, Any], tool_name: str) -> bool:
    """Whether a user's turn speaks of the tool: by a longer word of its name. Results of tools want no new call."""
    content: Any = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if any(block.get("type") == "tool_result" for block in blocks):
        return False
    said = " ".join(str(block.get("text", "")) for block in blocks).lower()
    words = tool_name.lower().replace("-", "_").split("_")
    return any(word in said for word in (tool_name.lower(), *(word for word in words if len(word) > 3)))


def _call(tool: dict[str, Any], random: Random, ids: Random) -> ToolUse:
    arguments = json.dumps(instance_of(tool["input_schema"], random), ensure_ascii=False)
    return ToolUse(identifier("toolu", ids), tool["name"], tuple(tokenise(arguments)))


def _within(budget: int, blocks: list[Block], more: list[Block]) -> Answer:
    """Add blocks as far as the tokens suffice; the last one may be cut short, a tool call in mid-JSON too."""
    for block in more:
        blocks.append(attrs.evolve(block, pieces=block.pieces[:budget]))
        if (budget := budget - len(block.pieces)) < 0:
            return Answer(tuple(blocks), "max_tokens")
    return Answer(tuple(blocks), "tool_use")


def _prose(body: dict[str, Any], random: Random, budget: int, blocks: list[Block]) -> Answer:
    length = max(1, int(min(budget, _LONGEST) * random.uniform(0.25, 1.1)))
    pieces = random_prose(random, min(length, budget))
    reason = "max_tokens" if length > budget else "end_turn"
    stops: list[str] = body.get("stop_sequences") or []
    text = "".join(pieces)
    if stops:
        # A model that is given stop sequences comes to one sooner or later, unless its tokens run out before.
        stop = min((stop for stop in stops if stop in text), key=text.index, default=None)
        if stop is not None:
            pieces = tokenise(text[: text.index(stop)])
        elif reason == "end_turn":
            stop = random.choice(stops)
        if stop is not None:
            return Answer((*blocks, Text(tuple(pieces))), "stop_sequence", stop)
    return Answer((*blocks, Text(tuple(pieces))), reason)
