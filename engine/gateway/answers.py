"""How the end of a stream is told to somebody else's code: as a status, as an event in the stream, as an exception.

Pure: an ending goes in, what is to be said comes out.
"""

import attrs

from ...actors.stream import STATUS_OF_TYPE, StreamResult
from ...actors.wire import json_line, json_text
from .foreign import RawHeaders

__all__ = ["Answer", "Refusal", "answer_of", "error_answer", "error_event", "last_answer", "stream_head", "words_of"]

_JSON = (b"content-type", b"application/json")
_SSE = (b"content-type", b"text/event-stream; charset=utf-8")
_NOT_HANDED_ON = frozenset(
    b"""connection content-encoding content-length keep-alive proxy-authenticate proxy-connection trailer
    transfer-encoding upgrade x-should-retry""".split()
)
_CAP = "spend_cap_reached"


@attrs.frozen
class Answer:
    """A whole HTTP answer. Its length is not among the headers."""

    status: int
    headers: RawHeaders
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Refusal:
    """An answer of the API's with an error's status, as it came."""

    status: int
    headers: RawHeaders
    body: bytes = attrs.field(repr=False)


def error_answer(status: int, kind: str, message: str, *, more: RawHeaders = ()) -> Answer:
    """An error of ours, in the API's own shape. It says that another attempt is of no use: the engine has made all."""
    body = json_line({"type": "error", "error": {"type": kind, "message": message}})
    return Answer(status, [_JSON, (b"x-should-retry", b"false"), *more], body)


def stream_head(headers: RawHeaders, stream_id: str, attempts: int) -> RawHeaders:
    """The headers of a streamed answer: those of the attempt that brings it, and the gateway's own."""
    kept = _handed_on(headers)
    kind = next((value for name, value in kept if name.lower() == b"content-type"), b"")
    if not kind.lower().startswith(b"text/event-stream"):
        kept = [_SSE, *(header for header in kept if header[0].lower() != b"content-type")]
    return [*kept, *_own(stream_id, attempts)]


def answer_of(result: StreamResult, head: RawHeaders, refusal: Refusal | None) -> Answer | None:
    """The answer to a request of which nothing was handed on: the whole message, or an error with a status of its own.
    `head` are the headers of the last response, `refusal` the last attempt's, if it was refused.

    None where only an exception, or a gateway's own status, can tell what happened.
    """
    own = _own(result.stream_id, len(result.attempts))
    if result.state == "complete":
        kept = [header for header in _handed_on(head) if header[0].lower() != b"content-type"]
        return Answer(200, [_JSON, *kept, *own], json_line(result.message).rstrip(b"\n"))
    info = result.error
    if info is None:
        return None
    if refusal is not None and info.status is not None:
        return Answer(refusal.status, [*_handed_on(refusal.headers), (b"x-should-retry", b"false"), *own], refusal.body)
    if info.type == _CAP:
        return error_answer(402, "billing_error", info.message, more=own)
    if info.status is None or info.status < 400 or info.type not in STATUS_OF_TYPE:
        return None
    request_id = result.request_id
    more = own if request_id is None else [(b"request-id", request_id.encode("latin-1", "replace")), *own]
    return error_answer(info.status, info.type, info.message, more=more)


def last_answer(result: StreamResult) -> Answer:
    """The answer where `answer_of` gives none: with the status of a gateway."""
    own = _own(result.stream_id, len(result.attempts))
    info = result.error
    if info is not None and info.deadline is not None:
        return error_answer(504, "timeout_error", words_of(result), more=own)
    return error_answer(503 if info is None else 502, "api_error", words_of(result), more=own)


def error_event(result: StreamResult) -> bytes:
    """The event that ends a stream which broke off, where no exception can be raised."""
    info = result.error
    kind = "api_error"
    if info is not None and info.deadline is not None:
        kind = "timeout_error"
    elif info is not None and info.type in STATUS_OF_TYPE:
        kind = info.type
    error = {"type": "error", "error": {"type": kind, "message": words_of(result)}, "request_id": result.request_id}
    return f"event: error\ndata: {json_text(error)}\n\n".encode()


def words_of(result: StreamResult) -> str:
    """What went wrong, for people."""
    if result.state == "cancelled":
        why = f": {result.cancel_reason}" if result.cancel_reason else ""
        return f"the request was cancelled by the {result.cancelled_by}{why}"
    info = result.error
    if info is None:
        return "the answer broke off"
    tries = f" ({len(result.attempts)} attempts)" if len(result.attempts) > 1 else ""
    if info.type == "truncated":
        return f"the answer broke off: {info.message}{tries}"
    return f"{info.message}{tries}"


def _handed_on(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0].lower() not in _NOT_HANDED_ON]


def _own(stream_id: str, attempts: int) -> RawHeaders:
    return [(b"manystream-stream-id", stream_id.encode()), (b"manystream-attempts", b"%d" % attempts)]
