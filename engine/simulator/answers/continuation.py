"""Going on with an interrupted answer: what is left to say when a request quotes what has been said already.

Models from version 4.6 on take no beginning of an answer. A last user turn tells them how far they had come instead.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from .blocks import Answer, Block, Text
from .jsondata import is_array, is_object

__all__ = ["interrupted", "rest_of"]

_TURN = re.compile(
    r"\s*Your previous response was interrupted and ended with \[(.*)\]\. Continue from where you left off\.\s*",
    re.DOTALL,
)


def interrupted(body: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Returns the request that was interrupted, and the text its answer had come to; None when none is continued."""
    *before, last = body["messages"]
    if not before or last["role"] != "user" or (turn := _TURN.fullmatch(_text(last["content"]))) is None:
        return None
    return {**body, "messages": before}, turn[1]


def rest_of(answer: Answer, said: str) -> Answer:
    """Returns what an answer has left to say.

    `said` is the beginning of its text or, failing that, the end of one. An answer that has no such beginning is
    returned whole, as it goes on by itself. When all has been said, an empty text remains.
    """
    text = "".join("".join(block.pieces) for block in answer.blocks if isinstance(block, Text))
    if (start := text.find(said)) < 0:  # a beginning is found first
        return answer
    skipped = start + len(said)
    blocks: list[Block] = []
    for block in answer.blocks:
        if skipped == 0:
            blocks.append(block)
        elif isinstance(block, Text):
            size = sum(map(len, block.pieces))
            if skipped < size:  # its citations came before its text
                blocks.append(Text(_without(block.pieces, skipped)))
            skipped = max(0, skipped - size)
    return attrs.evolve(answer, blocks=tuple(blocks) or (Text(()),))


def _without(pieces: tuple[str, ...], characters: int) -> tuple[str, ...]:
    """The pieces after so many characters. Of the piece in which they end, the rest is one, too."""
    for number, piece in enumerate(pieces):
        if characters < len(piece):
            return (piece[characters:], *pieces[number + 1 :])
        characters -= len(piece)
    return ()


def _text(content: object) -> str:
    """The text of a turn that is text alone; of any other, none."""
    if isinstance(content, str):
        return content
    if is_array(content) and all(is_object(block) and block.get("type") == "text" for block in content):
        return "".join(str(block.get("text")) for block in content)
    return ""
