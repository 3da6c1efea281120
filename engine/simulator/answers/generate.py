"""What the simulated model says: a finished answer, made from a seed and a request, not yet on any wire.

An answer depends on the seed and on the content of the request alone, not on when it arrives or beside what. Whether
it is streamed makes no difference to it either.
"""

from __future__ import annotations

import base64
from random import Random
from typing import Any

import attrs

from .blocks import Answer, Block, Text, ThinkingBlock
from .citations import cite, sources_in
from .jsondata import is_array, is_object, member
from .prose import json_pieces, random_prose, tokenise
from .schema import instance_of
from .tools import call_tools, kind_of_choice, use_server_tools

__all__ = ["generate", "input_tokens", "told"]

_LONGEST = 1_024  # tokens of prose: beyond this a larger `max_tokens` makes no longer answer


def told(text: str) -> Answer:
    """Returns the answer that says exactly this."""
    return Answer((Text(tuple(tokenise(text))),), "end_turn")


def generate(body: dict[str, Any], random: Random, ids: Random) -> Answer:
    """Returns an answer to the body of a valid request.

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
    used = use_server_tools(body, random, ids)
    calls = call_tools(body, random, ids)
    schema = _wanted_schema(body)
    if calls and kind_of_choice(body) == "auto" and schema is None:  # any text would have to fit the schema
        calls = [Text(tuple(random_prose(random, random.randint(4, 16)))), *calls]
    for block in (*used, *calls):
        blocks.append(block)
        if (budget := budget - len(block.pieces)) < 0:  # cut short, a tool call in mid-JSON too
            blocks[-1] = attrs.evolve(block, pieces=block.pieces[:budget])
            break
    if budget < 0 or (budget == 0 and not calls):
        return Answer(tuple(blocks), "max_tokens")
    if calls:
        return Answer(tuple(blocks), "tool_use")
    if schema is not None:
        return _structured(schema, blocks, random, budget)
    prose = _prose(body, random, budget)
    cited = [
        piece for text in prose.blocks if isinstance(text, Text) for piece in cite(text, sources_in(body, used), random)
    ]
    return attrs.evolve(prose, blocks=(*blocks, *cited))


def _wanted_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that the request wants its answer to fit, by the field of today or by the older one."""
    format = member(body, "output_config").get("format") or body.get("output_format")
    return member(format, "schema") if is_object(format) else None


def _structured(schema: dict[str, Any], blocks: list[Block], random: Random, budget: int) -> Answer:
    pieces = json_pieces(instance_of(schema, random))
    reason = "end_turn" if len(pieces) <= budget else "max_tokens"
    return Answer((*blocks, Text(pieces[:budget])), reason)


def input_tokens(body: dict[str, Any]) -> int:
    """Returns an estimate of what the request counts for: about four characters of its content a token."""
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


def _think(body: dict[str, Any], random: Random, budget: int) -> ThinkingBlock | None:
    config = member(body, "thinking")
    if config.get("type") not in ("enabled", "adaptive") or budget < 2:
        return None
    most = max(1, min(budget // 3, 160))
    pieces = random_prose(random, random.randint(max(1, most // 4), most))
    signature = base64.b64encode(random.randbytes(random.randint(120, 240))).decode()
    return ThinkingBlock(tuple(pieces), signature, shown=config.get("display") != "omitted")


def _prose(body: dict[str, Any], random: Random, budget: int) -> Answer:
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
            return Answer((Text(tuple(pieces)),), "stop_sequence", stop)
    return Answer((Text(tuple(pieces)),), reason)
