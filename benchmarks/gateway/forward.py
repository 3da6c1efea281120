"""A forwarder that reads nothing of what it forwards: what two sockets and an event loop cost, below which no gateway
in Python comes.

Run as `python -m benchmarks.gateway.forward PORT UPSTREAM_PORT`.
"""

# pyright: basic

import asyncio
import sys
from functools import partial
from typing import cast

import anyio

from manystream.engine.own_loop import loop_options


class _End(asyncio.Protocol):
    """One end of a connection; what it receives goes out at the other."""

    def __init__(self, other: "_End | None", upstream: int) -> None:
        self.other = other
        self._upstream = upstream
        self._early: list[bytes] = []
        self.transport: asyncio.Transport

    def connection_made(self, transport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        _, end = await loop.create_connection(lambda: _End(self, self._upstream), "127.0.0.1", self._upstream)
        self.other = end
        for data in self._early:
            end.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


async def _serve(port: int, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _End(None, upstream), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    ports = int(sys.argv[1]), int(sys.argv[2])
    anyio.run(partial(_serve, *ports), backend="asyncio", backend_options=loop_options("asyncio"))
