"""The way to the API: a request goes out through the SDK, and an open response comes back.

The SDK builds, signs and sends the request; its streaming-response route leaves the body to us. What it has built twice
is not built again: `known_heads` sends those requests itself. `responses` knows what a response is and how it is read,
`failures` what went wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import httpx2
from anthropic.lib.bedrock import AsyncAnthropicBedrock

from ...actors.response import Response, ResponseFailed
from ...actors.stream import Deadlines, StreamRequest
from .connection import Connection
from .failures import sending_failed
from .known_heads import KnownHeads
from .parameters import sdk_parameters
from .responses import SdkResponse, accepted, direct_response

__all__ = ["Send", "open_route"]

Send = Callable[[StreamRequest, Mapping[str, Any]], Awaitable[Response]]
"""Sends a request with these parameters, its model's defaults among them, and returns the open response once its head
has come. Raises `ResponseFailed`."""


def open_route(connection: Connection, deadlines: Deadlines) -> Send:
    """A function that sends requests through `connection`.

    The HTTP client keeps the deadline `connect`, which is the request's or else that of `deadlines`.
    """
    client: Any = connection.client
    legacy_bedrock = isinstance(client, AsyncAnthropicBedrock)
    known_heads = KnownHeads(client) if connection.repeatable else None

    async def send(request: StreamRequest, params: Mapping[str, Any]) -> Response:
        seconds = (request.deadlines or deadlines).connect
        try:
            repeat = None if known_heads is None else known_heads.find(request, params, seconds)
            exchange = None if repeat is None else await repeat.send()
            if repeat is not None and exchange is not None:
                response, url = direct_response(exchange), repeat.url
            else:
                response = await build_and_send(request, params, seconds)
                url = response.http_response.url
        except ResponseFailed:
            raise
        except Exception as exc:
            raise ResponseFailed(sending_failed(exc, seconds)) from None
        return await accepted(response, url)

    async def build_and_send(request: StreamRequest, params: Mapping[str, Any], seconds: float | None) -> SdkResponse:
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
        # The SDK keeps this, and in it a `create` that something may have been put around since.
        cast("dict[str, Any]", vars(messages)).pop("with_streaming_response", None)
        manager = messages.with_streaming_response.create(
            stream=True, **{name: value for name, value in params.items() if name in named}, **options
        )
        response: httpx2.Response = (await manager.__aenter__()).http_response
        opened = SdkResponse(response, partial(manager.__aexit__, None, None, None), legacy_bedrock=legacy_bedrock)
        if known_heads is not None:
            known_heads.learn(request, params, seconds, response)
        return opened

    return send
