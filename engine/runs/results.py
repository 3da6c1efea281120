"""What a run answers: a stream's ending as a Message Batches result.

| the stream                                        | the result                                            |
|---------------------------------------------------|-------------------------------------------------------|
| ended `complete`                                  | `succeeded`, with the message                         |
| failed by the API's own error                     | `errored`, with that error's type                     |
| was truncated; no connection; no readable stream  | `errored`, `api_error`                                |
| could not be sent as it is                        | `errored`, `invalid_request_error`                    |
| passed a deadline                                 | `errored`, `timeout_error`; `expired` if never begun  |
| was cancelled by its handle, this one alone       | `canceled`                                            |
| was interrupted with the run                      | none: it is not an answer                             |
"""

import json
from typing import Any

from ...actors.errors import ErrorInfo
from ...actors.result import StreamResult

__all__ = ["batch_result", "encode_line", "unreached", "would_fail_all"]

# Error types of ours, as the API would have called them.
_API_TYPES = {
    "connection_error": "api_error",
    "engine_error": "api_error",
    "protocol_error": "api_error",
    "request_error": "invalid_request_error",
    "truncated": "api_error",
}


def batch_result(result: StreamResult) -> dict[str, Any] | None:
    """The `result` of a Message Batches line, or None when this ending is no answer."""
    match result.state:
        case "complete":
            return {"type": "succeeded", "message": result.message}
        case "cancelled":
            return {"type": "canceled"} if result.cancelled_by == "handle" else None
        case "truncated" | "failed":
            info = result.error or ErrorInfo(type="truncated", message="the bytes ended without message_stop")
            if info.deadline == "queued":
                return {"type": "expired"}
            return {"type": "errored", "error": _error_response(info, result.request_id)}


def _error_response(info: ErrorInfo, request_id: str | None) -> dict[str, Any]:
    kind = "timeout_error" if info.deadline is not None else _API_TYPES.get(info.type, info.type)
    response: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": info.message}}
    if found := info.request_id or request_id:
        response["request_id"] = found
    return response


def encode_line(custom_id: str | None, result: dict[str, Any]) -> bytes:
    """One line of the results file, line feed included."""
    line = {"custom_id": custom_id, "result": result}
    try:
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can say and UTF-8 cannot.
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def would_fail_all(result: StreamResult, *, only_model: bool) -> bool:
    """Whether the failure concerns not this request but all of the run.

    Wrong credentials, billing, missing permission and a reached spend limit or cap do. So does an unknown model, when
    every request so far asked for it (`only_model`).
    """
    info = result.error
    if result.state == "complete" or info is None:
        return False
    if info.status in (401, 402, 403):
        return True
    if info.status == 404:
        # Files and containers can be missing too, which concerns only who asks for them.
        return only_model and info.message.startswith("model")
    return info.code == "enforced_spend_limit_reached" or info.type == "spend_cap_reached"


def unreached(result: StreamResult) -> bool:
    """Whether no connection could be made, or none that lasted until a response."""
    info = result.error
    return info is not None and (info.type == "connection_error" or info.deadline == "connect")
