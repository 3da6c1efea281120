"""How a stream ended: one frozen value that tells all, whatever the ending."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, cast

import attrs

from ..message import (
    EMPTY,
    AssistantTurn,
    FallbackPart,
    Part,
    TextPart,
    ToolCallPart,
    Usage,
    is_count,
    to_message_param,
)
from ..wire import JsonObject, json_text
from .attempts import Attempt, billed_for
from .failure import ErrorInfo
from .output import OutputT_co
from .pickling import portable, revive
from .plain_data import leave_out, new_converter, request_data
from .request import StreamRequest
from .shown import as_html, as_lines, one_line
from .stopwatch import Timings

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "DEADLINE_ERRORS",
    "ApiError",
    "CacheMiss",
    "ConnectDeadlineExceeded",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Ending",
    "FirstContentDeadlineExceeded",
    "FirstEventDeadlineExceeded",
    "IdleDeadlineExceeded",
    "OutputFailed",
    "ProtocolError",
    "QueuedDeadlineExceeded",
    "SilenceDeadlineExceeded",
    "StreamCancelled",
    "StreamError",
    "StreamResult",
    "StreamTruncated",
    "TotalDeadlineExceeded",
]

Ending = Literal["complete", "truncated", "cancelled", "failed"]
"""How a stream ended. The handle's `state` is then `State.DONE` for `complete`, `State.CANCELLED` for `cancelled`, and
`State.FAILED` for `truncated` and `failed`."""


class StreamError(Exception):
    """A stream that did not end `complete`. `result` is all that is known of it, with what was received.

    It can be copied and pickled; of the exception behind it, a pickle holds what the result's `error.cause` keeps.
    """

    def __init__(self, message: str, result: "StreamResult") -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return _stream_error, (type(self), self.args, self.__dict__)


def _stream_error(kind: type[StreamError], args: tuple[Any, ...], attributes: dict[str, Any]) -> StreamError:
    error = revive(kind, args, attributes)
    error.__cause__ = error.result.error.cause if error.result.error is not None else None
    return error


class StreamTruncated(StreamError):
    """The bytes ended before the answer did: without a stop reason, or with a block open."""


class StreamCancelled(StreamError):
    """The stream was cancelled; `result.cancelled_by` and `result.cancel_reason` say by whom and why."""


class DeadlineExceeded(StreamError):
    """A deadline passed. `deadline` names it."""

    def __init__(self, message: str, result: "StreamResult", deadline: str) -> None:
        super().__init__(message, result)
        self.deadline = deadline


class QueuedDeadlineExceeded(DeadlineExceeded):
    """It waited too long for a slot."""


class ConnectDeadlineExceeded(DeadlineExceeded):
    """The connection was not made in time."""


class SilenceDeadlineExceeded(DeadlineExceeded):
    """Nothing came, not even a ping."""


class FirstEventDeadlineExceeded(DeadlineExceeded):
    """The first event did not come in time."""


class FirstContentDeadlineExceeded(DeadlineExceeded):
    """The first content did not come in time."""


class IdleDeadlineExceeded(DeadlineExceeded):
    """The answer did not go on in time."""


class TotalDeadlineExceeded(DeadlineExceeded):
    """The whole took too long."""


DEADLINE_ERRORS: dict[str, type[DeadlineExceeded]] = {
    "queued": QueuedDeadlineExceeded,
    "connect": ConnectDeadlineExceeded,
    "silence": SilenceDeadlineExceeded,
    "first_event": FirstEventDeadlineExceeded,
    "first_content": FirstContentDeadlineExceeded,
    "idle": IdleDeadlineExceeded,
    "total": TotalDeadlineExceeded,
}
"""The exception for each deadline."""


class ConnectionFailed(StreamError):
    """No response came: the connection could not be made, or broke before the response's head."""


class OutputFailed(StreamError):
    """The answer is whole, and is not the output that was asked for. `result.error` says why: its type is
    `output_truncated` (the answer was cut, say by `max_tokens`), `output_refused` (the model refused to answer) or
    `output_invalid` (it does not fit its type; the message says where, and what the validator says)."""


class ProtocolError(StreamError):
    """The bytes that came are not a Messages stream."""


class ApiError(StreamError):
    """The API refused the request or failed while answering.

    `status` is the HTTP status (or the one that `type` stands for), `type` the API's error type.
    """

    def __init__(
        self, message: str, result: "StreamResult", *, status: int | None, type: str, request_id: str | None
    ) -> None:
        super().__init__(message, result)
        self.status = status
        self.type = type
        self.request_id = request_id


@attrs.frozen
class CacheMiss:
    """Why the prompt cache could not be read as far as it was written before: the API's cache diagnostics."""

    reason: str
    """`model_changed`, `system_changed`, `tools_changed`, `messages_changed`, `previous_message_not_found`,
    `unavailable`, or one that is newer than this list."""
    missed_input_tokens: int | None = None
    """About how many input tokens would have been read from the cache; None when the API does not say."""


@attrs.frozen(kw_only=True, repr=False)
class StreamResult(Generic[OutputT_co]):
    """The ending of a stream and everything it brought.

    `state` is `complete`: a stop reason came and every block ended, whatever the stream then ended with; `truncated`
    when the bytes ended before that; `cancelled`; or `failed`. In all of them the parts, the usage and the message hold
    what had come by then.

    It can be copied and pickled, as events, requests and errors can, and is equal to what it was. A pickle leaves out
    the exception behind an error (but for Python's own) and what may be a secret in the request's `extra_headers`,
    whose values are then `"<dropped>"`.

    An answer that was interrupted and continued is one answer: its parts and its message have the content of all
    attempts that were joined, and its usage is theirs together. Its ids, model and stop reason are those of the last
    attempt that the API began to answer. An answer that was begun anew is the last attempt's alone.
    """

    state: Ending
    stream_id: str
    custom_id: str | None = None
    request: StreamRequest | None = attrs.field(default=None, eq=False)
    """The request. It stays out of `encode_event`, so that relaying an ending does not give the prompt away."""
    model_name: str | None = None
    """The model that served the answer."""
    message_id: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    parts: tuple[Part, ...] = ()
    message: JsonObject | None = None
    """The message as plain JSON data, as the SDK's `get_final_message().to_dict(mode="json")` has it; None when the API
    never began one. Tool arguments that are not whole JSON are given as their text."""
    output: OutputT_co = attrs.field(default=cast(Any, None), eq=False)
    """The answer as a value of the type that the request's `output` names. None when it names none, when the stream
    did not end `complete`, and when the turn ended with the call of a tool, or paused, before the answer. It stays out
    of `encode_event` and `to_dict`, where the parts hold its text."""
    usage: Usage = Usage()
    """What this answer used; see `billed` for all attempts."""
    usage_is_final: bool = False
    """Whether the API said its last word on usage. If not, as always when an answer was continued, more may be billed
    than `usage` says."""
    error: ErrorInfo | None = None
    cancelled_by: str | None = None
    """Who cancelled: `consumer`, `handle`, `group` or `engine`."""
    cancel_reason: str | None = None
    attempts: tuple[Attempt, ...] = ()
    request_id: str | None = None
    rate_limits: Mapping[str, str] = EMPTY
    """The response's rate-limit headers, by their lower-case names."""
    timestamp: datetime
    """When the request was submitted, in UTC."""
    timings: Timings = Timings()
    extra: Mapping[str, Any] = EMPTY
    """Fields of `message_delta` and `message_stop` that no attribute stands for."""

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.content for part in self.parts if isinstance(part, TextPart))

    @property
    def billed(self) -> Usage:
        """What all attempts used together as far as anybody knows, failed and replaced ones included.

        It is the sum of each attempt's `known_usage`: the API's figures, or, for an attempt that was cut before the
        API's last word, an estimate of its output tokens, if that is more: four characters a token, or on Amazon
        Bedrock, where a dropped stream is billed in full, the output of requests like it. The handle's `billed` is
        the same at any time.
        """
        return billed_for(self.attempts)

    @property
    def cache_miss(self) -> CacheMiss | None:
        """What the API says of the prompt cache to a request with `diagnostics`. None when it was not asked, when the
        cache was read in full, or when the answer was given before the API knew."""
        return _cache_miss(self.message)

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls of the caller's own tools that arrived whole, in order, and are to be answered.

        Cut or invalid ones are not among them, nor those of a model that gave way to another (`FallbackPart`).
        """
        begin = max((i for i, part in enumerate(self.parts) if isinstance(part, FallbackPart)), default=0)
        return tuple(part for part in self.parts[begin:] if isinstance(part, ToolCallPart) and part.is_whole)

    def to_message_param(self, *, keep_tools: bool = False) -> AssistantTurn | None:
        """The assistant turn that the API will take back, or None when nothing of it is left.

        Unfinished thinking and tool blocks are left out. Of a turn that was interrupted, calls of the caller's own
        tools go too, unless `keep_tools`, and server tool calls that got no answer.
        """
        return to_message_param(self.parts, interrupted=self.state != "complete", keep_tools=keep_tools)

    def to_dict(self, *, request: bool = False) -> JsonObject:
        """The result as plain JSON data, as `encode_event` has it: what is read here shares nothing with the result.

        Numbers that are not finite are given as their text. The request is left out unless `request` is true; then
        headers that may be a secret are `"<dropped>"`. The exceptions behind errors are always left out.
        """
        return json.loads(self.to_json(request=request))

    def to_json(self, *, request: bool = False) -> str:
        """`to_dict` as one line of JSON, in ASCII."""
        data: JsonObject = _converter().unstructure(self, StreamResult)
        if request and self.request is not None:
            data["request"] = request_data(self.request)
        return json_text(data)

    def __reduce__(self) -> tuple[Any, ...]:
        # An output of a class that no pickle can name is left out: its text stands in the parts.
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        return _result, (type(self), {**fields, "output": portable(self.output)})

    def __repr__(self) -> str:
        return as_lines(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        """What notebooks show: the answer, how it ended, its usage and its times; nothing of the request."""
        facts = self._facts()
        if self.error is not None:
            facts.append(("", self.error.message))
        return as_html(facts, self.parts)

    def _facts(self) -> list[tuple[str, str]]:
        """How it went, without the answer, the request and an error's words, which may quote either."""
        usage, timings, error = self.usage, self.timings, self.error
        kinds = Counter(part.part_kind for part in self.parts)
        held = ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
        facts = [("", self.state if self.stop_reason is None else f"{self.state}, {one_line(self.stop_reason)}")]
        if error is not None:
            named = f"{one_line(error.type)} {error.status or ''}".rstrip()
            facts.append(("error", named if error.deadline is None else f"{named}, {one_line(error.deadline)}"))
        if self.cancelled_by is not None:
            facts.append(("cancelled by", one_line(self.cancelled_by)))
        if self.custom_id is not None:
            facts.append(("custom_id", repr(one_line(self.custom_id))))
        facts.append(("stream_id", one_line(self.stream_id)))
        if self.model_name is not None:
            facts.append(("model", one_line(self.model_name)))
        if self.request_id is not None:
            facts.append(("request_id", one_line(self.request_id)))
        facts.append(("parts", held or "none"))
        more = "" if self.usage_is_final else " or more"
        facts.append(("tokens", f"{usage.total_input_tokens:,} in, {usage.output_tokens:,}{more} out"))
        first = "" if timings.ttft is None else f", first content after {timings.ttft:.3f} s"
        tries = f", {len(self.attempts)} attempts" if len(self.attempts) > 1 else ""
        facts.append(("time", f"{timings.end:.3f} s{first}{tries}"))
        return facts

    def raise_for_state(self) -> Self:
        """Returns the result when it is `complete`; otherwise raises the `StreamError` for its ending."""
        error = self.exception()
        if error is None:
            return self
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, and with it the result

    def exception(self) -> StreamError | None:
        """The `StreamError` for this ending, with the exception behind it as `__cause__`; None when `complete`."""
        if self.state == "complete":
            return None
        name = f"stream {self.custom_id or self.stream_id}"
        info = self.error
        raised: StreamError
        if self.state == "cancelled":
            why = f": {self.cancel_reason}" if self.cancel_reason else ""
            raised = StreamCancelled(f"{name} was cancelled by {self.cancelled_by}{why}", self)
        elif info is None:
            raised = StreamTruncated(f"{name} ended without message_stop", self)
        elif info.deadline is not None:
            raised = DEADLINE_ERRORS[info.deadline](f"{name}: {info.message}", self, info.deadline)
        elif self.state == "truncated":
            raised = StreamTruncated(f"{name}: {info.message}", self)
        elif info.type == "connection_error":
            raised = ConnectionFailed(f"{name}: {info.message}", self)
        elif info.type in ("output_truncated", "output_refused", "output_invalid"):
            raised = OutputFailed(f"{name}: {info.type}: {info.message}", self)
        elif info.type == "protocol_error":
            raised = ProtocolError(f"{name}: {info.message}", self)
        elif info.type == "request_error":
            raised = StreamError(f"{name} could not be sent: {info.message}", self)
        else:
            status = f"{info.status} " if info.status else ""
            raised = ApiError(
                f"{name}: {status}{info.type}: {info.message}",
                self,
                status=info.status,
                type=info.type,
                request_id=info.request_id,
            )
        raised.__cause__ = info.cause if info else None
        return raised


def _result(kind: type[StreamResult[Any]], fields: dict[str, Any]) -> StreamResult[Any]:
    return kind(**fields)


@cache
def _converter() -> "Converter":
    converter = new_converter()
    leave_out(converter, StreamResult, "request", "output")
    return converter


def _cache_miss(message: JsonObject | None) -> CacheMiss | None:
    diagnostics: object = None if message is None else message.get("diagnostics")
    reason: object = cast("JsonObject", diagnostics).get("cache_miss_reason") if isinstance(diagnostics, dict) else None
    kind: object = cast("JsonObject", reason).get("type") if isinstance(reason, dict) else None
    if not isinstance(kind, str):
        return None
    missed: object = cast("JsonObject", reason).get("cache_missed_input_tokens")
    return CacheMiss(kind, missed if is_count(missed) else None)
