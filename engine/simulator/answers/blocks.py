"""What an answer is made of: its content blocks in token-like pieces, and why it ends."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

__all__ = ["Answer", "Block", "ServerToolResult", "ServerToolUse", "Text", "ThinkingBlock", "ToolUseBlock"]


@attrs.frozen
class Text:
    """A text block, in token-like pieces, with the citations that support it."""

    pieces: tuple[str, ...] = attrs.field(repr=False)
    citations: tuple[dict[str, Any], ...] = attrs.field(default=(), repr=False)


@attrs.frozen
class ThinkingBlock:
    """A thinking block. `shown` is False where the request wants the signature only."""

    pieces: tuple[str, ...] = attrs.field(repr=False)
    signature: str = attrs.field(repr=False)
    shown: bool = True


@attrs.frozen
class ToolUseBlock:
    """A call of a client tool. The pieces are those of its JSON, which `max_tokens` may have cut short."""

    id: str
    name: str
    pieces: tuple[str, ...] = attrs.field(repr=False)


@attrs.frozen
class ServerToolUse:
    """A call of a tool that the API runs itself, its JSON in pieces; `server_name` is that of an MCP server."""

    id: str
    name: str
    pieces: tuple[str, ...] = attrs.field(repr=False)
    server_name: str | None = None


@attrs.frozen
class ServerToolResult:
    """What such a call returned. It comes whole and was made by no model, so that it has no pieces."""

    type: str
    tool_use_id: str
    content: Any = attrs.field(repr=False)
    pieces: tuple[str, ...] = attrs.field(default=(), init=False)


Block: TypeAlias = Text | ThinkingBlock | ToolUseBlock | ServerToolUse | ServerToolResult


@attrs.frozen
class Answer:
    """A whole answer and why it ends."""

    blocks: tuple[Block, ...]
    stop_reason: str
    stop_sequence: str | None = None

    @property
    def thinking_tokens(self) -> int:
        """The tokens spent on thinking, shown or not."""
        return sum(len(block.pieces) for block in self.blocks if isinstance(block, ThinkingBlock))

    @property
    def output_tokens(self) -> int:
        """All tokens of the answer. Never zero, as an empty answer has its end, too."""
        return max(1, sum(len(block.pieces) for block in self.blocks))

    def server_calls(self, name: str) -> int:
        """Returns how often the API's own tool of this name was called."""
        return sum(isinstance(block, ServerToolUse) and block.name == name for block in self.blocks)
