"""A foreign request: what somebody else's code sends to the Messages API, read for the engine.

It does no I/O. The body is decoded once, to learn the parameters; what is sent is the caller's own bytes, and its own
headers but for those of the connection and the gateway's. A request that asks for no stream is sent as one that does.
"""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from json import loads
from typing import Any, cast

import attrs
import httpx2
import msgspec

from ...actors.message import EMPTY
from ...actors.stream import Deadlines, MessageParams, RetryPolicy, StreamRequest
from ...actors.wire import json_line
from .labels import OWN_PREFIX, Labels

__all__ = ["Foreign", "Incoming", "RawHeaders", "is_messages", "key_in", "passed_on", "read"]

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Headers in their order, names as they were written."""

MESSAGES = "/v1/messages"
_OF_THE_CONNECTION = frozenset(
    b"""accept-encoding connection content-length expect host keep-alive proxy-authorization proxy-connection te trailer
    transfer-encoding upgrade""".split()
)
_LARGEST_BODY = 32 * 1024 * 1024  # bytes, inflated, as the API takes it
_MOST_VALUES = 1_000_000  # lists and objects: more than fit into any model's context, and a second's work each
_fields = msgspec.json.Decoder(dict[str, Any])
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@attrs.frozen
class Foreign:
    """A request as it came. `timeouts` are httpx2's, by name: `read` and `connect` in seconds, or None."""

    method: str
    url: httpx2.URL
    headers: RawHeaders = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    timeouts: Mapping[str, float | None] = EMPTY


def is_messages(method: str, path: str) -> bool:
    """Whether a request is one for a message, which the engine runs. All others pass through."""
    return method == "POST" and path.endswith(MESSAGES)


def passed_on(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """A request's headers as they go on: without those of its connection, and without the gateway's own."""
    named = {
        option.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    }
    return [
        (name, value)
        for name, value in headers
        if not (lower := name.lower()).startswith(OWN_PREFIX) and lower not in _OF_THE_CONNECTION and lower not in named
    ]


@lru_cache(maxsize=100)  # making a URL costs more than reading the request
def _base_of(url: httpx2.URL) -> httpx2.URL:
    path = url.path.removesuffix(MESSAGES.removeprefix("/"))
    return url.copy_with(path=path, query=None)


@attrs.frozen
class Incoming:
    """A foreign request that was read."""

    request: StreamRequest
    """It, for the engine."""
    url: httpx2.URL
    headers: RawHeaders = attrs.field(repr=False)
    """What is sent, and `body` likewise."""
    body: bytes = attrs.field(repr=False)
    wants_stream: bool
    """Whether the caller asked for a stream."""
    key: str | None = attrs.field(repr=False)
    """The API key or the token that it brings."""

    @property
    def base_url(self) -> httpx2.URL:
        """Where the API is, for which it is meant."""
        return _base_of(self.url)


def read(foreign: Foreign, context: Labels, deadlines: Deadlines, retry: RetryPolicy) -> Incoming:
    """Reads a request for a message. `context` are the labels that its headers may override; `deadlines` and `retry`
    are the engine's, for what the request leaves open.

    A body that can't be read goes on as it is: the API says what is wrong with it. Raises `LabelError` for a header of
    the gateway's own that makes no sense, and `ValueError` for what no request of the engine's can be.
    """
    labels = Labels.of_headers(foreign.headers).over(context)
    headers = [*passed_on(foreign.headers), (b"accept-encoding", b"identity")]
    lower = {name.lower(): value for name, value in headers}
    body = _inflated(foreign.body, lower.get(b"content-encoding", b"identity"))
    if body is not None and body.count(b"[") + body.count(b"{") > _MOST_VALUES:
        raise ValueError(f"the request has more than {_MOST_VALUES:,} lists and objects")
    fields = None if body is None else _decoded(body)
    sent = foreign.body
    wants_stream = fields is None or fields.get("stream") is True
    if body is not None and not wants_stream:
        sent = _as_stream(body)
        headers = [header for header in headers if header[0].lower() != b"content-encoding"]
    named, unnamed = _split(fields or {})
    request = StreamRequest(
        cast("MessageParams", named),
        extra_body=unnamed,
        custom_id=labels.custom_id,
        group=labels.group,
        priority=labels.priority or 0,
        betas=_betas(headers) if foreign.url.query and foreign.url.params.get("beta") == "true" else (),
        deadlines=_deadlines(deadlines, foreign.timeouts),
        retry=None if labels.max_attempts is None else attrs.evolve(retry, max_attempts=labels.max_attempts),
        recovery="fail" if wants_stream else "restart",
    )
    return Incoming(request, foreign.url, headers, sent, wants_stream, key_in(headers))


def _inflated(body: bytes, coding: bytes) -> bytes | None:
    """The body without its content coding; None when that is not to be done."""
    coding = coding.strip().lower()
    if coding in (b"identity", b""):
        return body
    if coding not in (b"gzip", b"deflate"):
        return None
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 32)  # which finds out by itself which of the two it is
    try:
        plain = inflating.decompress(body, _LARGEST_BODY)
    except zlib.error:
        return None
    return plain if inflating.eof else None


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        return _fields.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:  # the standard library takes what msgspec does not, such as half of a surrogate pair
        value: object = loads(body)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _as_stream(body: bytes) -> bytes:
    """The same request, but for a stream. All other fields keep their bytes."""
    try:
        fields = _raw_fields.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return json_line({**loads(body), "stream": True})
    return msgspec.json.encode({**fields, "stream": msgspec.Raw(b"true")})


def _split(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that a request of ours has by name, and the others."""
    known = MessageParams.__annotations__
    named = {name: value for name, value in fields.items() if name in known}
    named.setdefault("messages", [])
    return named, {name: value for name, value in fields.items() if name not in known}


def _betas(headers: RawHeaders) -> tuple[str, ...]:
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"anthropic-beta"]
    return tuple(name for value in values for beta in value.split(",") if (name := beta.strip()) and name.isascii())


def _deadlines(own: Deadlines, timeouts: Mapping[str, float | None]) -> Deadlines | None:
    """httpx2's timeout for a read is the longest silence, and its timeout to connect the same as ours."""
    read_seconds, connect = timeouts.get("read"), timeouts.get("connect")
    if read_seconds is None and connect is None:
        return None
    return attrs.evolve(
        own,
        silence=own.silence if read_seconds is None else read_seconds,
        connect=own.connect if connect is None else connect,
    )


def key_in(headers: RawHeaders) -> str | None:
    """The API key or the token that a request brings."""
    lower = {name.lower(): value for name, value in headers}
    key = lower.get(b"x-api-key")
    if key is None and (said := lower.get(b"authorization")) is not None:
        scheme, _, rest = said.strip().partition(b" ")
        key = rest if scheme.lower() == b"bearer" else said
    return None if key is None else key.strip().decode("latin-1")
