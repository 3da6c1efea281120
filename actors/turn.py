"""Turns for the next request: an answer as the assistant turn the API takes back, and answers to tool calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from .parts import (
    Part,
    ServerToolCallPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
)
from .wire import JsonObject

__all__ = ["to_message_param", "tool_result"]


def to_message_param(parts: Sequence[Part], *, interrupted: bool, keep_tools: bool) -> JsonObject | None:
    """The assistant turn made of `parts`; see `StreamResult.to_message_param`."""
    answered = {part.tool_call_id for part in parts if isinstance(part, ServerToolResultPart) and part.complete}
    content: list[JsonObject] = []
    for part in parts:
        match part:
            case TextPart():
                # The API refuses text blocks that are empty or only white space.
                keep = bool(part.content.strip())
            case ToolCallPart():
                keep = part.is_whole and (keep_tools or not interrupted)
            case ServerToolCallPart():
                keep = part.is_whole and (not interrupted or part.tool_call_id in answered)
            case _:
                keep = part.complete
        if keep:
            content.append(part.to_block())
    return {"role": "assistant", "content": content} if content else None


def tool_result(
    call: ToolCallPart, content: str | Sequence[Mapping[str, Any]], *, is_error: bool = False
) -> JsonObject:
    """The `tool_result` block that answers `call`, to be put into the next user turn's content.

    `content` is text or a list of content blocks. Returns plain JSON data.
    """
    block: JsonObject = {
        "type": "tool_result",
        "tool_use_id": call.tool_call_id,
        "content": content if isinstance(content, str) else [dict(block) for block in content],
    }
    return {**block, "is_error": True} if is_error else block
