"""Simulators on request: an HTTP server through which programs in any language get one of their own for each case.

    POST   /                {"settings": {...}, "script": [...]}   -> {"id": "1", "url": "http://127.0.0.1:..."}
    POST   /1/script        [step, ...]
    GET    /1/requests                                             -> [{"path", "method", "status", "json", ...}, ...]
    DELETE /1

Settings and steps are those of a scenario's file, in JSON: `529`, `"a text"`, `{"fail": {...}}`, `{"cut": {...}}`, ...
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, cast

from manystream import Simulator
from manystream.engine.simulator import RecordedRequest, Scenario, read_scenario

__all__ = ["Keeper", "kept"]


class Keeper:
    """The simulators that are being served, by their number. Safe to use from any thread."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._served: dict[str, tuple[Simulator, ExitStack]] = {}
        self._lock = threading.Lock()

    def start(self, settings: dict[str, Any], script: list[Any]) -> dict[str, str]:
        """Serves one more; returns its number and where it is."""
        simulator = Simulator.from_scenario(_scenario({**settings, "script": script}))
        stack = ExitStack()
        stack.enter_context(simulator.in_thread())
        with self._lock:
            number = str(next(self._numbers))
            self._served[number] = (simulator, stack)
        return {"id": number, "url": simulator.url}

    def script(self, number: str, steps: list[Any]) -> None:
        """Adds steps to a simulator's script."""
        read: Any = _scenario({"script": steps}).script
        self._served[number][0].script(read)

    def requests(self, number: str) -> list[dict[str, Any]]:
        """Returns what a simulator was asked so far."""
        return [_described(request) for request in self._served[number][0].requests]

    def stop(self, number: str) -> None:
        """Ends a simulator."""
        with self._lock:
            _, stack = self._served.pop(number)
        stack.close()

    def stop_all(self) -> None:
        """Ends those that nobody has ended."""
        for number in list(self._served):
            self.stop(number)


@contextmanager
def kept() -> Generator[str]:
    """Serves a keeper on loopback, in a thread of its own; gives its URL."""
    keeper = Keeper()

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/":
                self._answer(lambda: keeper.start(told.get("settings") or {}, told.get("script") or []))
            else:
                self._answer(lambda: keeper.script(self.path.split("/")[1], told))

        def do_GET(self) -> None:
            self._answer(lambda: keeper.requests(self.path.split("/")[1]))

        def do_DELETE(self) -> None:
            self._answer(lambda: keeper.stop(self.path.split("/")[1]))

        def _answer(self, ask: Callable[[], object]) -> None:
            try:
                status, said = 200, ask()
            except Exception as error:  # whatever it is, the program that asked has to know
                status, said = 400, {"error": f"{type(error).__name__}: {error}"}
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    thread = threading.Thread(target=server.serve_forever, name="keeper", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        keeper.stop_all()


def _scenario(table: dict[str, Any]) -> Scenario:
    """The scenario that a file with these entries is."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.toml"
        file.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in table.items()), encoding="utf-8")
        return read_scenario(file)


def _toml(value: object) -> str:
    """JSON's values in TOML's words, which has the same but for tables and no null."""
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value).items()
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(entry)}" for name, entry in entries) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, cast("list[object]", value))) + "]"
    return json.dumps(value, ensure_ascii=False)


def _described(request: RecordedRequest) -> dict[str, Any]:
    return {
        "method": request.method,
        "target": request.target,
        "path": request.path,
        "headers": dict(request.headers),
        "json": request.json,
        "status": request.status,
        "outcome": request.outcome,
        "bytes_sent": request.bytes_sent,
        "input_tokens": request.input_tokens,
        "output_tokens": request.output_tokens,
    }
