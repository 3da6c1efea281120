"""The server that is measured: many streams that grow at one rate, told in one of the ways. The environment says which.

What is told is made here and not read from a model, so that telling is all that there is to do: `/go` begins to count,
`/stats` says what was counted.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

from manystream import AnthropicModel, Engine
from manystream.actors.channel import Audience, EventLog, Recording
from manystream.actors.message import TextPart, TextPartDelta
from manystream.actors.stream import PartStartEvent, StreamStartEvent
from manystream.engine.relay.relayed import Relayed
from manystream.engine.relay.response import RelayResponse
from manystream.engine.relay.settings import HubSettings
from manystream.engine.relay.shared import SharedStreams
from manystream.engine.relay.stores import store_of
from manystream.engine.relay.streams import RelayedStreams

__all__ = ["app"]

RATE = 20  # events a second, for each stream
_TURNS = 200  # a second, in which the events are made


class Sources:
    """Streams that grow, and what is counted of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.add: Callable[[int, str], None] = lambda number, text: None
        self.made = 0
        self.late = 0.0
        self.began = self.cpu = 0.0
        self.counted_from = 0

    async def produce(self) -> None:
        due = time.perf_counter()
        each = max(1, self.number * RATE // _TURNS)
        turn = 0
        while True:
            due += each / (self.number * RATE)
            wait = due - time.perf_counter()
            await asyncio.sleep(max(0.0, wait))
            self.late = max(self.late, -wait)
            for _ in range(each):
                self.add(turn % self.number, f"T{time.time():.6f} words ")
                turn += 1
            self.made += each

    def go(self) -> dict[str, float]:
        self.began, self.cpu, self.counted_from = time.perf_counter(), time.process_time(), self.made
        self.late = 0.0
        return {"now": self.moment()}

    @staticmethod
    def moment() -> float:
        """Now, as the events say it: what is made later says no less."""
        return float(f"{time.time():.6f}")

    def stats(self) -> dict[str, float]:
        return {
            "made": self.made - self.counted_from,
            "cpu": time.process_time() - self.cpu,
            "seconds": time.perf_counter() - self.began,
            "late": self.late,
            "now": self.moment(),
        }


class OverHub:
    """Told by the hub's responses."""

    def __init__(self, sources: Sources, pace: float, store: str) -> None:
        self._sources = sources
        self._pace = pace
        self._store = store
        self._stack = AsyncExitStack()

    async def begin(self) -> None:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://127.0.0.1:1")
        engine = await self._stack.enter_async_context(Engine(model, grace=0))
        self._streams = streams = RelayedStreams(engine, HubSettings(pace=self._pace))
        streams.begin()
        shared: SharedStreams | None = None
        if (store := store_of(self._store or None)) is not None:
            shared = SharedStreams(
                store,
                "benchmark",
                streams.clock,
                lease=10.0,
                retention=60.0,
                logged=False,
                go_on=lambda head, stream: None,
                told=lambda stream, result: None,
            )
            engine.start_side_task(shared.run_writer())
        self._names: list[str] = []
        logs: list[tuple[EventLog, Audience]] = []
        for _ in range(self._sources.number):
            name = streams.new_id()
            log, audience = EventLog(name), Audience(lambda _: None)
            log.add(StreamStartEvent, "msg_1", "claude-opus-5-5")
            log.add(PartStartEvent, 0, TextPart(complete=False))
            stream = Relayed(name, None, Recording(log, audience), streams.clock)
            if shared is not None:
                await shared.create(name, None, name, None)
                shared.write(stream)
            streams.add(stream)
            self._names.append(name)
            logs.append((log, audience))

        def add(number: int, text: str) -> None:
            log, audience = logs[number]
            log.add_text(0, TextPartDelta, text)
            audience.notify()

        self._sources.add = add

    def response(self, number: int) -> Any:
        return RelayResponse(self._streams, self._names[number], "native", None, {})

    async def end(self) -> None:
        await self._stack.aclose()


class OverQueues:
    """Told by another library: a queue for each reader, as its users write it."""

    def __init__(self, sources: Sources, way: str) -> None:
        self._queues: list[list[asyncio.Queue[str]]] = [[] for _ in range(sources.number)]
        self._way = way
        sources.add = self._add

    def _add(self, number: int, text: str) -> None:
        for queue in self._queues[number]:
            queue.put_nowait(text)

    async def begin(self) -> None:
        """Nothing is to be made ready."""

    async def end(self) -> None:
        """Nothing is left."""

    async def _texts(self, number: int) -> AsyncGenerator[str]:
        queue = asyncio.Queue[str]()
        self._queues[number].append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues[number].remove(queue)

    async def _data(self, number: int) -> AsyncGenerator[str]:
        async for text in self._texts(number):
            yield f"data: {json.dumps(_event(text))}\n\n"

    async def _dicts(self, number: int) -> AsyncGenerator[dict[str, str]]:
        async for text in self._texts(number):
            yield {"data": json.dumps(_event(text))}

    def response(self, number: int) -> Any:
        if self._way == "sse-starlette":
            from sse_starlette import EventSourceResponse

            return EventSourceResponse(self._dicts(number))
        if self._way == "fastapi":
            return self._fastapi
        from starlette.responses import StreamingResponse

        return StreamingResponse(self._data(number), media_type="text/event-stream")

    @property
    def _fastapi(self) -> Any:
        from fastapi import FastAPI
        from fastapi.sse import EventSourceResponse

        if not hasattr(self, "_made"):
            self._made = made = FastAPI()

            async def told(number: int) -> AsyncGenerator[dict[str, str]]:
                async for text in self._texts(number):
                    yield _event(text)

            made.get("/{number}", response_class=EventSourceResponse)(told)
        return self._made


def _event(text: str) -> dict[str, str]:
    return {"type": "text-delta", "id": "p0", "delta": text}


class Served:
    """The ASGI app."""

    def __init__(self) -> None:
        environment = os.environ
        way, number = environment.get("RELAY_WAY", "hub"), int(environment.get("RELAY_STREAMS", "10"))
        self._sources = Sources(number)
        self._way: OverHub | OverQueues
        if way == "hub":
            pace, store = float(environment.get("RELAY_PACE", "0")), environment.get("RELAY_STORE", "")
            self._way = OverHub(self._sources, pace, store)
        else:
            self._way = OverQueues(self._sources, way)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        match scope["path"]:
            case "/go":
                await _reply(send, self._sources.go())
            case "/stats":
                await _reply(send, self._sources.stats())
            case path:
                await self._way.response(int(path.strip("/")))(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        await self._way.begin()
        producing = asyncio.create_task(self._sources.produce())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        producing.cancel()
        await self._way.end()
        await send({"type": "lifespan.shutdown.complete"})


async def _reply(send: Any, value: dict[str, float]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


app = Served()
