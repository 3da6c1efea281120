"""AG-UI 1.0, as its own clients verify it: runs, messages, reasoning, tool calls and their results.

The protocol has no ids to resume from, so a browser that comes back is told the run from its beginning, merged, under
the same message ids. Text and the calls after it are one assistant message: they share its id. Text after a call is the
next message, so that what a reader sees keeps its order. There is no event for an answer that begins anew: a `CUSTOM`
one names the messages that are void, and those after it have new ids.
"""

from typing import Any

from ....actors import (
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
)
from ....actors.message import mended
from ....actors.wire import json_text
from .allowed import citation, problem_of, result_content
from .contract import EVENT_STREAM, KEEPALIVE, OPENING
from .frames import data, present, quoted
from .growing import Growing
from .metadata import ending_metadata, usage_metadata
from .shown import SHOWN, Shown

__all__ = ["AGUIEncoder"]

_VERSION = "1.0"


class AGUIEncoder:
    """Part events as AG-UI events of one run. `thread_id` and `run_id` are the run input's own; `message_id` is what
    the ids of its messages begin with, the run's id without it."""

    headers = EVENT_STREAM
    opening = OPENING
    keepalive = KEEPALIVE

    def __init__(self, *, thread_id: str, run_id: str, message_id: str | None = None, shown: Shown = SHOWN) -> None:
        self._ids = {"threadId": thread_id, "runId": run_id}
        self._base = self._prefix = message_id or run_id
        self._shown = shown
        self._started = False
        self._growing = Growing()
        self._names: dict[int, str] = {}
        """The ids of the messages and calls of the open parts."""
        self._message: str | None = None
        """The assistant message that text and calls go into."""
        self._has_calls = False
        self._told: list[str] = []
        """The ids of the messages that were told since the answer last began."""
        self._pending: list[str] = []
        """The ids of the app's own calls that came whole."""
        self._voided = 0

    def feed(self, event: PartEvent, /) -> bytes:
        """The events that tell `event`; none for one that the protocol has no word for."""
        if type(event) is PartDeltaEvent:
            return self._growing.feed(event)
        match event:
            case PartStartEvent(index=index, part=part):
                return self._begun(None) + self._begin(index, part)
            case PartEndEvent(index=index, part=part):
                return self._end(index, part)
            case StreamStartEvent():
                return self._begun(event)
            case SnapshotEvent():
                return self._anew(event) + b"".join(self._whole(index, part) for index, part in event.parts)
            case RestartEvent():
                return self._anew(None)
            case StreamEndEvent(result=result):
                return self._ending(result)
            case _:
                return b""

    def _begun(self, event: StreamStartEvent | SnapshotEvent | None) -> bytes:
        if self._started:
            return b""
        self._started = True
        metadata: dict[str, Any] = {}
        if event is not None:
            request_id = event.request_id if self._shown.request_ids else None
            metadata = present(model=event.model_name, requestId=request_id)
        return data(type="RUN_STARTED", **self._ids, protocolVersion=_VERSION, metadata=metadata or None)

    def _anew(self, event: SnapshotEvent | None) -> bytes:
        """What was told is void. What is open is ended, as the protocol wants it, and named as void."""
        if not self._started:
            return self._begun(event)
        frames = [self._cut(index) for index in self._growing.indexes]
        frames.append(data(type="CUSTOM", name="manystream.restart", value={"messageIds": self._told}))
        self._growing.clear()
        self._message, self._has_calls, self._told, self._pending = None, False, [], []
        self._voided += 1
        self._prefix = f"{self._base}.r{self._voided}"
        return b"".join(frames)

    def _whole(self, index: int, part: Part) -> bytes:
        return self._begin(index, part) + (self._end(index, part) if part.complete else b"")

    def _begin(self, index: int, part: Part) -> bytes:
        match part:
            case TextPart(content=text):
                return self._written(index, text)
            case ThinkingPart(content=text):
                return self._thought(index, text) if self._shown.thinking else b""
            case ToolCallPart() | ServerToolCallPart():
                return self._call(index, part)
            case ServerToolResultPart():
                name = self._new(index)
                content = json_text(mended(result_content(part)))
                return data(
                    type="TOOL_CALL_RESULT",
                    messageId=name,
                    toolCallId=part.tool_call_id,
                    content=content,
                    role="tool",
                )
            case RedactedThinkingPart():
                return self._custom(part, {}) if self._shown.thinking else b""
            case FallbackPart():
                return self._custom(part, present(fromModel=part.from_model, toModel=part.to_model))
            case ContainerUploadPart(file_id=file_id):
                return self._custom(part, {"fileId": file_id})
            case _:
                return self._custom(part, {})

    def _custom(self, part: Part, value: dict[str, Any]) -> bytes:
        return data(type="CUSTOM", name=f"anthropic.{part.part_kind}", value=value)

    def _new(self, index: int) -> str:
        name = f"{self._prefix}.{index}"
        self._told.append(name)
        return name

    def _written(self, index: int, text: str) -> bytes:
        if self._message is None or self._has_calls or self._message in self._names.values():
            self._message, self._has_calls = self._new(index), False
        name = self._names[index] = self._message
        begins = b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":%b,"delta":' % quoted(name)
        started = data(type="TEXT_MESSAGE_START", messageId=name, role="assistant")
        return started + self._growing.begin(index, begins, text)

    def _thought(self, index: int, text: str) -> bytes:
        name = self._names[index] = self._new(index)
        begins = b'data: {"type":"REASONING_MESSAGE_CONTENT","messageId":%b,"delta":' % quoted(name)
        started = data(type="REASONING_START", messageId=name)
        started += data(type="REASONING_MESSAGE_START", messageId=name, role="reasoning")
        return started + self._growing.begin(index, begins, text)

    def _call(self, index: int, part: ToolCallPart | ServerToolCallPart) -> bytes:
        if self._message is None:
            self._message = self._new(index)
        self._has_calls = True
        name = self._names[index] = part.tool_call_id or f"{self._prefix}.call-{index}"  # gateways leave it empty
        started = data(
            type="TOOL_CALL_START", toolCallId=name, toolCallName=part.tool_name, parentMessageId=self._message
        )
        if isinstance(part, ServerToolCallPart) or self._shown.tool_arguments:
            begins = b'data: {"type":"TOOL_CALL_ARGS","toolCallId":%b,"delta":' % quoted(name)
            return started + self._growing.begin(index, begins, part.args)
        return started + self._growing.begin(index, b"") + data(type="TOOL_CALL_ARGS", toolCallId=name, delta="{}")

    def _end(self, index: int, part: Part) -> bytes:
        rest = self._growing.end(index)
        if rest is None:
            return b""
        name = self._names.pop(index)
        match part:
            case TextPart(citations=citations):
                return rest + data(type="TEXT_MESSAGE_END", messageId=name) + self._cited(name, citations)
            case ThinkingPart(signature=signature):
                return rest + self._thought_out(name, signature)
            case ToolCallPart() if part.is_whole:
                self._pending.append(name)
                return rest + data(type="TOOL_CALL_END", toolCallId=name)
            case ToolCallPart() | ServerToolCallPart():
                return rest + data(type="TOOL_CALL_END", toolCallId=name)
            case _:
                return rest

    def _cited(self, name: str, citations: tuple[Any, ...]) -> bytes:
        if not citations:
            return b""
        value = {"messageId": name, "citations": [citation(given) for given in citations]}
        return data(type="CUSTOM", name="manystream.citations", value=value)

    def _thought_out(self, name: str, signature: str | None) -> bytes:
        signed = b""
        if signature:
            signed = data(type="REASONING_ENCRYPTED_VALUE", subtype="message", entityId=name, encryptedValue=signature)
        ended = data(type="REASONING_MESSAGE_END", messageId=name)
        return ended + signed + data(type="REASONING_END", messageId=name)

    def _cut(self, index: int) -> bytes:
        """The end of a part whose end nobody told: the answer began anew, or its process died."""
        began = self._growing.cut(index)
        name = self._names.pop(index)
        if b'"TEXT_MESSAGE_CONTENT"' in began:
            return data(type="TEXT_MESSAGE_END", messageId=name)
        if b'"REASONING_MESSAGE_CONTENT"' in began:
            return self._thought_out(name, None)
        return data(type="TOOL_CALL_END", toolCallId=name)

    def _ending(self, result: StreamResult[Any]) -> bytes:
        frames = [self._begun(None), *(self._cut(index) for index in self._growing.indexes)]
        usage = [present(model=result.model_name, **usage_metadata(result.usage))] if self._shown.usage else None
        told = ending_metadata(result, self._shown)
        told.pop("usage", None)
        problem = problem_of(result)
        if problem is not None:
            frames.append(
                data(type="RUN_ERROR", message=problem.message, code=problem.type, usage=usage, metadata=told)
            )
            return b"".join(frames)
        if result.state == "cancelled":
            outcome: dict[str, Any] = {"type": "cancelled"}
            told |= present(reason=result.cancel_reason)
        else:
            outcome = {"type": "success", **present(pendingToolCallIds=self._pending or None)}
        frames.append(data(type="RUN_FINISHED", **self._ids, result=told, outcome=outcome, usage=usage))
        return b"".join(frames)
