"""`manystream serve` beside the engine under uvicorn, LiteLLM's proxy, and a forwarder that reads nothing: what a
request and a live event cost the gateway's process, and how much later an event arrives.

Each gateway is a process of its own, between a client here and the replay server. What it costs is the processor time
of that process and its children. Latency is told beside that of no gateway at all, in the same run.
"""

# pyright: basic

import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from ..speed.server import WIRE_EVENTS_BESIDE_DELTAS
from ..speed.turns import Server

__all__ = ["Load", "Served", "gateways_in", "measure_served"]

_GATEWAYS = ("none", "forward", "serve", "uvicorn", "litellm")
_STAMP = re.compile(rb'"text": ?"(\d+) "')
_PATIENCE = 120.0  # seconds for a gateway to come up
_PACE = 20  # milliseconds between two events of a live stream
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@attrs.frozen
class Load:
    """How much is asked."""

    requests: int = 1000
    """Answers of one delta."""
    at_a_time: int = 20
    """How many of those at a time."""
    streams: tuple[int, ...] = (50, 300)
    """How many live streams at a time, in one measurement each."""
    seconds: float = 4.0


@attrs.frozen
class Served:
    """What was measured of one gateway."""

    gateway: str
    load: str
    failed: int
    cpu_ms_per_request: float | None = None
    cpu_us_per_event: float | None = None
    late_ms_p50: float | None = None
    late_ms_p99: float | None = None


def measure_served(server: Server, gateway: str, load: Load, *, litellm: Path | None = None) -> list[Served]:
    """Measures one gateway. `litellm` is the command of LiteLLM's proxy. Raises `RuntimeError` when it does not
    start."""
    upstream = f"http://127.0.0.1:{server.port}"
    with tempfile.TemporaryDirectory() as folder:
        with _running(gateway, upstream, litellm, Path(folder)) as (process, port):
            measured = [_measure_requests(gateway, process, port, load)]
            if gateway != "litellm":
                return measured + _measure_streams(gateway, process, port, load)
        # Its base URL is set once, and the pace of a stream stands in that.
        with _running(gateway, upstream, litellm, Path(folder), _PACE) as (process, port):
            return measured + _measure_streams(gateway, process, port, load)


def _measure_requests(gateway: str, process: "subprocess.Popen[bytes] | None", port: int, load: Load) -> Served:
    target = _target(gateway, 0)
    asyncio.run(_all(port, 50, 20, 1, target))  # what is imported late, and connections
    before = _cpu(process)
    _, failed = asyncio.run(_all(port, load.requests, load.at_a_time, 1, target))
    spent = _cpu(process) - before
    return Served(
        gateway, "requests", failed, cpu_ms_per_request=None if process is None else 1000 * spent / load.requests
    )


def _measure_streams(gateway: str, process: "subprocess.Popen[bytes] | None", port: int, load: Load) -> list[Served]:
    measured: list[Served] = []
    deltas = round(load.seconds * 1000 / _PACE)
    target = _target(gateway, _PACE)
    asyncio.run(_all(port, 10, 10, 5, target))
    for streams in load.streams:
        before = _cpu(process)
        late, failed = asyncio.run(_all(port, streams, streams, deltas, target))
        spent = _cpu(process) - before
        events = streams * (deltas + WIRE_EVENTS_BESIDE_DELTAS)
        measured.append(
            Served(
                gateway,
                f"{streams} streams",
                failed,
                cpu_us_per_event=None if process is None else 1e6 * spent / events,
                late_ms_p50=1000 * statistics.median(late) if late else None,
                late_ms_p99=1000 * statistics.quantiles(late, n=100)[98] if len(late) > 1 else None,
            )
        )
    return measured


def _target(gateway: str, pace: int) -> str:
    return "/v1/messages" if gateway == "litellm" else f"/p{pace}/v1/messages"


# -- gateways


@contextmanager
def _running(
    gateway: str, upstream: str, litellm: Path | None, folder: Path, pace: int = 0
) -> Generator[tuple["subprocess.Popen[bytes] | None", int]]:
    """A gateway that runs, and its port. `pace` is that of the streams, where it is not said by each request."""
    if gateway == "none":
        yield None, int(upstream.rpartition(":")[2])
        return
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"UPSTREAM": upstream, "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if gateway == "serve":
        command = [sys.executable, "-m", "manystream", "serve", *where, "--base-url", upstream, "--concurrency", "1000"]
    elif gateway == "forward":
        command = [sys.executable, "-m", "benchmarks.gateway.forward", str(port), upstream.rpartition(":")[2]]
    elif gateway == "uvicorn":
        command = [sys.executable, "-m", "uvicorn", "benchmarks.gateway.asgi:app", *where, "--log-level", "warning"]
    else:
        assert litellm is not None
        config = folder / "config.yaml"
        config.write_text(
            "model_list:\n  - model_name: claude-opus-5-5\n    litellm_params:\n"
            "      model: anthropic/claude-opus-5-5\n"
            f"      api_base: {upstream}/p{pace}\n      api_key: none\n"
        )
        command = [str(litellm), "--config", str(config), *where]
    log = folder / "log"
    with log.open("wb") as told, subprocess.Popen(command, env=environment, stdout=told, stderr=told) as process:
        try:
            _wait_for(port, process, log)
            yield process, port
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the gateway did not start: {log.read_text(errors='replace')[-2000:]}")


def _cpu(process: "subprocess.Popen[bytes] | None") -> float:
    """Seconds of processor time of a process and its children; 0 where the system doesn't tell."""
    if process is None or not Path("/proc").is_dir():
        return 0.0
    total = 0.0
    pending = [process.pid]
    while pending:
        pid = pending.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            pending += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            own = _run_time(pid)
        except OSError:
            continue
        total += (sum(map(int, fields[11:13])) / _TICKS) if own is None else own
        total += sum(map(int, fields[13:15])) / _TICKS  # of its children that have ended
    return total


def _run_time(pid: int) -> float | None:
    """Seconds that a process's threads ran: the scheduler's own count, since ticks miss who runs for less than one.
    None where there is none."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        counted = thread / "schedstat"
        if not counted.is_file():
            return None
        total += int(counted.read_text().split()[0])
    return total / 1e9


# -- the client


async def _all(port: int, count: int, at_a_time: int, deltas: int, target: str) -> tuple[list[float], int]:
    """Asks `count` times on `at_a_time` connections. Returns how late each stamped delta was, in seconds, and how many
    answers were not whole."""
    body = (
        b'{"model":"claude-opus-5-5","max_tokens":%d,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
        % deltas
    )
    head = (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-api-key: none\r\nanthropic-version: 2023-06-01\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    late: list[float] = []
    left = count
    failed = 0

    async def ask_all() -> None:
        nonlocal left, failed
        while left > 0:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = True
            while left > 0 and whole:
                left -= 1
                writer.write(head + body)
                whole = await _whole(reader, late)
                failed += not whole
            writer.close()

    await asyncio.gather(*(ask_all() for _ in range(at_a_time)))
    return late, failed


async def _whole(reader: asyncio.StreamReader, late: list[float]) -> bool:
    """Reads one answer; whether it came to its end."""
    tail = b""
    seen = False
    while not tail.endswith(b"0\r\n\r\n"):
        data = await reader.read(65536)
        if not data:
            return False
        now = time.monotonic_ns()
        late += [(now - int(stamp)) / 1e9 for stamp in _STAMP.findall(data)]
        seen = seen or b"message_stop" in tail + data
        tail = (tail + data)[-30:]
    return seen


def gateways_in(litellm: Path | None) -> Sequence[str]:
    """Those that can be measured here."""
    return [name for name in _GATEWAYS if name != "litellm" or litellm is not None]
