"""How a stream can fail: the facts as a frozen value. The exceptions that carry them are beside the result."""

from collections.abc import Mapping
from typing import Any, Self, cast

import attrs

from ..message import EMPTY
from .pickling import portable_cause

__all__ = ["STATUS_OF_TYPE", "ErrorInfo", "bare"]

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
    `output_truncated`, `output_refused` and `output_invalid` (the answer is whole, and not the output asked for),
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
