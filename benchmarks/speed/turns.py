"""The turns: every kind in every mode, in a process of its own, one after the other."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from .goals import Measured
from .kinds import KINDS
from .machine import free_cores
from .work import Plan

__all__ = ["MODES", "Server", "in_turns", "measure", "replay_server"]

_TOP = Path(__file__).parents[2]
_LONGEST = 240.0  # seconds for one measurement
_OURS = ("manystream", "manystream-trio")
_PLAIN = tuple(name for name in KINDS if not name.endswith("http2"))
_OVER_TLS = tuple(
    kind + version for kind in ("manystream", "manystream-uvloop", "manystream-trio") for version in ("", "-http2")
)
MODES: Mapping[str, tuple[str, ...]] = {
    "burst": _PLAIN,
    "steady": _PLAIN,
    "tls": ("bytes-aiohttp", *_OVER_TLS, "sdk", "sdk-http2"),
    "tls-memory": _OVER_TLS,
    "tls-life": _OVER_TLS,
    "capacity": _PLAIN,
    "requests": _PLAIN,
    "memory": ("bytes-aiohttp", *_OURS, "sdk"),
    "growth": ("bytes-aiohttp", *_OURS),
    "many": ("bytes-aiohttp", *_OURS),
    "startup": ("manystream",),
}
"""The kinds that are measured in each mode."""


@attrs.frozen
class Server:
    """Where the replay server listens."""

    port: int
    tls_port: int | None = None
    """None when trustme is not installed."""
    authority: str | None = None


@contextmanager
def replay_server() -> Generator[Server]:
    """A replay server in a process of its own, on a core of its own where there is one."""
    core = free_cores()[1]
    command = [sys.executable, "-m", "benchmarks.speed.server", *([] if core is None else [str(core)])]
    with subprocess.Popen(command, cwd=_TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the replay server did not start; what it said is above")
        yield Server(**json.loads(line))  # it ends with its standard input, which is closed when this block is left


def measure(
    server: Server, mode: str, kind: str, turn: int, plan: Plan, *, kinds: str = "benchmarks.speed.kinds"
) -> Measured:
    """One measurement, of one of the `KINDS` of a module. What goes wrong in the client is told in the figure `failed`,
    whose value is 1."""
    if mode == "startup":
        return Measured(mode, kind, turn, _measure_startup())
    tls = mode.startswith("tls")
    task: dict[str, Any] = {
        "kinds": kinds,
        "kind": kind,
        "mode": mode,
        "plan": attrs.asdict(plan),
        "core": free_cores()[0],
        "port": server.tls_port if tls else server.port,
        "authority": server.authority if tls else None,
    }
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if tls and server.authority:
        environment["SSL_CERT_FILE"] = server.authority
    command = [sys.executable, "-m", "benchmarks.speed.client", json.dumps(task)]
    try:
        done = subprocess.run(
            command, cwd=_TOP, env=environment, stdout=subprocess.PIPE, text=True, timeout=_LONGEST, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return Measured(mode, kind, turn, {"failed": 1.0})
    return Measured(mode, kind, turn, json.loads(done.stdout.splitlines()[-1]))


def _measure_startup() -> dict[str, float]:
    """Seconds that the command's help takes, and that importing the actors takes beyond Python's own start."""

    def seconds(*arguments: str) -> float:
        taken: list[float] = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            taken.append(time.perf_counter() - began)
        return median(taken)

    return {
        "help_seconds": seconds("-m", "manystream", "--help"),
        "import_seconds": seconds("-c", "import manystream.actors") - seconds("-c", "pass"),
    }


def in_turns(modes: Sequence[str], kinds: Sequence[str], rounds: Mapping[str, int]) -> Iterator[tuple[int, str, str]]:
    """Turn, mode and kind of all measurements, in the order in which they are made: the kinds of a mode one after the
    other, so that a ratio's two figures are near each other in time."""
    for turn in range(max(rounds.values())):
        for mode in modes:
            if turn < rounds[mode]:
                yield from ((turn, mode, kind) for kind in MODES[mode] if kind in kinds)
