"""How a stream can fail: the facts as a frozen value, and the exceptions that carry them to who reads one stream."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

import attrs

from ..message.parts import EMPTY
from .pickling import portable_cause, revive

if TYPE_CHECKING:
    from .result import StreamResult

__all__ = [
    "DEADLINE_ERRORS",
    "STATUS_OF_TYPE",
    "ApiError",
    "ConnectDeadlineExceeded",
    "ConnectionFailed",
    "DeadlineExceeded",
    "ErrorInfo",
    "FirstContentDeadlineExceeded",
    "FirstEventDeadlineExceeded",
    "IdleDeadlineExceeded",
    "ProtocolError",
    "QueuedDeadlineExceeded",
    "SilenceDeadlineExceeded",
    "StreamCancelled",
    "StreamError",
    "StreamTruncated",
    "TotalDeadlineExceeded",
    "bare",
]

STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status that an error type stands for, where it came inside a stream that had begun with 200."""


@attrs.frozen
class ErrorInfo:
    """What went wrong, as plain data."""

    type: str
    """The API's own error type, such as `overloaded_error`; or one of ours: `request_error` (it could not be sent),
    `connection_error`, `protocol_error` (what came is no answer), `truncated`, `deadline_exceeded`,
    `spend_cap_reached`, `internal_error` (something unexpected was raised while it was opened, read or put together),
    `engine_error` (the engine itself crashed)."""
    message: str
    status: int | None = None
    """The HTTP status, or the one the type stands for when the error came inside a stream; None without a response."""
    request_id: str | None = None
    retryable: bool = False
    """Whether another attempt may succeed, by the rules of `RetryPolicy`. It says nothing of whether one was made."""
    retry_after: float | None = None
    """How long the API asked to wait before another attempt, in seconds."""
    deadline: str | None = None
    """Which deadline passed, if one did."""
    code: str | None = attrs.field(default=None, kw_only=True)
    """The API's own code where the type alone does not say, such as `enforced_spend_limit_reached`."""
    rate_limits: Mapping[str, str] = attrs.field(default=EMPTY, kw_only=True, repr=False)
    """The rate-limit headers of a response that refused, by their lower-case names."""
    cause: BaseException | None = attrs.field(default=None, repr=False, eq=False)
    """The exception behind it, such as the SDK's. It does not survive `encode_event`; nor a pickle, unless it is one of
    Python's own."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return attrs.evolve(self, rate_limits=dict(self.rate_limits))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        return _info, (type(self), {**fields, "cause": portable_cause(self.cause)})


def _info(kind: type[ErrorInfo], fields: dict[str, Any]) -> ErrorInfo:
    return kind(**fields)


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


def bare(exc: Exception) -> Exception:
    """`exc` without its traceback, and so those behind it: their frames would keep the request and the stream alive."""
    waiting: list[BaseException] = [exc]
    seen: set[int] = set()
    while waiting:
        inner = waiting.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        inner.__traceback__ = None
        waiting += [other for other in (inner.__cause__, inner.__context__) if other is not None]
        if isinstance(inner, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", inner).exceptions
    return exc
