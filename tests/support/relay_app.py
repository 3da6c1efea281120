"""A relay as an ASGI app for real servers: `python -m uvicorn tests.support.relay_app:app`. The environment says how
fast, and with which settings."""

import json
import os
from contextlib import AsyncExitStack
from typing import Any

import httpx2

from manystream import AnthropicModel, Engine, Simulator, StreamHub, StreamRequest
from manystream.engine.relay.requests import Asked

__all__ = ["app"]

TEXT = " ".join(str(number) for number in range(400))


class RelayService:
    """`/s` is the hub's app; `/stats` says what it has in hand."""

    def __init__(self) -> None:
        self._relay: Any = None
        self._hub: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/stats":
            tabs = sum(len(stream.tabs) for stream in self._hub._streams.shelf)
            body = json.dumps({"tabs": tabs, "pid": os.getpid()}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
        else:
            await self._relay(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        async with AsyncExitStack() as stack:
            assert (await receive())["type"] == "lifespan.startup"
            simulator = Simulator(tokens_per_second=float(os.environ.get("RELAY_SPEED", "20")))
            simulator.script([TEXT] * 1000)
            client = httpx2.AsyncClient(transport=simulator.transport())
            model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
            engine = await stack.enter_async_context(Engine(model, max_concurrency=1000, grace=0))
            settings: dict[str, Any] = {"grace": 0, **json.loads(os.environ.get("RELAY_SETTINGS", "{}"))}
            self._hub = await stack.enter_async_context(StreamHub(engine, **settings))
            self._relay = self._hub.app("native", authorize=_anybody, build=_build)
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})


async def _anybody(scope: Any, key: str, action: str) -> bool:
    return True


async def _build(scope: Any, asked: Asked) -> StreamRequest:
    return asked.request()


app = RelayService()
