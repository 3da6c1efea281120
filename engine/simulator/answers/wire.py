"""An answer as bytes: the events of a stream, or one JSON message that says the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import attrs
import msgspec

from .blocks import Answer, Block, ServerToolResult, ServerToolUse, Text, ThinkingBlock, ToolUseBlock
from .usage import Usage

__all__ = ["PING", "Event", "Head", "encode_event", "message_json", "stream_events"]

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@attrs.frozen
class Head:
    """What a message says of itself before its content."""

    message_id: str
    model: str
    usage: Usage
    service_tier: str = attrs.field(default="standard", kw_only=True)


@attrs.frozen
class Event:
    """One event as it goes out. `tokens` is how many the model had to make for it."""

    kind: str
    data: bytes = attrs.field(repr=False)
    tokens: int = 0


def encode_event(kind: str, payload: dict[str, Any], padding: int = 0) -> bytes:
    """Returns one server-sent event, its JSON padded with spaces before the last brace as the API does."""
    encoded = msgspec.json.encode(payload)
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), encoded[:-1], b" " * padding)


def message_json(head: Head, answer: Answer) -> bytes:
    """Returns the whole message as one JSON body."""
    message = _opening(head)
    message["content"] = [_whole(block) for block in answer.blocks]
    message |= _ending(head, answer)
    message["usage"] |= _closing_usage(head, answer)
    return msgspec.json.encode(message)


def stream_events(head: Head, answer: Answer, random: Random) -> Iterator[Event]:
    """Yields the events of the stream in order, one ping among them, deltas split where the seed will have it."""

    def event(kind: str, tokens: int = 0, **payload: Any) -> Event:
        return Event(kind, encode_event(kind, {"type": kind, **payload}, random.randrange(16)), tokens)

    yield event("message_start", message=_opening(head))
    for index, block in enumerate(answer.blocks):
        yield event("content_block_start", index=index, content_block=_empty(block))
        if index == 0:
            yield Event("ping", PING)
        for tokens, delta in _deltas(block, random):
            yield event("content_block_delta", tokens, index=index, delta=delta)
        yield event("content_block_stop", index=index)
    yield event("message_delta", delta=_ending(head, answer), usage=_closing_usage(head, answer))
    yield event("message_stop")


def _opening(head: Head) -> dict[str, Any]:
    return {
        "model": head.model,
        "id": head.message_id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": head.usage.input_tokens,
            "cache_creation_input_tokens": head.usage.cache_creation_input_tokens,
            "cache_read_input_tokens": head.usage.cache_read_input_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": head.usage.cache_creation_input_tokens - head.usage.one_hour_tokens,
                "ephemeral_1h_input_tokens": head.usage.one_hour_tokens,
            },
            "output_tokens": 1,
            "service_tier": head.service_tier,
            "inference_geo": "global",
        },
    }


def _ending(head: Head, answer: Answer) -> dict[str, Any]:
    ending: dict[str, Any] = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": None,
    }
    if answer.server_calls("code_execution") or answer.server_calls("bash_code_execution"):
        container_id = head.message_id.replace("msg", "container", 1)
        ending["container"] = {"id": container_id, "expires_at": "2030-01-01T00:00:00Z"}
    return ending


def _closing_usage(head: Head, answer: Answer) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "input_tokens": head.usage.input_tokens,
        "cache_creation_input_tokens": head.usage.cache_creation_input_tokens,
        "cache_read_input_tokens": head.usage.cache_read_input_tokens,
        "output_tokens": answer.output_tokens,
    }
    if answer.thinking_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": answer.thinking_tokens}
    if any(isinstance(block, ServerToolUse) for block in answer.blocks):
        searches, fetches = answer.server_calls("web_search"), answer.server_calls("web_fetch")
        usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": fetches}
    return usage


def _empty(block: Block) -> dict[str, Any]:
    """The block as `content_block_start` has it."""
    match block:
        case Text():
            return {"citations": [], "type": "text", "text": ""} if block.citations else {"type": "text", "text": ""}
        case ThinkingBlock():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolUseBlock():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}, "caller": {"type": "direct"}}
        case ServerToolUse(server_name=None):
            return {"type": "server_tool_use", "id": block.id, "name": block.name, "input": {}}
        case ServerToolUse():
            called = {"type": "mcp_tool_use", "id": block.id, "name": block.name, "server_name": block.server_name}
            return {**called, "input": {}}
        case ServerToolResult():
            result = {"type": block.type, "tool_use_id": block.tool_use_id, "content": block.content}
            return {**result, "is_error": False} if block.type == "mcp_tool_result" else result


def _whole(block: Block) -> dict[str, Any]:
    text = "".join(block.pieces)
    match block:
        case Text():
            return _empty(block) | {"text": text} | ({"citations": list(block.citations)} if block.citations else {})
        case ThinkingBlock():
            return _empty(block) | {"thinking": text if block.shown else "", "signature": block.signature}
        case ServerToolResult():
            return _empty(block)
        case _:
            try:
                return _empty(block) | {"input": json.loads(text)}
            except ValueError:  # cut short by `max_tokens`; a JSON message has no way to show half a call
                return _empty(block)


def _deltas(block: Block, random: Random) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields each delta with the number of tokens in it."""
    match block:
        case Text():
            for citation in block.citations:
                yield 0, {"type": "citations_delta", "citation": citation}
            for tokens, text in _grouped(block.pieces, random):
                yield tokens, {"type": "text_delta", "text": text}
        case ThinkingBlock():
            if block.shown:
                for tokens, text in _grouped(block.pieces, random):
                    yield tokens, {"type": "thinking_delta", "thinking": text}
            hidden = 0 if block.shown else len(block.pieces)
            yield hidden, {"type": "signature_delta", "signature": block.signature}
        case ServerToolResult():
            pass
        case _:
            yield 0, {"type": "input_json_delta", "partial_json": ""}
            text = "".join(block.pieces)
            start = 0
            while start < len(text):  # anywhere: in a name, in an escape, between two digits
                end = start + random.randint(1, 12)
                part = text[start:end]
                yield max(1, len(part) // 4), {"type": "input_json_delta", "partial_json": part}
                start = end


def _grouped(pieces: tuple[str, ...], random: Random) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(pieces):
        count = random.choice((1, 1, 2, 2, 3, 4, 6))
        group = pieces[start : start + count]
        yield len(group), "".join(group)
        start += count
