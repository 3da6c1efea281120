"""Turns for the next request: an answer as the assistant turn the API takes back, and answers to tool calls."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict, cast

from ..wire import JsonObject
from .parts import (
    FallbackPart,
    Part,
    RedactedThinkingPart,
    ServerToolCallPart,
    ServerToolResultPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UnknownPart,
)

__all__ = ["AssistantTurn", "ToolResultBlock", "mended", "to_message_param", "tool_result"]


class AssistantTurn(TypedDict):
    """An assistant turn, to be put into the next request's `messages`. The SDK's `MessageParam` is satisfied by it."""

    role: Literal["assistant"]
    content: Any
    """A list of content blocks, as plain JSON data."""


class ToolResultBlock(TypedDict, total=False):
    """A `tool_result` block, for the content of a user turn. The SDK's `ToolResultBlockParam` is satisfied by it."""

    type: Required[Literal["tool_result"]]
    tool_use_id: Required[str]
    content: Any
    """Text, or a list of content blocks."""
    is_error: bool
    cache_control: Any
    toolset_name: Any


def to_message_param(parts: Sequence[Part], *, interrupted: bool, keep_tools: bool) -> AssistantTurn | None:
    """The assistant turn made of `parts`; see `StreamResult.to_message_param`."""
    answered = {part.tool_call_id for part in parts if isinstance(part, ServerToolResultPart) and part.complete}
    boundary = max((place for place, part in enumerate(parts) if isinstance(part, FallbackPart)), default=0)
    kept: list[Part] = []
    left_out: set[str] = set()
    for place, part in enumerate(parts):
        declined = place < boundary  # by a model that declined to go on, before another took over
        match part:
            case TextPart():
                # The API refuses text blocks that are empty or only white space.
                keep = bool(part.content.strip())
            case ThinkingPart():
                # Signed thinking can't be mended: what is no Unicode text can't be sent.
                keep = part.complete and bool(part.signature) and not declined and mended(part.content) == part.content
            case RedactedThinkingPart():
                keep = part.complete and not declined
            case ToolCallPart():
                keep = part.is_whole and (keep_tools or not interrupted) and not declined
            case ServerToolCallPart():
                keep = part.is_whole and (part.tool_call_id in answered or not (interrupted or declined))
                if not keep:
                    left_out.add(part.tool_call_id)
            case ServerToolResultPart():
                keep = part.complete and part.tool_call_id not in left_out
            case UnknownPart():
                # Deltas of unknown kinds belong to it: without them it is only a beginning.
                keep = part.complete and not part.unknown_deltas and not declined
            case _:
                keep = part.complete
        if keep:
            kept.append(part)
    while kept and isinstance(kept[-1], ThinkingPart | RedactedThinkingPart):
        # "The final block in an assistant message cannot be `thinking`."
        kept.pop()
    content = [mended(_to_block(part)) for part in kept]
    return {"role": "assistant", "content": content} if content else None


def _to_block(part: Part) -> JsonObject:
    block = part.to_block()
    if isinstance(part, TextPart) and part.citations:
        # The API sends `file_id` in citations and refuses it there (anthropic-sdk-python, issue 1450).
        cited = ({name: value for name, value in found.items() if name != "file_id"} for found in part.citations)
        return {**block, "citations": list(cited)}
    return block


def mended(value: Any) -> Any:
    """JSON data that a request can carry: half a surrogate pair becomes U+FFFD, and a float that is not finite null."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {mended(name): mended(item) for name, item in cast("JsonObject", value).items()}
        case list():
            return [mended(item) for item in cast("list[Any]", value)]
        case _:
            return value


def tool_result(
    call: ToolCallPart, content: str | Iterable[Mapping[str, Any]], *, is_error: bool = False
) -> ToolResultBlock:
    """The `tool_result` block that answers `call`, to be put into the next user turn's content.

    `content` is text or a list of content blocks. Returns plain JSON data.
    """
    if not isinstance(call, ToolCallPart):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"call is a ToolCallPart, one of result.tool_calls, not a {type(call).__name__}")
    block: ToolResultBlock = {
        "type": "tool_result",
        "tool_use_id": call.tool_call_id,
        "content": content if isinstance(content, str) else [dict(block) for block in content],
    }
    if is_error:
        block["is_error"] = True
    return block
