"""The engine behind an ASGI server: what `manystream serve` would be without a server of its own.

It is run by uvicorn, with the base URL of the API in the environment variable `UPSTREAM`.
"""

# pyright: basic

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from manystream import AnthropicModel, Engine

__all__ = ["app"]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None]:
    model = AnthropicModel("claude-opus-5-5", api_key="none", base_url=os.environ["UPSTREAM"])
    async with Engine(model, max_concurrency=1000) as engine:
        app.state.clients = {"": engine.anthropic_client(max_retries=0)}
        yield


def _client_for(app: Starlette, pace: str) -> Any:
    """The client whose base URL has this pace in it."""
    clients: dict[str, Any] = app.state.clients
    if pace not in clients:
        client = clients[""]
        clients[pace] = client.with_options(base_url=f"{str(client.base_url).rstrip('/')}/{pace}")
    return clients[pace]


async def _messages(request: Request) -> StreamingResponse:
    client = _client_for(request.app, request.path_params["pace"])
    asked = json.loads(await request.body())
    asking = client.messages.with_streaming_response.create(**asked)
    response = await asking.__aenter__()

    async def body() -> AsyncGenerator[bytes]:
        try:
            async for data in response.http_response.aiter_raw():
                yield data
        finally:
            await asking.__aexit__(None, None, None)

    return StreamingResponse(body(), media_type="text/event-stream")


app = Starlette(routes=[Route("/{pace}/v1/messages", _messages, methods=["POST"])], lifespan=_lifespan)
