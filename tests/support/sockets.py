"""Plain sockets to the simulator: requests by hand, and all that comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import ByteStream, SocketStream

from manystream.engine.simulator import Simulator

__all__ = ["connect", "happens", "http_request", "read_all", "read_until"]


def http_request(
    body: Any = None, *, headers: str = "", head: str = "POST /v1/messages HTTP/1.1", **params: Any
) -> bytes:
    """A whole request as bytes; `params` change the usual body."""
    if body is None:
        usual = {"model": "claude-x", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
        body = json.dumps(usual | params).encode()
    lines = f"{head}\r\nhost: localhost\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n{headers}"
    return f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def connect(simulator: Simulator) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", int(simulator.url.rpartition(":")[2]))


async def read_until(stream: ByteStream, mark: bytes) -> bytes:
    """Read until the bytes end with the mark."""
    received = b""
    with anyio.fail_after(5):
        while not received.endswith(mark):
            received += await stream.receive()
    return received


async def read_all(stream: ByteStream) -> bytes:
    """Read until the server closes; a reset raises BrokenResourceError."""
    received = b""
    with anyio.fail_after(5):
        try:
            while True:
                received += await stream.receive()
        except anyio.EndOfStream:
            return received


async def happens(simulator: Simulator, condition: Callable[[Simulator], bool]) -> None:
    await anyio.to_thread.run_sync(partial(simulator.wait_until, condition))
