"""The short way to a response: what the SDK built for two requests serves for others that differ in their body alone.

To build, sign and send a request through the SDK and its HTTP client costs more than all the rest of a stream. But what
they make of two requests with the same parameters' names, for the same model and by the same credentials, has the same
head. So the SDK builds the first two of each kind, and if their heads are equal but for the length, our transport
sends the others with that head and a body of their own. It is looked at whether the SDK puts the parameters into the
body as they are; where it does not, or something in them is no plain JSON, or the caller adds headers or a query, the
SDK builds each request.

Only for clients that we made: others may have middleware, hooks or credentials that change. And only with headers that
are known to be constant, by a client that nothing was put around: a trace, a signature or an idempotency key belongs to
one request.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

import anthropic
import attrs
import httpx2

from ...actors.response import ResponseFailed
from ...actors.stream import StreamRequest
from .acceptance import read_bounded
from .http.exchange import Exchange, OutgoingRequest
from .responses import DirectResponse
from .sdk_internals import status_error
from .untouched import Untouched

__all__ = ["KnownHeads", "Repeat"]

_CONSTANT_HEADERS = frozenset(
    b"""host connection accept accept-encoding content-type user-agent authorization x-api-key proxy-authorization
    anthropic-version anthropic-beta x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os
    x-stainless-package-version x-stainless-raw-response x-stainless-read-timeout x-stainless-retry-count
    x-stainless-runtime x-stainless-runtime-version x-stainless-timeout""".split()
)
"""The headers of which it is known that they are the same for all requests of a kind. `x-stainless-helper` is not: the
SDK looks for it in the tools and the messages."""

_MOST_KINDS = 1000  # of requests, that are remembered
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode
_sdk_log = logging.getLogger("anthropic")


def _encode_body(params: Mapping[str, Any]) -> bytes | None:
    """The body for the parameters, if they are plain JSON."""
    try:
        return _encode({**params, "stream": True}).encode()
    except (TypeError, ValueError, RecursionError):
        return None  # the SDK knows more kinds of values, and what to say of those that it doesn't know


@attrs.frozen
class _Head:
    """All of a request but its body and its length."""

    method: str
    url: str
    target: bytes
    destination: object
    headers: tuple[tuple[bytes, bytes], ...] = attrs.field(repr=False)

    @classmethod
    def of(cls, blank: OutgoingRequest, url: httpx2.URL) -> "_Head":
        return cls(blank.method, str(url), blank.target, blank.destination, tuple(blank.headers))

    def is_constant(self) -> bool:
        return all(name.lower() in _CONSTANT_HEADERS for name, _ in self.headers)


@attrs.frozen
class _Known:
    """A request that the SDK built, and our transport can send with another body once `sure`."""

    head: _Head
    again: Callable[[bytes], Awaitable[Exchange]]
    request: httpx2.Request
    """The request without its body: what the SDK's exceptions are told."""
    sure: bool = False
    """Whether the SDK has built the same head twice."""


@attrs.frozen
class Repeat:
    """A request that is ready to be sent."""

    _client: Any
    _known: _Known
    _body: bytes = attrs.field(repr=False)

    @property
    def url(self) -> httpx2.URL:
        """Where it is sent to."""
        return self._known.request.url

    async def send(self) -> Exchange | None:
        """Sends it; returns the open exchange once its response's head has come. Raises what the SDK raises when it
        can't be sent, or is refused. None leaves it to the SDK's HTTP client to send it, where it may be sent on from:
        what was answered with such a redirect was not done, and is not paid twice."""
        request = self._known.request
        try:
            exchange = await self._known.again(self._body)
            if exchange.status < 300:
                return exchange
            response = exchange.response()
            if response.status_code in (307, 308) and response.has_redirect_location:
                exchange.abort()
                return None
            body = await read_bounded(DirectResponse(exchange))
        except ResponseFailed as exc:
            raise anthropic.APIConnectionError(request=request) from exc.info.cause
        except httpx2.TimeoutException as exc:
            raise anthropic.APITimeoutError(request=request) from exc
        except Exception as exc:
            raise anthropic.APIConnectionError(request=request) from exc
        raise status_error(self._client, _read_response(exchange, body, request))


def _read_response(exchange: Exchange, body: bytes, request: httpx2.Request) -> httpx2.Response:
    """The response as it is to who looks at it once its body was read and decoded."""
    headers = [header for header in exchange.headers if header[0].lower() not in _BODY_HEADERS]
    return httpx2.Response(exchange.status, headers=headers, content=body, request=request)


_BODY_HEADERS = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))


class KnownHeads:
    """The kinds of requests that the SDK has built already, for one of its clients."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._untouched = Untouched(client)
        self._known: dict[Hashable, _Known | None] = {}

    def find(self, request: StreamRequest, params: Mapping[str, Any], connect_seconds: float | None) -> Repeat | None:
        """What to send for a request; None when the SDK has to build it."""
        kind = _kind(request, params, connect_seconds)
        known = self._known.get(kind)
        if known is None or not known.sure:
            return None
        if _sdk_log.isEnabledFor(logging.DEBUG):  # then the SDK tells of its requests
            return None
        if not self._untouched(beta=bool(request.betas)):
            return None
        body = _encode_body(params)
        return None if body is None else Repeat(self._client, known, body)

    def learn(
        self,
        request: StreamRequest,
        params: Mapping[str, Any],
        connect_seconds: float | None,
        response: httpx2.Response,
    ) -> None:
        """The SDK has built a request, whose response this is."""
        kind = _kind(request, params, connect_seconds)
        if kind is None or not self._untouched(beta=bool(request.betas)):
            return
        first = self._known.get(kind)
        if first is None and (kind in self._known or len(self._known) >= _MOST_KINDS):
            return
        if first is not None and first.sure:
            return
        again, blank, sent = response.extensions.get("again"), response.extensions.get("blank"), response.request
        body = _encode_body(params)
        if again is None or blank is None or body is None or response.history:
            return
        head = _Head.of(blank, sent.url)
        constant = head.is_constant() and _is_same_json(sent.content, body)
        if not constant or (first is not None and first.head != head):
            self._known[kind] = None
        elif first is None:
            self._known[kind] = _Known(head, again, httpx2.Request(sent.method, sent.url, headers=sent.headers))
        else:
            self._known[kind] = attrs.evolve(first, sure=True)


def _is_same_json(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except (ValueError, RecursionError):
        return False


def _kind(request: StreamRequest, params: Mapping[str, Any], connect_seconds: float | None) -> Hashable:
    """Equal for requests that differ in their body alone; None for one that is like no other."""
    if request.extra_headers or request.extra_query or request.extra_body:
        return None
    return params["model"], connect_seconds, request.betas, *params
