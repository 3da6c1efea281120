"""The short way to a response: what the SDK built for one request serves for others that differ in their body alone.

To build, sign and send a request through the SDK and its HTTP client costs more than all the rest of a stream. But what
they make of two requests with the same parameters' names, for the same model and by the same credentials, has the same
head. So the SDK builds the first of each kind, and our transport sends the others with that head and a body of their
own. It is looked at whether the SDK puts the parameters into the body as they are; where it does not, or something in
them is no plain JSON, or the caller adds headers or a query, the SDK builds each request.

Only for clients that we made: others may have middleware, hooks or credentials that change.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

import anthropic
import attrs
import httpx2

from ..actors.request import StreamRequest
from .http.exchange import Exchange

__all__ = ["Repeat", "Repeats"]

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
class _Known:
    """A request that the SDK built and our transport can send with another body."""

    again: Callable[[bytes], Awaitable[Exchange]]
    request: httpx2.Request
    """The request without its body: what the SDK's exceptions are told."""


@attrs.frozen
class Repeat:
    """A request that is ready to be sent."""

    _client: Any
    _known: _Known
    _body: bytes = attrs.field(repr=False)

    async def send(self) -> Exchange | None:
        """Sends it; returns the open exchange once its response's head has come. Raises what the SDK raises when it
        can't be sent, or is refused; None leaves it to the SDK's HTTP client to see where it is sent on to."""
        request = self._known.request
        try:
            exchange = await self._known.again(self._body)
            if exchange.status < 300:
                return exchange
            response = exchange.response()
            if response.has_redirect_location:
                exchange.abort()
                return None
            response.request = request
            await response.aread()
        except httpx2.TimeoutException as exc:
            raise anthropic.APITimeoutError(request=request) from exc
        except httpx2.HTTPError as exc:
            raise anthropic.APIConnectionError(request=request) from exc
        raise self._client._make_status_error_from_response(response)


class Repeats:
    """The kinds of requests that the SDK has built already, for one of its clients."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._known: dict[Hashable, _Known | None] = {}

    def find(self, request: StreamRequest, params: Mapping[str, Any], connect_seconds: float | None) -> Repeat | None:
        """What to send for a request; None when the SDK has to build it."""
        kind = _kind(request, params, connect_seconds)
        known = self._known.get(kind)
        if known is None or _sdk_log.isEnabledFor(logging.DEBUG):  # then the SDK tells of its requests
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
        if kind is None or kind in self._known or len(self._known) >= _MOST_KINDS:
            return
        again, body, sent = response.extensions.get("again"), _encode_body(params), response.request
        if again is None or body is None or response.history:
            return
        same = json.loads(sent.content) == json.loads(body)
        self._known[kind] = _Known(again, httpx2.Request(sent.method, sent.url, headers=sent.headers)) if same else None


def _kind(request: StreamRequest, params: Mapping[str, Any], connect_seconds: float | None) -> Hashable:
    """Equal for requests that differ in their body alone; None for one that is like no other."""
    if request.extra_headers or request.extra_query or request.extra_body:
        return None
    return params["model"], connect_seconds, request.betas, *params
