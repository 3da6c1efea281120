"""Who lets a browser come back: each stack's workers, started and killed, and the server that they share."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import attrs

__all__ = ["PACE", "STACKS", "TEXT", "NotHereError", "Running", "Stack"]

_PROGRAMS = Path(__file__).parent / "programs"
_WORDS = ("the", "sea", "is", "calm", "and", "carries", "ships", "from", "one", "harbour", "to", "the", "next")
TEXT = " ".join(f"{_WORDS[number % len(_WORDS)]}{number}" for number in range(200))
"""What is always answered; no word comes twice, so that what lacks would show."""
PACE = 40.0  # words a second


class NotHereError(Exception):
    """The stack can't be tried on this machine; the message says what lacks."""


def _tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise NotHereError(f"{name} is not installed here")
    return path


@attrs.frozen
class Stack:
    name: str
    servers: str
    """What has to run beside the workers."""
    command: Callable[[Path], list[str]]
    workers: int = 1
    environment: Callable[[Path], dict[str, str]] = lambda _: {}
    path: str = "/"
    """Where a chat is asked."""
    redis: bool = False


def _python(*more: str) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, str(_PROGRAMS / "worker.py"), *more]


def _store(takeover: str) -> Callable[[Path], dict[str, str]]:
    return lambda folder: {"STORE": f"sqlite:{folder / 'relay.db'}", "TAKEOVER": takeover}


def _ai_sdk(into: Path) -> list[str]:
    node, folder = _tool("node"), into / "node"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "ready").exists():
        shutil.copy(_PROGRAMS / "package.json", folder)
        subprocess.run(
            [_tool("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        (folder / "ready").touch()
    shutil.copy(_PROGRAMS / "ai_sdk.mjs", folder)
    return [node, str(folder / "ai_sdk.mjs")]


STACKS = [
    Stack("Starlette's StreamingResponse", "none", _python("plain")),
    Stack("manystream, memory", "none", _python()),
    Stack("manystream, SQLite", "none", _python(), 2, _store("interrupted")),
    Stack("manystream, SQLite, takeover=continue", "none", _python(), 2, _store("continue")),
    Stack("AI SDK with resumable-stream", "Redis", _ai_sdk, 2, path="/CHAT", redis=True),
]


class Running:
    """A stack's workers. A context manager."""

    def __init__(self, stack: Stack, into: Path) -> None:
        self._stack = stack
        self._command = stack.command(into)
        self._processes: list[subprocess.Popen[str]] = []
        self.ports: list[int] = []
        """The workers' ports, in the order in which they were started."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._environment = {**os.environ, "TEXT": TEXT, "PACE": str(PACE), **self._stack.environment(folder)}
        if self._stack.redis:
            self._environment["REDIS_URL"] = self._start_redis(folder)
        for _ in range(self._stack.workers):
            self.start()
        return self

    def start(self) -> None:
        """One more worker."""
        process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._processes.append(process)
        assert process.stdout is not None
        self.ports.append(json.loads(process.stdout.readline())["port"])

    def kill(self) -> None:
        """The first worker dies, as by the operating system's hand, and where there is no other, another begins."""
        self._workers[0].kill()
        self._workers[0].wait()
        if self._stack.workers == 1:
            self.start()

    @property
    def _workers(self) -> list[subprocess.Popen[str]]:
        return self._processes[1:] if self._stack.redis else self._processes

    def _start_redis(self, folder: Path) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--port", str(port), "--save", "", "--dir", str(folder)]
        self._processes.append(
            subprocess.Popen([_tool("redis-server"), *options], stdout=subprocess.DEVNULL, text=True)
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        return f"redis://127.0.0.1:{port}"

    def __exit__(self, *_: Any) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._folder.cleanup()
