"""A line that misbehaves: a TCP proxy that delays, splits, cuts, resets, stalls, corrupts and closes, by a seed.

What it corrupts can be told from what was sent: TCP brings bytes as they are, or not at all, and a letter that became
another is nobody's to find. So it puts bytes that no UTF-8 holds into the JSON of events, or where HTTP counts.
"""

import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import SocketAttribute, SocketStream

__all__ = ["ChaosProxy", "chaos_before"]

_PAYLOAD = re.compile(rb"data: (\{[^\n]*\})")
_ALWAYS = ("none", "none", "none", "delay", "split", "cut", "reset", "stall", "corrupt", "half close", "refuse", "late")
_LONGEST = 4_000  # bytes of a response after which trouble begins, at most
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


@attrs.define(eq=False)
class _Fate:
    """What becomes of one response."""

    kind: str
    left: int
    """How many of its bytes pass before."""
    random: Random
    done: bool = False


class ChaosProxy:
    """Stands before the server at `port`. `fates` counts what it did."""

    def __init__(self, port: int, seed: int) -> None:
        self._to = port
        self._seed = seed
        self.port = 0
        self.fates: Counter[str] = Counter()
        self._open = 0
        self._closed = anyio.Event()

    def _draw(self, request: bytes) -> _Fate:
        random = Random(f"{self._seed} {self.fates.total()}")
        # What is put in between may hide an event before it is found: no answer is continued behind that.
        kinds = _ALWAYS if b"x-soak: continue" in request else (*_ALWAYS, "inject")
        fate = _Fate(random.choice(kinds), random.randrange(_LONGEST), random)
        self.fates[fate.kind] += 1
        return fate

    async def serve(self, client: SocketStream) -> None:
        """One connection."""
        self._open += 1
        try:
            async with client, await anyio.connect_tcp("127.0.0.1", self._to) as server:
                await self._relay(client, server)
        except (*_BROKEN, ExceptionGroup):
            pass
        finally:
            self._open -= 1
            if not self._open:
                self._closed.set()

    async def deserted(self) -> None:
        """Waits until there is no connection."""
        while self._open:
            self._closed = anyio.Event()
            await self._closed.wait()

    async def _relay(self, client: SocketStream, server: SocketStream) -> None:
        fate = _Fate("none", 0, Random(0))

        async def requests() -> None:
            nonlocal fate
            try:
                async for data in client:
                    if data.startswith(b"POST "):
                        fate = self._draw(data)
                        if fate.kind == "refuse":
                            break
                    await server.send(data)
            except _BROKEN:
                pass
            group.cancel_scope.cancel()

        async def responses() -> None:
            try:
                async for data in server:
                    if not await self._pass_on(client, data, fate):
                        break
            except _BROKEN:
                pass
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(requests)
            group.start_soon(responses)

    async def _pass_on(self, client: SocketStream, data: bytes, fate: _Fate) -> bool:
        """Sends a part of the response, as fate will have it. Returns whether there is more to come."""
        random = fate.random
        match fate.kind:
            case "delay":
                await anyio.sleep(random.random() * 0.003)
            case "late" if not fate.done:
                fate.done = True
                await anyio.sleep(random.random() * 0.05)
            case "split":
                while len(data) > 1 and fate.left > 0:
                    piece = random.randint(1, 60)
                    await client.send(data[:piece])
                    await anyio.lowlevel.checkpoint()
                    fate.left -= piece
                    data = data[piece:]
            case "corrupt" if not fate.done and (found := _PAYLOAD.search(data, min(fate.left, len(data)))):
                fate.done = True
                place = random.randrange(*found.span(1))
                data = data[:place] + b"\xff" + data[place + 1 :]
            case "inject" if fate.left < len(data) and not fate.done:
                fate.done = True
                data = data[: fate.left] + b"\xff\xfe" * random.randint(1, 5) + data[fate.left :]
            case "cut" | "reset" | "stall" | "half close" if fate.left <= len(data):
                await client.send(data[: fate.left])
                await self._end(client, fate.kind)
                return False
            case _:
                pass
        fate.left = max(0, fate.left - len(data))
        await client.send(data)
        return True

    async def _end(self, client: SocketStream, kind: str) -> None:
        if kind == "reset":
            raw = client.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await anyio.aclose_forcefully(client)
        elif kind != "cut":
            if kind == "half close":
                await client.send_eof()
            await anyio.sleep_forever()  # until the client goes


@asynccontextmanager
async def chaos_before(port: int, seed: int) -> AsyncGenerator[ChaosProxy]:
    """A proxy before the server at `port` of this machine."""
    proxy = ChaosProxy(port, seed)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        proxy.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, proxy.serve)
        try:
            yield proxy
        finally:
            tasks.cancel_scope.cancel()
