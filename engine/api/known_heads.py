"""The short way to a response: requests that differ in their bodies alone share the head that the SDK built.

Building, signing and sending a request through the SDK and its HTTP client costs more than all the rest of a stream.
But requests of one kind have one head. A kind is the model, the names of the parameters, the betas and the deadline to
connect. The SDK builds the first two requests of each kind. If their heads are equal but for the length, our transport
sends the others with that head and their own bodies.

The SDK builds every request in which it does not put the parameters into the body as they are, in which something is
no plain JSON, or to which the caller adds headers, a query or a body.

This holds only for clients that we made: others may have middleware, hooks or credentials that change. The headers must
be known to be constant, and the client's methods must be the published ones: a trace, a signature or an idempotency key
belongs to one request.
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
from .http.exchange import Exchange
from .http.outgoing import OutgoingRequest
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
"""The headers that are the same for all requests of a kind. `x-stainless-helper` is not: the SDK derives it from the
tools and the messages."""

_MOST_KINDS = 1000  # of requests, that are remembered
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False).encode
_sdk_log = logging.getLogger("anthropic")


def _encode_body(params: Mapping[str, Any]) -> bytes | None:
    """The body for the parameters, if they are plain JSON."""
    try:
        return _encode({**params, "stream": True}).encode()
    except (TypeError, ValueError, RecursionError):
        return None  # the SDK encodes more kinds of values, and raises its own error for the rest


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
    """A request that the SDK built. Once `sure`, our transport can send it with another body."""

    head: _Head
    again: Callable[[bytes], Awaitable[Exchange]]
    request: httpx2.Request
    """The request without its body, for the SDK's exceptions."""
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
        """Sends the request; returns the open exchange once its response's head has come.

        Returns None when the answer is a redirect that may be followed. Then the SDK's HTTP client has to send the
        request: the API has not done it yet, so it is not paid for twice. Raises the SDK's exceptions. Cancelled, it
        leaves no connection open.
        """
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
    """The response with its body, read and decoded, and without the headers that speak of its encoding."""
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
        if _sdk_log.isEnabledFor(logging.DEBUG):  # then the SDK logs each request
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
        """Remembers the head of a request that the SDK has built and sent, and that got this response."""
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
    """A key that is equal for requests that differ in their bodies alone; None for a request that shares no head."""
    if request.extra_headers or request.extra_query or request.extra_body:
        return None
    return params["model"], connect_seconds, request.betas, *params
