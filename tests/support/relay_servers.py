"""Relays under real servers, each a process of its own, and browsers' connections to them."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

__all__ = ["SERVERS", "Served", "read", "served", "unchunked"]

TOP = Path(__file__).parents[2]
APP = "tests.support.relay_app:app"
SERVERS: dict[str, Callable[[str], list[str]]] = {
    "uvicorn": lambda port: ["uvicorn", APP, "--port", port, "--log-level", "warning"],
    "hypercorn": lambda port: ["hypercorn", APP, "--bind", f"127.0.0.1:{port}"],
    "hypercorn-trio": lambda port: ["hypercorn", APP, "--bind", f"127.0.0.1:{port}", "--worker-class", "trio"],
    "granian": lambda port: ["granian", APP, "--port", port, "--interface", "asgi"],
}


class Served:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def start(self, key: str) -> str:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/",
            json.dumps({"id": key, "message": "hi"}).encode(),
            {"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["id"]

    def open(self, name: str, last: str = "") -> socket.socket:
        """A browser's connection, whose response has begun to come."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        more = f"last-event-id: {last}\r\n" if last else ""
        connection.sendall(f"GET /{name}/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n{more}\r\n".encode())
        return connection

    def until_tabs(self, number: int, patience: float = 5.0) -> float:
        began = time.monotonic()
        while self.get("/stats")["tabs"] != number:
            assert time.monotonic() - began < patience
            time.sleep(0.02)
        return time.monotonic() - began


@contextmanager
def served(name: str, **environment: str) -> Generator[Served]:
    command = name.partition("-")[0]
    if importlib.util.find_spec(command) is None:
        pytest.skip(f"{command} is not installed")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[name](str(port))],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "src")]), **environment},
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 40
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        yield Served(process, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, which outlive it
        process.wait(10)


def read(connection: socket.socket, until: bytes | None = None) -> bytes:
    """The body of the response, up to its end or to a word; taken out of its chunks."""
    raw = b""
    while until is None or until not in raw:
        try:
            got = connection.recv(65536)
        except OSError:
            break
        if not got:
            break
        raw += got
        if raw.endswith(b"\r\n0\r\n\r\n"):
            break
    return unchunked(raw.partition(b"\r\n\r\n")[2])


def unchunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length or len(rest) < length:
            break
        body, raw = body + rest[:length], rest[length + 2 :]
    return body
