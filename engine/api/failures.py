"""What went wrong on the way to the API and back, as plain data.

Every exception, and every refusal, becomes one `ErrorInfo`. It says what happened, in words that are safe to show, and
whether another attempt may succeed. Nothing here raises because of what a server sent.
"""

import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from typing import cast

import anthropic
import anyio
import attrs
import httpx2

from ...actors.stream import STATUS_OF_TYPE, ErrorInfo, bare, is_retryable, retry_after
from ...actors.wire import plain_text, read_error_body, text_of_html
from .shown_url import shown_url

__all__ = [
    "AWS_TYPES",
    "corrupt",
    "is_html",
    "rate_limits_in",
    "reading_failed",
    "refusal",
    "sending_failed",
    "unexpected",
    "words_of",
]

_LIMIT_ENDINGS = ("-limit", "-remaining", "-reset")  # such as those of the priority tier
_TYPE_OF_STATUS = {408: "timeout_error", **{status: type for type, status in STATUS_OF_TYPE.items()}}
# The types of errors that we find ourselves. A server's error never gets one of them, even if it names it.
_OUR_TYPES = frozenset(
    {
        "connection_error",
        "deadline_exceeded",
        "engine_error",
        "internal_error",
        "protocol_error",
        "request_error",
        "truncated",
    }
)

AWS_TYPES = {
    "accessDenied": "permission_error",
    "conflict": "conflict_error",
    "expiredToken": "authentication_error",
    "incompleteSignature": "authentication_error",
    "internalFailure": "api_error",
    "internalServer": "api_error",
    "invalidSignature": "authentication_error",
    "missingAuthenticationToken": "authentication_error",
    "modelNotReady": "overloaded_error",
    "modelStreamError": "api_error",
    "modelTimeout": "timeout_error",
    "resourceNotFound": "not_found_error",
    "serviceUnavailable": "overloaded_error",
    "throttling": "rate_limit_error",
    "tooManyRequests": "rate_limit_error",
    "unrecognizedClient": "authentication_error",
    "validation": "invalid_request_error",
}
"""The Messages API's error types for the exceptions of AWS, by `aws_name`."""

_IO = (
    OSError,  # and with it TimeoutError and ssl.SSLError
    EOFError,  # and asyncio's IncompleteReadError
    httpx2.TransportError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)
# The same kinds of exceptions in packages that may not be installed.
_IO_ELSEWHERE = {
    "httpx": ("TransportError",),
    "trio": ("BrokenResourceError", "ClosedResourceError"),
    "h11": ("RemoteProtocolError", "LocalProtocolError"),
    "h2.exceptions": ("ProtocolError",),
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "botocore.exceptions": ("ConnectionError", "HTTPClientError"),
}
_UNREADABLE = (httpx2.DecodingError, httpx2.TooManyRedirects)
_UNREADABLE_ELSEWHERE = {
    "httpx": ("DecodingError", "TooManyRedirects"),
    "botocore.eventstream": ("ParserError",),
    "botocore.exceptions": ("EventStreamError",),
    "botocore.parsers": ("ResponseParserError",),
}
_OUR_FAULT = (ssl.SSLCertVerificationError, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)
_OUR_FAULT_ELSEWHERE = {
    "httpx": ("UnsupportedProtocol", "LocalProtocolError", "InvalidURL"),
    "h11": ("LocalProtocolError",),
}


# -- exceptions


def sending_failed(exc: Exception, connect_seconds: float | None) -> ErrorInfo:
    """The error for an exception that came before the response's head: of any class, since it concerns one request."""
    cause = exc.__cause__ if isinstance(exc, anthropic.APIConnectionError) and exc.__cause__ is not None else exc
    match cause:
        case anthropic.APIStatusError():
            return refusal(cause.status_code, cause.response.headers, cause.body, cause.response.url, cause=exc)
        case httpx2.HTTPStatusError():  # raised by a hook of the caller's own client
            response = cause.response
            body = response.text if response.is_closed and response.is_stream_consumed else None
            return refusal(response.status_code, response.headers, body, response.url, cause=exc)
        case httpx2.ConnectTimeout() if connect_seconds is not None:
            message = f"the deadline connect of {connect_seconds:g} s passed: {_words(cause)}"
            return ErrorInfo(
                type="deadline_exceeded", message=message, retryable=True, deadline="connect", cause=bare(exc)
            )
        case anthropic.APIConnectionError():
            return ErrorInfo(type="connection_error", message=_words(cause), retryable=True, cause=bare(exc))
        case _:
            info = reading_failed(cause, cause=exc)
    if info.type == "internal_error" and cause is exc:
        # The request can't be built or signed: a value is not JSON, credentials can't be read …
        return attrs.evolve(info, type="request_error")
    if info.type == "protocol_error" and cause is not exc:
        return attrs.evolve(info, retryable=False)  # the head said that the body can't be read
    return info


def reading_failed(exc: BaseException, *, cause: Exception | None = None) -> ErrorInfo:
    """The error for an exception that came while a body was read. `cause` is what is told as its cause."""
    if cause is None:
        assert isinstance(exc, Exception)
        cause = exc
    kind = _kind(exc)
    if kind == "internal_error":
        return unexpected(exc, cause)
    retryable = not any(_is(link, _OUR_FAULT, _OUR_FAULT_ELSEWHERE) for link in _chain(exc))
    return ErrorInfo(type=kind, message=_words(exc), retryable=retryable, cause=bare(cause))


def unexpected(exc: BaseException, cause: Exception) -> ErrorInfo:
    """The error for an exception that is none of the known ones."""
    message = f"{type(exc).__name__}: {_words(exc)}"
    return ErrorInfo(type="internal_error", message=message, cause=bare(cause))


def corrupt(exc: Exception, message: str, *, retryable: bool) -> ErrorInfo:
    """The error for a body that can't be decoded."""
    message = plain_text(f"{message}: {type(exc).__name__}: {exc}")
    return ErrorInfo(type="protocol_error", message=message, retryable=retryable, cause=bare(exc))


def _kind(exc: BaseException) -> str:
    if isinstance(exc, BaseExceptionGroup):
        kinds = {_kind(inner) for inner in cast("BaseExceptionGroup[BaseException]", exc).exceptions}
        return kinds.pop() if len(kinds) == 1 else "internal_error"
    if _is(exc, _UNREADABLE, _UNREADABLE_ELSEWHERE):
        return "protocol_error"
    if _is(exc, (*_IO, httpx2.InvalidURL), _IO_ELSEWHERE):
        return "connection_error"
    return "internal_error"


def _is(exc: BaseException, kinds: tuple[type[BaseException], ...], elsewhere: Mapping[str, tuple[str, ...]]) -> bool:
    if isinstance(exc, kinds):
        return True
    for name, classes in elsewhere.items():
        module = sys.modules.get(name)  # a package that was not imported has raised nothing
        if module is not None and isinstance(exc, tuple(getattr(module, kind, ()) for kind in classes)):
            return True
    return False


def _words(exc: BaseException) -> str:
    if isinstance(exc, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", exc).exceptions
        return plain_text("; ".join(dict.fromkeys(_words(one) for one in inner)))
    for link in _chain(exc):  # trio's exceptions have no words, but their causes have
        try:
            words = plain_text(str(link))
        except Exception:  # its own __str__ failed
            words = ""
        if words:
            return words
    return type(exc).__name__


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc`, the exceptions in it if it is a group, and the causes and contexts of all of them."""
    found: list[BaseException] = [exc]
    seen: set[int] = set()
    while found:
        link = found.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            found.extend(cast("BaseExceptionGroup[BaseException]", link).exceptions)
        found.extend(one for one in (link.__cause__, link.__context__) if one is not None)


# -- refusals


def refusal(
    status: int, headers: Mapping[str, str], body: object, url: httpx2.URL, *, cause: Exception | None = None
) -> ErrorInfo:
    """The error that a response tells, by its status, or by its body when its status is one of success.

    `body` is JSON or text. The names in `headers` are in lower case.
    """
    if 300 <= status < 400:
        return _redirect(status, headers, url, cause)
    if isinstance(body, str):
        body = words_of(body, headers.get("content-type", ""))
    said = read_error_body(body)
    named = said.type or headers.get("x-amzn-errortype") or None
    aws = None if named is None else AWS_TYPES.get(aws_name(named))
    if status < 300:
        status = _status_within(body) or status
    kind = aws or said.type
    if kind is None or kind in _OUR_TYPES:
        kind = _TYPE_OF_STATUS.get(status) or ("invalid_request_error" if 400 <= status < 500 else "api_error")
    if status < 300:
        status = STATUS_OF_TYPE.get(kind, 500)
    elif aws is not None and is_retryable(status, {}) != is_retryable(STATUS_OF_TYPE[aws], {}):
        status = STATUS_OF_TYPE[aws]  # AWS's name says more than its status: throttling may come with 400
    code = said.code or (None if aws is None or named is None else aws_name(named) + "Exception")
    return ErrorInfo(
        type=kind,
        message=said.message or f"the API answered {status}",
        status=status,
        request_id=headers.get("request-id") or said.request_id,
        code=code,
        retryable=is_retryable(status, headers, said.code, said.message or ""),
        retry_after=retry_after(headers),
        rate_limits=rate_limits_in(headers),
        cause=None if cause is None else bare(cause),
    )


def aws_name(name: str) -> str:
    """The bare name of an AWS exception: `throttling` for `com.amazon.coral#ThrottlingException:http://…`."""
    name = name.partition(":")[0].rpartition("#")[2].strip().removesuffix("Exception")
    return name[:1].lower() + name[1:]


def _redirect(status: int, headers: Mapping[str, str], url: httpx2.URL, cause: Exception | None) -> ErrorInfo:
    location = headers.get("location")
    message = f"{shown_url(url)} answered {status}"
    if location:
        try:
            message += f" to {shown_url(url.join(location))} (not followed)"
        except (httpx2.InvalidURL, ValueError):
            message += f" to {shown_url(location)} (not followed)"
    else:
        message += ", not an event stream"
    return ErrorInfo(
        type="protocol_error",
        message=plain_text(message),
        status=status,
        request_id=headers.get("request-id"),
        rate_limits=rate_limits_in(headers),
        cause=None if cause is None else bare(cause),
    )


def _status_within(body: object) -> int | None:
    """The status that an error's JSON names, as in `{"error": {"code": 429}}`; None if it names none."""
    found: object = body
    if isinstance(found, list):
        found = next(iter(cast("list[object]", found)), None)
    for _ in range(2):
        if not isinstance(found, dict):
            break
        fields = cast("dict[str, object]", found)
        for name in ("status", "status_code", "statusCode", "code"):
            status = fields.get(name)
            if isinstance(status, int) and 400 <= status < 600:
                return status
        found = fields.get("error")
    return None


def words_of(text: str, content_type: str) -> object:
    """A body's JSON, or else its text, without its tags if it is HTML or XML."""
    text = text.removeprefix("\ufeff").strip()
    if text[:1] in ("{", "[", '"'):
        try:
            return cast("object", json.loads(text))
        except (ValueError, RecursionError):
            pass
    return text_of_html(text) if is_html(text, content_type) else text


def is_html(text: str, content_type: str) -> bool:
    """Whether a body is HTML or XML."""
    return "html" in content_type.lower() or "xml" in content_type.lower() or text[:1] == "<"


def rate_limits_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The rate-limit headers in `headers`, whose names are in lower case."""
    return {
        name: value
        for name, value in headers.items()
        if name.startswith("anthropic-") and ("ratelimit" in name or name.endswith(_LIMIT_ENDINGS))
    }
