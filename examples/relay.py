"""A web app that relays answers as server-sent events, and stops those nobody listens to any more.

Needs starlette and uvicorn.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from manystream import AnthropicModel, Engine, Simulator, Stream, StreamError, encode_event


async def server_sent(stream: Stream) -> AsyncGenerator[str]:
    """The events of a stream as the text of server-sent events."""
    with suppress(StreamError):  # a bad ending is told by the last event, as a good one is
        async for event in stream:
            yield f"id: {event.seq}\nevent: {event.event_kind}\ndata: {encode_event(event)}\n\n"


class EventStream(StreamingResponse):
    """The answer to a prompt. The stream ends with the response, however that one ends."""

    def __init__(self, engine: Engine, prompt: str) -> None:
        super().__init__((), media_type="text/event-stream", headers={"cache-control": "no-store"})
        self.engine = engine
        self.prompt = prompt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.engine.stream(self.prompt) as stream, aclosing(server_sent(stream)) as self.body_iterator:
            # uvicorn tells at once that the client has gone. A server of ASGI 2.4 tells when the next event is sent.
            with suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)
        result = stream.result
        by = f" by {result.cancelled_by}, {result.cancel_reason}" if result.state == "cancelled" else ""
        print(f"server: {self.prompt} {result.state}{by}, {len(result.text)} characters")


async def answer(request: Request) -> EventStream:
    return EventStream(request.state.engine, request.query_params["prompt"])


def make_app(model: AnthropicModel) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Engine]]:
        async with Engine(model, max_concurrency=200, grace=5) as engine:
            yield {"engine": engine}

    return Starlette(routes=[Route("/answer", answer)], lifespan=lifespan)


async def listen(url: str, prompt: str, patience: int | None = None) -> None:
    """A client: it counts events, and leaves after as many as it has patience for."""
    count, kind = 0, ""
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", url, params={"prompt": prompt}) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                count, kind = count + 1, line.removeprefix("event: ")
                if count == patience:
                    break
    print(f"client: {prompt} {count} events, the last one was {kind!r}")


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(tokens_per_second=200).serve() as simulator:
        model = AnthropicModel(
            "claude-opus-5-5", defaults={"max_tokens": 150}, api_key="simulated", base_url=simulator.url
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(make_app(model), lifespan="on", log_level="warning")
            server = uvicorn.Server(config)
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listener]))
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/answer"
                try:
                    await listen(url, "What is a river?", patience=5)
                    await listen(url, "Why is the sea salt?")
                finally:
                    server.should_exit = True


if __name__ == "__main__":
    asyncio.run(main())
