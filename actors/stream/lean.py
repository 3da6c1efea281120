"""Endings without what consumers have already, or may not have: for stores and for browsers."""

import attrs

from ..message import EMPTY
from .events import StreamEndEvent
from .failure import ErrorInfo
from .result import StreamResult

__all__ = ["lean"]

_SAID = {
    "truncated": "the answer broke off",
    "interrupted": "the process that ran the stream is gone",
    "connection_error": "the connection to the model failed",
    "protocol_error": "what came is no answer",
    "deadline_exceeded": "the answer took too long",
    "overloaded_error": "the model is overloaded",
    "rate_limit_error": "too many requests",
    "output_truncated": "the answer was cut",
    "output_refused": "the model refused to answer",
    "output_invalid": "the answer is not of the form that was asked for",
}


def lean(event: StreamEndEvent) -> StreamEndEvent:
    """`event` with the ending alone: how, why, and what it used.

    The parts and the message, which earlier events told, are left out; so are the request, its id and its custom id,
    the attempts, the timings, and the headers. What the API said of an error may name an organization, so a fixed
    sentence stands in its place.
    """
    result = event.result
    error = None
    if result.error is not None:
        info = result.error
        error = ErrorInfo(
            type=info.type,
            message=_SAID.get(info.type, "the answer failed"),
            status=info.status,
            retryable=info.retryable,
            deadline=info.deadline,
        )
    kept = StreamResult(
        state=result.state,
        stream_id=result.stream_id,
        model_name=result.model_name,
        message_id=result.message_id,
        stop_reason=result.stop_reason,
        stop_sequence=result.stop_sequence,
        stop_details=result.stop_details,
        usage=result.usage,
        usage_is_final=result.usage_is_final,
        error=error,
        cancelled_by=result.cancelled_by,
        cancel_reason=result.cancel_reason,
        timestamp=result.timestamp,
        extra=EMPTY,
    )
    return attrs.evolve(event, result=kept)
