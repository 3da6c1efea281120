"""The app behind the pages: a hub in three protocols over a simulator, served by uvicorn. It prints its address.

`python app.py PAGES`: the folder with the pages. `TPS` is how many tokens a second the model says; `STORE`
is a store that this process shares with others, and `TAKEOVER` what becomes of the streams of one that died.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvicorn

from manystream import AnthropicModel, Engine, Simulator, StreamHub, StreamRequest
from manystream.engine.relay.requests import Asked

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TYPES = {".html": b"text/html; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
_TOOLS = [
    {
        "name": "look_up_harbour",
        "description": "Looks a word up.",
        "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    }
]


async def anybody(scope: Scope, key: str, action: str) -> bool:
    return True


async def plain(scope: Scope, asked: Asked) -> StreamRequest:
    return asked.request()


async def with_tools(scope: Scope, asked: Asked) -> StreamRequest:
    params: Any = {**asked.request().params, "thinking": {"type": "adaptive"}, "tools": _TOOLS}
    return StreamRequest(params)


class App:
    """Pages, and the hub's apps under their protocols' names."""

    def __init__(self, pages: Path) -> None:
        self._pages = pages
        self._stack = AsyncExitStack()
        self._apps: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        name = scope["path"].strip("/").split("/")[0]
        if (app := self._apps.get(name)) is not None:
            await app({**scope, "root_path": f"{scope.get('root_path', '')}/{name}"}, receive, send)
        else:
            await self._page(name, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            simulator = Simulator(tokens_per_second=float(os.environ.get("TPS", "40")))
            url = (await stack.enter_async_context(simulator.serve())).url
            model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=url, defaults={"max_tokens": 300})
            engine = await stack.enter_async_context(Engine(model, max_concurrency=50, grace=1))
            shared: dict[str, Any] = {}
            if store := os.environ.get("STORE"):
                takeover = os.environ.get("TAKEOVER", "interrupted")
                shared = {"store": store, "lease": 2, "takeover": takeover, "keep_request": takeover == "continue"}
            hub = await stack.enter_async_context(StreamHub(engine, keepalive=2, grace=0.1, **shared))
            self._apps = {
                "native": hub.app("native", authorize=anybody, build=plain),
                "vercel": hub.app("vercel", authorize=anybody, build=plain),
                "tools": hub.app("vercel", authorize=anybody, build=with_tools),
                "agui": hub.app("agui", authorize=anybody, build=with_tools),
                "text": hub.app("agui", authorize=anybody, build=plain),
            }
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _page(self, name: str, send: Send) -> None:
        path = self._pages / Path(name).name
        kind = _TYPES.get(path.suffix)
        found = kind is not None and path.is_file()
        headers = [(b"content-type", kind or b"text/plain")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": path.read_bytes() if found else b"no such page"})


class Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"port": port}), flush=True)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "0"))
    app = App(Path(sys.argv[1]))
    Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on", timeout_graceful_shutdown=3)).run()
