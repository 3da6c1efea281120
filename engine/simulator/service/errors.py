"""The API's errors: which type goes with which status, and the shape they have on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .conditions import Condition

__all__ = ["RefusalError", "error_body", "error_type"]

# status -> (type, message)
_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Invalid request"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your account has no credit left"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource"),
    404: ("not_found_error", "Not found"),
    405: ("invalid_request_error", "Method Not Allowed"),
    408: ("timeout_error", "Request timed out"),
    409: ("conflict_error", "Conflict"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit"),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}


def error_type(status: int) -> tuple[str, str]:
    """Returns the type and the usual message of the error with this HTTP status."""
    if (known := _ERRORS.get(status)) is not None:
        return known
    return _ERRORS[400] if status < 500 else _ERRORS[500]


def error_body(
    type: str, message: str, request_id: str, code: str | None = None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the error as it stands in a response body, and in an `error` event too."""
    error: dict[str, Any] = {"type": type, "message": message}
    if code is not None or details:
        error["details"] = ({} if code is None else {"error_code": code}) | {**(details or {})}
    return {"type": "error", "error": error, "request_id": request_id}


@attrs.frozen
class RefusalError(Exception):
    """The request cannot be answered; the response is this error instead.

    `retry_after` is in seconds. `error_code` says more than the type does, `details` say more of what it is about.
    `refused_by` is the condition of the service that refuses the request, if it isn't wrong in itself.
    """

    status: int
    message: str
    retry_after: int | None = attrs.field(default=None, kw_only=True)
    error_code: str | None = attrs.field(default=None, kw_only=True)
    details: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)
    refused_by: Condition | None = attrs.field(default=None, kw_only=True)

    @property
    def type(self) -> str:
        """The API's name for the kind of error."""
        return error_type(self.status)[0]

    def body(self, request_id: str) -> dict[str, Any]:
        """Returns the body of the response."""
        return error_body(self.type, self.message, request_id, self.error_code, self.details)
