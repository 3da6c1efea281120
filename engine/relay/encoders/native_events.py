"""Our own events: lean, resumable to the event, for `EventSource` and whoever reads an event stream.

Each frame has an id, `tag-epoch-seq`, an event's name, which is manystream's own, and one line of JSON. `seq` counts
the stream's events; `first_seq` is the number after the last that this connection was told, so that a gap or a repeat
shows. The epoch grows when another process takes the stream over, so that a number it gave anew is not taken for the
old one, and the tag is the stream's, so that a browser that comes back to a chat is not told the rest of another
answer. The set is on docs/relay_events.md.
"""

from collections.abc import Mapping
from typing import Any

from ....actors import (
    CitationPartDelta,
    ContainerUploadPart,
    FallbackPart,
    Part,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RedactedThinkingPart,
    RestartEvent,
    ServerToolCallPart,
    ServerToolResultPart,
    SnapshotEvent,
    StreamEndEvent,
    StreamResult,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UsageEvent,
)
from ....actors.wire import json_text
from .allowed import citation, problem_of, result_content, usage_of
from .contract import EVENT_STREAM, KEEPALIVE, OPENING
from .frames import present, quoted
from .shown import SHOWN, Shown

__all__ = ["NativeEncoder"]


class NativeEncoder:
    """Part events as our own. `first_seq` is the number of the first event that this connection is to be told. `tag`,
    in ASCII, is what the ids say of the stream; without one they are `epoch-seq`."""

    headers = EVENT_STREAM
    opening = OPENING
    keepalive = KEEPALIVE

    def __init__(self, *, tag: str = "", epoch: int = 1, first_seq: int = 1, shown: Shown = SHOWN) -> None:
        self._tag = f"{tag}-".encode() if tag else b""
        self._before_seq = b"%b%d-" % (self._tag, epoch)
        self._next = first_seq
        self._shown = shown
        self._hidden: set[int] = set()
        """The indexes of open calls whose arguments are not told."""

    def reset(self, *, epoch: int | None = None, first_seq: int = 1) -> bytes:
        """Tells the browser to forget all it has of the stream: what follows is told from `first_seq` on, by the
        numbers of `epoch` (None for the same)."""
        if epoch is not None:
            self._before_seq = b"%b%d-" % (self._tag, epoch)
        self._next = first_seq
        self._hidden.clear()
        return b"event: reset\ndata: {}\n\n"

    def feed(self, event: PartEvent, /) -> bytes:
        """The frame of `event`; none for one that is not told, whose number the next frame covers."""
        if event.seq < self._next:  # told already
            return b""
        if type(event) is PartDeltaEvent:
            delta = event.delta
            if type(delta) is TextPartDelta:
                named, text = b'"text":', quoted(delta.content_delta)
            else:
                named, text = self._grown(event)
            if not named:
                return b""
            first, self._next = self._next, event.seq + 1
            return b'id: %b%d\nevent: part_delta\ndata: {"first_seq":%d,"seq":%d,"index":%d,%b%b}\n\n' % (
                self._before_seq,
                event.seq,
                first,
                event.seq,
                event.index,
                named,
                text,
            )
        fields = self._told(event)
        if fields is None:
            return b""
        first, self._next = self._next, event.seq + 1
        numbered = {"first_seq": first, "seq": event.seq, **fields}
        return b"id: %b%d\nevent: %b\ndata: %b\n\n" % (
            self._before_seq,
            event.seq,
            event.event_kind.encode(),
            json_text(numbered).encode(),
        )

    def _grown(self, event: PartDeltaEvent) -> tuple[bytes, bytes]:
        """The field that tells how a part grew, and its JSON; empty when it is not told."""
        match event.delta:
            case ToolCallPartDelta(args_delta=text) if event.index not in self._hidden:
                return b'"args":', quoted(text)
            case ThinkingPartDelta(content_delta=str() as text) if self._shown.thinking and text:
                return b'"thinking":', quoted(text)
            case CitationPartDelta(citation=given):
                return b'"citation":', json_text(citation(given)).encode()
            case _:
                return b"", b""

    def _told(self, event: PartEvent) -> Mapping[str, Any] | None:
        shown = self._shown
        match event:
            case StreamStartEvent():
                return self._named(event)
            case PartStartEvent(index=index, part=part):
                if not shown.tool_arguments and isinstance(part, ToolCallPart):
                    self._hidden.add(index)
                return self._part(index, part)
            case PartEndEvent(index=index, part=part):
                self._hidden.discard(index)
                return self._ended(index, part)
            case UsageEvent(usage=usage):
                return {"usage": usage_of(usage)} if shown.usage else None
            case SnapshotEvent(parts=parts):
                return self._snapshot(event, parts)
            case RestartEvent(attempt=attempt):
                self._hidden.clear()
                return {"attempt": attempt}
            case StreamEndEvent(result=result):
                return self._ending(result)
            case _:
                return None

    def _named(self, event: StreamStartEvent | SnapshotEvent) -> dict[str, Any]:
        request_id = event.request_id if self._shown.request_ids else None
        return present(message_id=event.message_id, model=event.model_name, request_id=request_id)

    def _snapshot(self, event: SnapshotEvent, parts: tuple[tuple[int, Part], ...]) -> dict[str, Any]:
        self._hidden.clear()
        told: list[dict[str, Any]] = []
        for index, part in parts:
            fields = self._part(index, part)
            if fields is None:
                continue
            if part.complete:
                fields |= self._ended(index, part) or {}
            elif not self._shown.tool_arguments and isinstance(part, ToolCallPart):
                self._hidden.add(index)
            told.append({**fields, "open": not part.complete})
        usage = usage_of(event.usage) if self._shown.usage else None
        return {**self._named(event), "parts": told, **present(usage=usage)}

    def _part(self, index: int, part: Part) -> dict[str, Any] | None:
        """What is known of a part, without its end; None for one that is not told."""
        known: dict[str, Any] = {"index": index, "kind": part.part_kind}
        match part:
            case TextPart(content=text):
                found = [citation(given) for given in part.citations]
                return {**known, "text": text, **present(citations=found or None)}
            case ThinkingPart(content=text):
                return {**known, "thinking": text} if self._shown.thinking else None
            case RedactedThinkingPart():
                return known if self._shown.thinking else None
            case ToolCallPart(tool_name=name, args=args):
                args = args if self._shown.tool_arguments else "{}"
                return {**known, "tool_name": name, "tool_call_id": part.tool_call_id, "args": args}
            case ServerToolCallPart(tool_name=name, args=args):
                return {**known, "tool_name": name, "tool_call_id": part.tool_call_id, "args": args}
            case ServerToolResultPart(tool_call_id=call):
                return {**known, "tool_call_id": call, "content": result_content(part)}
            case ContainerUploadPart(file_id=file_id):
                return {**known, "file_id": file_id}
            case FallbackPart():
                return {**known, **present(from_model=part.from_model, to_model=part.to_model)}
            case _:
                return known

    def _ended(self, index: int, part: Part) -> dict[str, Any] | None:
        if isinstance(part, ThinkingPart | RedactedThinkingPart) and not self._shown.thinking:
            return None
        signature = part.signature if isinstance(part, ThinkingPart) else None
        return {"index": index, "complete": part.complete, **present(signature=signature)}

    def _ending(self, result: StreamResult[Any]) -> dict[str, Any]:
        problem = problem_of(result)
        return {
            "state": result.state,
            **present(
                stop_reason=result.stop_reason,
                cancel_reason=result.cancel_reason,
                usage=usage_of(result.usage) if self._shown.usage else None,
                request_id=result.request_id if self._shown.request_ids else None,
                error=problem and {"type": problem.type, "message": problem.message, "retryable": problem.retryable},
            ),
        }
