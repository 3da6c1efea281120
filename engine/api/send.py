"""The way to the API: a request goes out through the SDK, and an open response comes back.

The SDK builds, signs and sends the request; its streaming-response route leaves the body to us. What it has built twice
is not built again: `known_heads` sends those requests itself. `responses` reads a response's bytes, `acceptance` says
what an answer with a status of success is, and `failures` what went wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import httpx2
from anthropic.lib.bedrock import AsyncAnthropicBedrock

from ...actors.response import Response, ResponseFailed
from ...actors.stream import Deadlines, StreamRequest
from .acceptance import accepted
from .bedrock import eventstream_as_sse, holds_eventstream
from .connected_model import ConnectedModel
from .failures import sending_failed
from .http.exchange import Exchange
from .known_heads import KnownHeads
from .parameters import sdk_parameters
from .responses import DirectResponse, SdkResponse
from .sdk_internals import streaming_route

__all__ = ["Send", "open_route"]

Send = Callable[[StreamRequest, Mapping[str, Any]], Awaitable[Response]]
"""Sends a request with these parameters, its model's defaults among them, and returns the open response once its head
has come. Raises `ResponseFailed`."""


def open_route(model: ConnectedModel, deadlines: Deadlines) -> Send:
    """A function that sends requests of `model`.

    The HTTP client enforces the deadline `connect`: the request's own, or else the one in `deadlines`.
    """
    client: Any = model.client
    legacy_bedrock = isinstance(client, AsyncAnthropicBedrock)
    known_heads = KnownHeads(client) if model.repeatable else None

    async def send(request: StreamRequest, params: Mapping[str, Any]) -> Response:
        seconds = (request.deadlines or deadlines).connect
        try:
            repeat = None if known_heads is None else known_heads.find(request, params, seconds)
            exchange = None if repeat is None else await repeat.send()
            if repeat is not None and exchange is not None:
                response, url = DirectResponse(exchange), repeat.url
            else:
                response, url = await build_and_send(request, params, seconds)
        except ResponseFailed:
            raise
        except Exception as exc:
            raise ResponseFailed(sending_failed(exc, seconds)) from None
        return await accepted(response, url)

    async def build_and_send(
        request: StreamRequest, params: Mapping[str, Any], seconds: float | None
    ) -> tuple[DirectResponse | SdkResponse, httpx2.URL]:
        named = sdk_parameters(beta=bool(request.betas))
        unnamed = {name: value for name, value in params.items() if name not in named}
        options: dict[str, Any] = {
            "timeout": httpx2.Timeout(None, connect=seconds),
            "extra_headers": {"accept-encoding": "identity", **request.extra_headers},
            "extra_body": {**unnamed, **request.extra_body} or None,
            "extra_query": dict(request.extra_query) or None,
        }
        messages: Any = client.messages
        if request.betas:
            messages = client.beta.messages
            options["betas"] = list(request.betas)
        manager = streaming_route(messages).create(
            stream=True, **{name: value for name, value in params.items() if name in named}, **options
        )
        response: httpx2.Response = (await manager.__aenter__()).http_response
        if known_heads is not None:
            known_heads.learn(request, params, seconds, response)
        close = partial(manager.__aexit__, None, None, None)
        if legacy_bedrock and holds_eventstream(response):
            return SdkResponse(response, close, sse=eventstream_as_sse(response)), response.url
        exchange: Exchange | None = response.extensions.get("exchange")
        opened = SdkResponse(response, close) if exchange is None else DirectResponse(exchange, close)
        return opened, response.url

    return send
