"""A worker over the engine, beside a model that always says the same: a hub, or a plain StreamingResponse of Starlette.

`STORE` is what the hub shares with other workers; `plain` as its argument is Starlette's.
"""

import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from manystream import AnthropicModel, Engine, Simulator, StreamHub, StreamRequest
from manystream.engine.relay.requests import Asked

TEXT, PACE = os.environ["TEXT"], float(os.environ["PACE"])


async def anybody(scope: Any, key: str, action: str) -> bool:
    return True


async def build(scope: Any, asked: Asked) -> StreamRequest:
    return asked.request()


def hub_of(engine: Engine) -> StreamHub:
    if not (store := os.environ.get("STORE")):
        return StreamHub(engine, grace=0.1)
    takeover: Any = os.environ["TAKEOVER"]
    return StreamHub(engine, grace=0.1, store=store, lease=2, takeover=takeover, keep_request=takeover == "continue")


@asynccontextmanager
async def living(app: Starlette) -> AsyncGenerator[None]:
    simulator = Simulator(tokens_per_second=PACE)
    simulator.script([TEXT] * 20)
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url, defaults={"max_tokens": 4000})
        async with Engine(model, max_concurrency=50, grace=0.1) as engine:
            app.state.engine = engine
            if "plain" in sys.argv:
                yield
                return
            async with hub_of(engine) as hub:
                app.router.routes.append(Mount("/", hub.app("vercel", authorize=anybody, build=build)))
                yield


async def plain(request: Request) -> StreamingResponse:
    async def frames() -> AsyncIterator[str]:
        async with request.app.state.engine.stream("Tell me of the sea") as stream:
            async for text in stream.text_stream:
                yield f"data: {json.dumps({'type': 'text-delta', 'id': 'p0', 'delta': text})}\n\n"

    return StreamingResponse(frames(), media_type="text/event-stream")


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(json.dumps({"port": self.servers[0].sockets[0].getsockname()[1]}), flush=True)


if __name__ == "__main__":
    routes = [Route("/", plain, methods=["POST"])] if "plain" in sys.argv else []
    app = Starlette(routes=routes, lifespan=living)
    Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on")).run()
