"""One content block while it is put together."""

from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .channel import MakeDelta
from .message import (
    EMPTY,
    CitationPartDelta,
    CompactionPart,
    Part,
    PartDelta,
    ServerToolCallPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UnknownPartDelta,
    part_from_block,
)
from .wire import JsonObject, joined, parse_json
from .wire import events as wire

if TYPE_CHECKING:
    from .wire import PartialJSON

__all__ = ["OpenBlock", "raw_of"]


class OpenBlock:
    """A content block while it is being put together."""

    __slots__ = (
        "args",
        "base",
        "citations",
        "counted",
        "counted_pieces",
        "estimates",
        "index",
        "make_text",
        "open",
        "part",
        "pieces",
        "placeholder",
        "raw",
        "replaced",
        "takes",
        "unknown_deltas",
        "whole",
    )

    def __init__(self, index: int, raw: JsonObject) -> None:
        self.index = index
        self.raw = raw
        """The block as `content_block_start` gave it."""
        self.open = True
        self.base: Part = part_from_block(raw, complete=False)
        """The part without `pieces`."""
        self.part: Part | None = None
        """The finished part."""
        self.pieces: list[str] = []
        """What the deltas appended: text, thinking or JSON."""
        self.citations: list[Mapping[str, Any]] = []
        """The citations that deltas brought."""
        self.unknown_deltas: list[Mapping[str, Any]] = []
        """The deltas of unknown kinds. These three lists are joined with `base` only when the part is asked for."""
        self.counted = 0
        """The characters of the first `counted_pieces` pieces."""
        self.counted_pieces = 0
        self.args: PartialJSON | None = None
        self.placeholder = ""
        """The arguments a call began with: what it is called with if none stream."""
        self.whole = False
        """Whether it stood in `message_start` already, and may end without a word."""
        self.replaced = False
        """Whether a delta replaced the content the block began with."""
        self.takes: type[wire.TextDelta | wire.ThinkingDelta | wire.InputJsonDelta] | None
        """The kind of delta that only appends text to this block."""
        self.estimates = False
        """Whether such a delta may bring an estimate of tokens too."""
        self.make_text: MakeDelta
        match self.base:
            case TextPart():
                self.takes, self.make_text = wire.TextDelta, TextPartDelta
            case ThinkingPart():
                self.takes, self.make_text = wire.ThinkingDelta, ThinkingPartDelta
                self.estimates = True
            case ToolCallPart() | ServerToolCallPart():
                self.takes = wire.InputJsonDelta
                self.make_text = partial(ToolCallPartDelta, tool_call_id=self.base.tool_call_id)
                self.placeholder = self.base.args
                self.base = attrs.evolve(self.base, args="")
            case _:
                self.takes, self.make_text = None, TextPartDelta

    def current(self, *, complete: bool) -> Part:
        """The part as it is now."""
        changed: dict[str, Any] = {"complete": complete}
        if self.unknown_deltas:
            changed["unknown_deltas"] = (*self.base.unknown_deltas, *self.unknown_deltas)
        match self.base:
            case TextPart() | ThinkingPart() as part:
                if self.pieces:
                    changed["content"] = joined([part.content, *self.pieces])
                if self.citations:
                    assert isinstance(part, TextPart)
                    changed["citations"] = (*part.citations, *self.citations)
            case ToolCallPart() | ServerToolCallPart() as part:
                if self.pieces:
                    changed["args"] = joined(self.pieces)
            case part:
                pass
        return attrs.evolve(part, **changed)

    def apply(self, delta: PartDelta) -> None:
        """Takes in a delta that appends no text."""
        match delta:
            case CitationPartDelta(citation, extra):
                self.citations.append(citation)
            case UnknownPartDelta(raw, extra):
                self.unknown_deltas.append(raw)
            case _:
                extra = EMPTY
                self.base = delta.apply(self.base)
        if extra:
            self.base = attrs.evolve(self.base, extra={**self.base.extra, **extra})

    def partial_args(self) -> "PartialJSON":
        """The best parse so far of a call's arguments, kept up from now on as more comes."""
        if self.args is None:
            from .wire import PartialJSON

            self.args = PartialJSON()
            so_far = self.part or self.base
            assert isinstance(so_far, ToolCallPart | ServerToolCallPart)
            for piece in self.pieces or [so_far.args]:
                self.args.feed(piece)
        return self.args

    @property
    def characters(self) -> int:
        """How much text, thinking or JSON it has."""
        if self.takes is None:
            return 0
        part = self.part or self.base
        assert isinstance(part, TextPart | ThinkingPart | ToolCallPart | ServerToolCallPart)
        so_far = part.content if isinstance(part, TextPart | ThinkingPart) else part.args
        # This is asked often while the block grows, so each piece is counted once.
        self.counted += sum(map(len, islice(self.pieces, self.counted_pieces, None)))
        self.counted_pieces = len(self.pieces)
        return len(so_far) + self.counted

    @property
    def may_end(self) -> bool:
        """Whether it can count as whole without its end event: a call's JSON shows by itself whether it is."""
        if self.takes is not wire.InputJsonDelta:
            return True
        text = joined(self.pieces) or self.placeholder
        try:
            return not text or parse_json(text) is not None
        except (ValueError, RecursionError):
            return False

    def end(self, *, complete: bool) -> Part:
        """Closes the block and returns its part."""
        self.open = False
        self.part = self.current(complete=complete)
        self.pieces, self.citations, self.unknown_deltas = [], [], []
        self.counted = self.counted_pieces = 0
        return self.part

    def to_message_block(self) -> JsonObject:
        """The block as the SDK's final message has it."""
        block = self.raw
        match self.part or self.current(complete=False):
            case TextPart() as part:
                block = {**block, "text": part.content}
                return {**block, "citations": list(part.citations)} if part.citations else block
            case ThinkingPart() as part:
                block = {**block, "thinking": part.content}
                return block if part.signature is None else {**block, "signature": part.signature}
            case ToolCallPart() | ServerToolCallPart() as part if part.args:
                try:
                    value = parse_json(part.args)
                except (ValueError, RecursionError):
                    value = part.args
                return {**block, "input": value}
            case ToolCallPart() | ServerToolCallPart() if block.get("input") == "":
                return {**block, "input": {}}
            case CompactionPart() as part if self.replaced:
                return {**block, "content": part.content, "encrypted_content": part.encrypted_content}
            case _:
                return block


def raw_of(delta: wire.Delta) -> JsonObject:
    """A delta as the wire's JSON."""
    return delta.raw if isinstance(delta, wire.UnknownDelta) else msgspec.to_builtins(delta)
