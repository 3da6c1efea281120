"""Many tabs at a real server, told in each way in turn: the server's processor time for an event that arrived, and how
late it came."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import attrs
from rich.table import Table

__all__ = ["MANY", "WAYS", "Load", "Measured", "measure_serving", "serving_table"]

_TOP = Path(__file__).parents[2]
_STAMP = re.compile(rb"T(\d+\.\d{6})")
_READY = 60.0  # seconds
_LATE = 10.0  # seconds for which events are waited for that were made in time
_STAMP_LENGTH = 32  # bytes of one at most, which may come in two pieces

WAYS: dict[str, Mapping[str, str]] = {
    "Starlette StreamingResponse": {"RELAY_WAY": "streaming"},
    "sse-starlette": {"RELAY_WAY": "sse-starlette"},
    "FastAPI's EventSourceResponse": {"RELAY_WAY": "fastapi"},
    "StreamHub": {"RELAY_WAY": "hub"},
    "StreamHub, pace 0.1": {"RELAY_WAY": "hub", "RELAY_PACE": "0.1"},
    "StreamHub, SQLite": {"RELAY_WAY": "hub", "RELAY_STORE": "sqlite:PLACE/relay.db"},
    "StreamHub, Redis": {"RELAY_WAY": "hub", "RELAY_STORE": "unix://PLACE/redis.sock"},
    "StreamHub, pace 0.1, SQLite": {"RELAY_WAY": "hub", "RELAY_PACE": "0.1", "RELAY_STORE": "sqlite:PLACE/relay.db"},
    "StreamHub, pace 0.1, Redis": {"RELAY_WAY": "hub", "RELAY_PACE": "0.1", "RELAY_STORE": "unix://PLACE/redis.sock"},
}
"""The environment of each. The first is what the others are compared with."""
MANY = ("Starlette StreamingResponse", "StreamHub", "StreamHub, pace 0.1")
"""Those that are tried with ten times as many streams too."""
_PACKAGES = {"streaming": "starlette", "sse-starlette": "sse_starlette", "fastapi": "fastapi", "hub": "manystream"}


@attrs.frozen
class Load:
    """How many streams, tabs of each, and for how many seconds."""

    streams: int = 100
    tabs: int = 2
    seconds: float = 5.0


@attrs.frozen
class Measured:
    """What one run came to."""

    microseconds: float
    """The server's processor time for an event that was to arrive at a tab."""
    server: float
    """The share of a core that the server took, and the load generator."""
    client: float
    p50: float
    """Milliseconds from making an event to reading it."""
    p99: float
    arrived: float
    """The share of the events, made while it was measured, that arrived in the end."""


def measure_serving(name: str, load: Load) -> Measured | None:
    """One run of a way; None where its library is not installed."""
    environment = WAYS[name]
    if find_spec(_PACKAGES[environment["RELAY_WAY"]]) is None or find_spec("uvicorn") is None:
        return None
    on_redis = "redis" in environment.get("RELAY_STORE", "")
    if on_redis and (find_spec("redis") is None or shutil.which("redis-server") is None):
        return None
    with (
        tempfile.TemporaryDirectory() as place,
        _redis(place) if on_redis else nullcontext(),
        _server(environment, load, place) as port,
    ):
        return asyncio.run(_load(port, load))


@contextmanager
def _redis(place: str) -> Generator[None]:
    """A Redis server that keeps nothing, on a socket in the folder."""
    arguments = ["--port", "0", "--unixsocket", f"{place}/redis.sock", "--save", "", "--dir", place]
    process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _READY
        while not Path(place, "redis.sock").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("redis-server does not start")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _server(environment: Mapping[str, str], load: Load, place: str) -> Generator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    settings = {name: value.replace("PLACE", place) for name, value in environment.items()}
    command = ["uvicorn", "benchmarks.relay.served_app:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--no-access-log"],
        cwd=_TOP,
        env={**os.environ, **settings, "RELAY_STREAMS": str(load.streams)},
    )
    try:
        until = time.monotonic() + _READY
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the server does not start: {command}") from None
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


class _Reader(asyncio.Protocol):
    """A tab: it looks for the moments at which events were made."""

    def __init__(self, number: int, came: list[tuple[float, float]]) -> None:
        self._number = number
        self._came = came
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(f"GET /{self._number} HTTP/1.1\r\nhost: here\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._rest + data
        end = 0
        for stamp in _STAMP.finditer(data):
            self._came.append((float(stamp[1]), now))
            end = stamp.end()
        self._rest = data[max(end, len(data) - _STAMP_LENGTH) :]


async def _load(port: int, load: Load) -> Measured:
    loop = asyncio.get_running_loop()
    came: list[tuple[float, float]] = []  # when an event was made, and when it arrived
    transports: list[asyncio.BaseTransport] = []
    for number in range(load.streams * load.tabs):
        made = number % load.streams
        transport, _ = await loop.create_connection(lambda made=made: _Reader(made, came), "127.0.0.1", port)
        transports.append(transport)
        if number % 50 == 49:
            await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    begun = (await asyncio.to_thread(_get, port, "/go"))["now"]
    cpu = time.process_time()
    await asyncio.sleep(load.seconds)
    stats = await asyncio.to_thread(_get, port, "/stats")
    cpu = time.process_time() - cpu
    wanted = round(stats["made"]) * load.tabs

    def delays() -> list[float]:
        return [arrived - made for made, arrived in came if begun <= made < stats["now"]]

    until = time.monotonic() + _LATE
    while len(delays()) < wanted and time.monotonic() < until:  # noqa: ASYNC110 - what comes is counted, not told
        await asyncio.sleep(0.1)
    for transport in transports:
        transport.close()
    found = sorted(delays())
    p50, p99 = (found[min(len(found) - 1, int(len(found) * share))] * 1e3 if found else 0.0 for share in (0.5, 0.99))
    return Measured(
        stats["cpu"] / max(1, wanted) * 1e6,
        stats["cpu"] / stats["seconds"],
        cpu / load.seconds,
        p50,
        p99,
        len(found) / max(1, wanted),
    )


def _get(port: int, path: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.load(answer)


def serving_table(load: Load, found: Mapping[str, Measured]) -> Table:
    """The ways beside each other, and beside the first."""
    title = f"{load.streams} streams, {load.tabs} tabs each, 20 events a second: the server's µs an event that arrives"
    table = Table(title=title)
    table.add_column("")
    for head in ("µs", "x the first", "server", "clients", "p50 ms", "p99 ms", "arrived"):
        table.add_column(head, justify="right")
    first = next(iter(found.values()), None)
    for name, one in found.items():
        assert first is not None
        table.add_row(
            name,
            f"{one.microseconds:.1f}",
            f"{one.microseconds / first.microseconds:.2f}" if first.microseconds else "",
            f"{one.server:.0%}",
            f"{one.client:.0%}",
            f"{one.p50:.1f}",
            f"{one.p99:.1f}",
            f"{one.arrived:.0%}",
            style="bold" if name.startswith("StreamHub") else None,
        )
    return table
