"""A relay under the servers that people use, each a process of its own: uvicorn, hypercorn on both loops, granian."""

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
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import frames_of, told

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

TOP = Path(__file__).parents[3]
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
        if process.poll() is None:
            process.kill()
        process.wait(10)


def read(connection: socket.socket, until: bytes | None = None) -> bytes:
    """The body of the response, up to its end or to a word; taken out of its chunks."""
    raw = b""
    while until is None or until not in raw:
        try:
            got = connection.recv(65536)
        except ConnectionResetError:
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


@pytest.mark.parametrize("name", SERVERS)
def test_a_browser_that_was_cut_goes_on_and_reads_to_the_end(name: str) -> None:
    from tests.support.relay_app import TEXT

    with served(name, RELAY_SPEED="100") as server:
        key = server.start("chat")
        with closing(server.open(key)) as first:
            begun = read(first, b"part_delta")
        last = [frame for frame, _, _ in frames_of(begun) if frame][-1]
        with closing(server.open(key, last)) as again:
            rest = read(again)
        assert told(begun) + told(rest) == TEXT
        assert frames_of(rest)[-1][1] == "stream_end"


@pytest.mark.parametrize("name", SERVERS)
def test_a_silent_disconnect_is_seen_in_a_fifth_of_a_second(name: str) -> None:
    with served(name, RELAY_SPEED="0.01") as server:
        key = server.start("chat")
        connection = server.open(key)
        read(connection, b"stream-open")
        server.until_tabs(1)
        connection.close()
        assert server.until_tabs(0) < 0.5  # the looks take their time


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_told_to_stop_sends_its_tabs_away_and_ends(name: str) -> None:
    with served(name, RELAY_SPEED="1") as server:
        key = server.start("chat")
        with closing(server.open(key)) as connection:
            begun = read(connection, b"part_delta")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            rest = b""
            while got := connection.recv(65536):
                rest += got
            server.process.wait(10)
        assert time.monotonic() - began < 8
        # Hypercorn's workers get no signal: it cancels what still runs after its own three seconds.
        assert b"retry: " in rest or name.startswith("hypercorn")
        assert b"stream_end" not in begun + rest


@pytest.mark.parametrize("name", SERVERS)
def test_a_client_that_reads_nothing_is_given_up(name: str) -> None:
    settings = json.dumps({"send_timeout": 1.0})
    with served(name, RELAY_SPEED="0", RELAY_SETTINGS=settings) as server:
        keys = [server.start(f"chat{number}") for number in range(3)]
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", server.port))
        with closing(slow):
            # Far more than the buffers between hold, asked for in one connection.
            slow.sendall(f"GET /{keys[0]}/stream HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            with closing(server.open(keys[1])) as other:
                assert frames_of(read(other))[-1][1] == "stream_end"  # the others go on meanwhile
