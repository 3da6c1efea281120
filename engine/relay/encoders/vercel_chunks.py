"""Vercel's UI message stream, version 1, as `ai` 7 reads it: what `useChat` and `readUIMessageStream` take.

The protocol has no ids, so a browser that comes back is told the answer from its beginning, merged, under the same
message id. Its readers refuse a delta or an end whose start they did not see, and a result of a call they don't know,
so what is open and which calls were told is remembered here.
"""

from typing import Any

from ....actors import (
    CompactionPart,
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
    ThinkingPart,
    ToolCallPart,
    UsageEvent,
)
from .allowed import problem_of, result_content
from .contract import EVENT_STREAM, KEEPALIVE, OPENING
from .frames import data, present, quoted
from .growing import Growing
from .metadata import ending_metadata, usage_metadata
from .shown import SHOWN, Shown
from .sources import Sources

__all__ = ["VercelEncoder"]

_DONE = b"data: [DONE]\n\n"
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool-calls",
    "refusal": "content-filter",
}
_CUT = "The call was cut off."
_INVALID = "The call's arguments are not valid."


class VercelEncoder:
    """Part events as chunks of a UI message stream. `message_id` is the message's id for whoever reads it, now or
    later; without it, it is the API's own, which a restart changes."""

    headers = (*EVENT_STREAM, (b"x-vercel-ai-ui-message-stream", b"v1"))
    opening = OPENING
    keepalive = KEEPALIVE

    def __init__(self, *, message_id: str | None = None, shown: Shown = SHOWN) -> None:
        self._message_id = message_id
        self._shown = shown
        self._started = False
        self._growing = Growing()
        self._calls: dict[int, tuple[str, str, bool]] = {}
        """The ids, names and makers (the API or the app) of the open calls."""
        self._told: set[str] = set()
        """The ids of the calls that were told."""
        self._sources = Sources()

    def feed(self, event: PartEvent, /) -> bytes:
        """The chunks that tell `event`; none for one that the protocol has no word for."""
        if type(event) is PartDeltaEvent:
            return self._growing.feed(event)
        match event:
            case PartStartEvent(index=index, part=part):
                return self._begun(None) + self._begin(index, part)
            case PartEndEvent(index=index, part=part):
                return self._end(index, part)
            case StreamStartEvent():
                return self._begun(event)
            case UsageEvent(usage=usage) if self._shown.usage:
                metadata = {"usage": usage_metadata(usage)}
                return self._begun(None) + data(type="message-metadata", messageMetadata=metadata)
            case SnapshotEvent():
                return self._anew(event) + b"".join(self._whole(index, part) for index, part in event.parts)
            case RestartEvent():
                return self._anew(None)
            case StreamEndEvent(result=result):
                return self._ending(result)
            case _:
                return b""

    def _begun(self, event: StreamStartEvent | SnapshotEvent | None) -> bytes:
        """The message's start, once. An answer that goes on after an interruption begins no new message."""
        if self._started:
            return b""
        self._started = True
        metadata: dict[str, Any] = {}
        message_id = self._message_id
        if event is not None:
            message_id = message_id or event.message_id
            request_id = event.request_id if self._shown.request_ids else None
            metadata = present(model=event.model_name, requestId=request_id)
        return data(type="start", messageId=message_id, messageMetadata=metadata or None) + data(type="start-step")

    def _anew(self, event: SnapshotEvent | None) -> bytes:
        """What was told is void."""
        self._growing.clear()
        self._calls.clear()
        self._told.clear()
        self._sources = Sources()
        return data(type="reset-step") if self._started else self._begun(event)

    def _whole(self, index: int, part: Part) -> bytes:
        return self._begin(index, part) + (self._end(index, part) if part.complete else b"")

    def _begin(self, index: int, part: Part) -> bytes:
        match part:
            case TextPart(content=text):
                return self._grows(index, "text", text)
            case ThinkingPart(content=text):
                return self._grows(index, "reasoning", text) if self._shown.thinking else b""
            case ToolCallPart() | ServerToolCallPart():
                return self._call(index, part)
            case ServerToolResultPart():
                return self._result(part)
            case RedactedThinkingPart():
                return data(type="custom", kind="anthropic.redacted-thinking") if self._shown.thinking else b""
            case FallbackPart():
                told = present(fromModel=part.from_model, toModel=part.to_model)
                return data(type="custom", kind="anthropic.fallback", providerMetadata={"anthropic": told})
            case ContainerUploadPart(file_id=file_id):
                told = {"fileId": file_id}
                return data(type="custom", kind="anthropic.container-upload", providerMetadata={"anthropic": told})
            case CompactionPart():
                return data(type="custom", kind="anthropic.compaction")
            case _:
                return data(type="custom", kind=f"anthropic.{part.part_kind}")

    def _grows(self, index: int, kind: str, text: str) -> bytes:
        begins = b'data: {"type":"%b-delta","id":"p%d","delta":' % (kind.encode(), index)
        return data(type=f"{kind}-start", id=f"p{index}") + self._growing.begin(index, begins, text)

    def _call(self, index: int, part: ToolCallPart | ServerToolCallPart) -> bytes:
        by_api = isinstance(part, ServerToolCallPart)
        call_id = part.tool_call_id or f"call-{index}"  # gateways leave it empty
        self._calls[index] = (call_id, part.tool_name, by_api)
        self._told.add(call_id)
        started = data(
            type="tool-input-start", toolCallId=call_id, toolName=part.tool_name, providerExecuted=by_api or None
        )
        begins = b'data: {"type":"tool-input-delta","toolCallId":%b,"inputTextDelta":' % quoted(call_id)
        shown = by_api or self._shown.tool_arguments
        return started + self._growing.begin(index, begins if shown else b"", part.args)

    def _result(self, part: ServerToolResultPart) -> bytes:
        content = result_content(part)
        if part.tool_call_id not in self._told:
            told = {"toolCallId": part.tool_call_id, "content": content}
            return data(type="custom", kind="anthropic.server-tool-result", providerMetadata={"anthropic": told})
        self._sources.found(content)
        return data(type="tool-output-available", toolCallId=part.tool_call_id, output=content, providerExecuted=True)

    def _end(self, index: int, part: Part) -> bytes:
        rest = self._growing.end(index)
        if rest is None:
            return b""
        name = f"p{index}"
        match part:
            case TextPart(citations=citations):
                told = self._sources.of(citations)
                sources = b"".join(data(**source) for source in self._sources.new())
                return rest + data(type="text-end", id=name, citations=told or None) + sources
            case ThinkingPart(signature=signature):
                told = {"anthropic": {"signature": signature}} if signature else None
                return rest + data(type="reasoning-end", id=name, providerMetadata=told)
            case ToolCallPart() | ServerToolCallPart():
                return rest + self._call_ended(index, part)
            case _:
                return rest

    def _call_ended(self, index: int, part: ToolCallPart | ServerToolCallPart) -> bytes:
        call_id, name, by_api = self._calls.pop(index)
        told = present(toolCallId=call_id, toolName=name, providerExecuted=by_api or None)
        shown = by_api or self._shown.tool_arguments
        try:
            arguments = part.args_as_dict()
        except ValueError:
            given = part.args if shown else ""
            error = _INVALID if part.complete else _CUT
            return data(type="tool-input-error", **told, input=given, errorText=error)
        if not part.complete:
            return data(type="tool-input-error", **told, input=arguments if shown else {}, errorText=_CUT)
        return data(type="tool-input-available", **told, input=arguments if shown else {})

    def _ending(self, result: StreamResult[Any]) -> bytes:
        frames = [self._begun(None), *(self._cut(index) for index in self._growing.indexes), data(type="finish-step")]
        metadata = ending_metadata(result, self._shown)
        problem = problem_of(result)
        match result.state:
            case "complete":
                reason = _FINISH.get(result.stop_reason or "", "other")
                frames.append(data(type="finish", finishReason=reason, messageMetadata=metadata))
            case "truncated":
                frames.append(data(type="finish", finishReason="interrupted", messageMetadata=metadata))
            case "cancelled":
                frames.append(data(type="message-metadata", messageMetadata=metadata))
                frames.append(data(type="abort", reason=result.cancel_reason))
            case _:
                # Readers stop at the error, so what else is to be told comes before it.
                frames.append(data(type="message-metadata", messageMetadata=metadata))
                frames.append(data(type="error", errorText=problem.message if problem else ""))
        return b"".join((*frames, _DONE))

    def _cut(self, index: int) -> bytes:
        """The end of a part whose end nobody told: its process died."""
        began = self._growing.cut(index)
        if call := self._calls.pop(index, None):
            call_id, name, by_api = call
            told = present(toolCallId=call_id, toolName=name, providerExecuted=by_api or None)
            return data(type="tool-input-error", **told, input="", errorText=_CUT)
        return data(type="text-end" if b'"text-delta"' in began else "reasoning-end", id=f"p{index}")
