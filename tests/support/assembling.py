"""What the tests of the assembler share: wire events, written by hand, and the assembler fed with them."""

import json
from typing import Any

from manystream.actors import (
    Part,
    PartEvent,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.wire.events import decode
from manystream.actors.wire.framing import SSEFramer

__all__ = ["CALL", "STOPPED", "TEXT", "began", "block", "delta", "ending", "fed", "parts_of", "read", "said", "stop"]


def read(log: EventLog, *, merge: bool = False) -> list[PartEvent]:
    cursor = Cursor.after(log, log.base)
    events: list[PartEvent] = []
    while (event := cursor.take(merge=merge)) is not None:
        events.append(event)
    return events


TEXT = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'


def delta(kind: str, **fields: Any) -> str:
    return json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}})


def fed(*lines: str, beta: bool = False, more_of: Assembler | None = None) -> tuple[Assembler, EventLog]:
    """An assembler that took these events in, and its log. The stream is still open."""
    if more_of is None:
        log = EventLog("s")
        assembler = Assembler(log, beta=beta)
    else:
        assembler, log = more_of, EventLog("s")
        more_of._log = log  # pyright: ignore[reportPrivateUsage]
    framer = SSEFramer()
    for line in lines:
        for frame in framer.feed(f"data: {line}\n\n".encode()):
            assembler.feed(decode(frame))
    return assembler, log


def began(message: dict[str, Any] | None = None, **fields: Any) -> str:
    """A `message_start`, with these fields of its message beside the usual ones."""
    usual: dict[str, Any] = {"id": "msg_1", "model": "claude-x", "content": [], "usage": {"input_tokens": 3}}
    return json.dumps({"type": "message_start", "message": {**usual, **(message or {})}, **fields})


def block(kind: str, index: int = 0, **fields: Any) -> str:
    return json.dumps({"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}})


def stop(index: int = 0, **fields: Any) -> str:
    return json.dumps({"type": "content_block_stop", "index": index, **fields})


def ending(reason: str | None = "end_turn", usage: dict[str, Any] | None = None, **fields: Any) -> str:
    """A `message_delta`; `delta` among the fields adds to its delta."""
    delta = {"stop_reason": reason, "stop_sequence": None, **fields.pop("delta", {})}
    return json.dumps({"type": "message_delta", "delta": delta, "usage": usage, **fields})


STOPPED = '{"type":"message_stop"}'


CALL = block("tool_use", id="t", name="f", input={})


def said(text: str) -> str:
    return delta("text_delta", text=text)


def parts_of(assembler: Assembler) -> dict[int, Part]:
    return dict(assembler.parts())
