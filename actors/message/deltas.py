"""Part deltas: how an open part grew. `delta.apply(part)` gives the part after it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from ..wire import joined
from .parts import (
    EMPTY,
    CompactionPart,
    Part,
    ServerToolCallPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

__all__ = [
    "CitationPartDelta",
    "CompactionPartDelta",
    "PartDelta",
    "TextPartDelta",
    "ThinkingPartDelta",
    "ToolCallPartDelta",
    "UnknownPartDelta",
]


def _mismatch(delta: object, part: object) -> ValueError:
    return ValueError(f"a {type(delta).__name__} does not apply to a {type(part).__name__}")


@attrs.frozen
class TextPartDelta:
    """More text, at the end."""

    part_delta_kind: ClassVar[Literal["text"]] = "text"
    content_delta: str = attrs.field(repr=False)
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> TextPart:
        """`part` after this delta. Raises `ValueError` for another kind of part."""
        if not isinstance(part, TextPart):
            raise _mismatch(self, part)
        return attrs.evolve(part, content=joined([part.content, self.content_delta]), extra=_joined(part, self))


@attrs.frozen
class CitationPartDelta:
    """One more citation of a text part."""

    part_delta_kind: ClassVar[Literal["citation"]] = "citation"
    citation: Mapping[str, Any] = attrs.field(repr=False)
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> TextPart:
        """`part` after this delta. Raises `ValueError` for another kind of part."""
        if not isinstance(part, TextPart):
            raise _mismatch(self, part)
        return attrs.evolve(part, citations=(*part.citations, self.citation), extra=_joined(part, self))


@attrs.frozen
class ThinkingPartDelta:
    """More thinking at the end, or the signature, which is set as it is."""

    part_delta_kind: ClassVar[Literal["thinking"]] = "thinking"
    content_delta: str | None = attrs.field(default=None, repr=False)
    signature_delta: str | None = attrs.field(default=None, repr=False)
    estimated_tokens: int | None = None
    """How many more tokens the API thinks this was, where a beta asked for it."""
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> ThinkingPart:
        """`part` after this delta. Raises `ValueError` for another kind of part."""
        if not isinstance(part, ThinkingPart):
            raise _mismatch(self, part)
        estimate = part.estimated_tokens
        if self.estimated_tokens is not None:
            estimate = (estimate or 0) + self.estimated_tokens
        return attrs.evolve(
            part,
            content=joined([part.content, self.content_delta or ""]),
            signature=part.signature if self.signature_delta is None else self.signature_delta,
            estimated_tokens=estimate,
            extra=_joined(part, self),
        )


@attrs.frozen
class ToolCallPartDelta:
    """More of a call's arguments, as JSON text; for the caller's own tools and for server tools."""

    part_delta_kind: ClassVar[Literal["tool-call"]] = "tool-call"
    args_delta: str = attrs.field(repr=False)
    tool_call_id: str | None = None
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> ToolCallPart | ServerToolCallPart:
        """`part` after this delta. Raises `ValueError` for another kind of part."""
        if not isinstance(part, ToolCallPart | ServerToolCallPart):
            raise _mismatch(self, part)
        return attrs.evolve(part, args=joined([part.args, self.args_delta]), extra=_joined(part, self))


@attrs.frozen
class CompactionPartDelta:
    """A compaction's content, set as it is."""

    part_delta_kind: ClassVar[Literal["compaction"]] = "compaction"
    content: str | None = attrs.field(default=None, repr=False)
    encrypted_content: str | None = attrs.field(default=None, repr=False)
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> CompactionPart:
        """`part` after this delta. Raises `ValueError` for another kind of part."""
        if not isinstance(part, CompactionPart):
            raise _mismatch(self, part)
        return attrs.evolve(
            part, content=self.content, encrypted_content=self.encrypted_content, extra=_joined(part, self)
        )


@attrs.frozen
class UnknownPartDelta:
    """A delta of a kind we don't know, or one that does not go with its part's kind."""

    part_delta_kind: ClassVar[Literal["unknown"]] = "unknown"
    raw: Mapping[str, Any] = attrs.field(repr=False)
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

    def apply(self, part: Part) -> Part:
        """`part` with this delta kept beside it."""
        return attrs.evolve(part, unknown_deltas=(*part.unknown_deltas, self.raw), extra=_joined(part, self))


PartDelta = (
    TextPartDelta | CitationPartDelta | ThinkingPartDelta | ToolCallPartDelta | CompactionPartDelta | UnknownPartDelta
)


def _joined(part: Part, delta: PartDelta) -> Mapping[str, Any]:
    return {**part.extra, **delta.extra} if delta.extra else part.extra
