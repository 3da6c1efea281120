"""The API's errors: which type goes with which status, and the shape they have on the wire."""

from __future__ import annotations

from typing import Any

import attrs

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
    """Return the type and the usual message of the error with this HTTP status."""
    if (known := _ERRORS.get(status)) is not None:
        return known
    return _ERRORS[400] if status < 500 else _ERRORS[500]


def error_body(type: str, message: str, request_id: str) -> dict[str, Any]:
    """Return the error as it stands in a response body, and in an `error` event too."""
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": request_id}


@attrs.frozen
class RefusalError(Exception):
    """The request cannot be answered; the response is this error instead."""

    status: int
    message: str

    @property
    def type(self) -> str:
        """The API's name for the kind of error."""
        return error_type(self.status)[0]
