"""A stream's ending as a Message Batches result.

| the stream                                        | the result                                            |
|---------------------------------------------------|-------------------------------------------------------|
| ended `complete`                                  | `succeeded`, with the message                         |
| failed by the API's own error                     | `errored`, with that error's type                     |
| was truncated; no connection; no readable stream  | `errored`, `api_error`                                |
| answered with what is no output of its type       | `errored`, `invalid_request_error`, and the message   |
| could not be sent as it is                        | `errored`, `invalid_request_error`                    |
| passed a deadline                                 | `errored`, `timeout_error`; `expired` if never begun  |
| was cancelled by its handle, this one alone       | `canceled`                                            |
| was interrupted with the run                      | none: it is not an answer                             |
"""

from typing import Any

from ...actors.stream import ErrorInfo, StreamResult
from ...actors.wire import json_line
from ..input.numbered import Beside
from .columns import as_text

__all__ = ["NO_OUTPUT_TYPES", "batch_result", "encode_line", "output_data"]

NO_OUTPUT_TYPES = ("output_invalid", "output_refused", "output_truncated")
"""The errors of whole answers that are not the output that was asked for."""

# Our own error types, as the API would have called them.
_API_TYPES = {
    "connection_error": "api_error",
    "engine_error": "api_error",
    "internal_error": "api_error",
    "output_invalid": "invalid_request_error",
    "output_refused": "invalid_request_error",
    "output_truncated": "invalid_request_error",
    "protocol_error": "api_error",
    "request_error": "invalid_request_error",
    "truncated": "api_error",
}


def batch_result(result: StreamResult) -> dict[str, Any] | None:
    """The `result` of a Message Batches line, or None when the ending is not an answer."""
    match result.state:
        case "complete" if result.message is not None:
            return {"type": "succeeded", "message": result.message}
        case "cancelled":
            return {"type": "canceled"} if result.cancelled_by == "handle" else None
        case _:
            info = result.error or ErrorInfo(type="truncated", message="the answer was not whole")
            if info.deadline == "queued":
                return {"type": "expired"}
            errored = {"type": "errored", "error": _error_response(info, result.request_id)}
            if info.type in NO_OUTPUT_TYPES and result.message is not None:
                errored["message"] = result.message  # it was paid for, and somebody may make something of it
            return errored


def _error_response(info: ErrorInfo, request_id: str | None) -> dict[str, Any]:
    kind = "timeout_error" if info.deadline is not None else _text(info.type, "api_error")
    error = {"type": _API_TYPES.get(kind, kind), "message": _text(info.message, "")}
    response: dict[str, Any] = {"type": "error", "error": error}
    if found := info.request_id or request_id:
        response["request_id"] = found
    return response


def _text(value: object, otherwise: str) -> str:
    """A string in any case, since readers of the results rely on one here."""
    return value if isinstance(value, str) else as_text(value) or otherwise


def encode_line(
    custom_id: str | None, result: dict[str, Any], beside: Beside | None = None, *, output: Any = None
) -> bytes:
    """One line of the results file, with its line feed. What stands beside the result comes behind it: what the answer
    is as data, if it was asked for as an output of a type, and what is known of the request and was not sent."""
    line = {"custom_id": custom_id, "result": result}
    if output is not None:
        line["output"] = output
    return json_line(line if beside is None else line | beside.members())


def output_data(result: StreamResult) -> Any:
    """The output of a result as plain JSON data; None when it has none."""
    if result.output is None or result.request is None or result.request.output is None:
        return None
    from ..output import typed_output  # the machinery of types is for those who use it

    return typed_output(result.request.output).data_of(result.parts)
