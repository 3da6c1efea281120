"""Browsers of an ASGI app, without a server: each is one connection."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import anyio
from anyio.abc import TaskGroup

__all__ = ["Browser", "frames_of", "told"]

App = Callable[[Any, Any, Any], Awaitable[object]]


class Browser:
    """One request, and what came for it so far. `stuck` reads nothing; `leave` cuts the connection."""

    def __init__(
        self,
        app: App,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        body: Any = None,
        root_path: str = "",
    ) -> None:
        self.app = app
        self.sent: list[bytes] = []
        """The body's pieces, as they were sent."""
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.finished = False
        """The response came to its end."""
        self.over = anyio.Event()
        """The app has returned."""
        self.stuck = False
        self._gone = anyio.Event()
        self._changed = anyio.Event()
        self._body = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self._asked = False
        self.scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": method,
            "scheme": "http",
            "path": root_path + path,
            "root_path": root_path,
            "headers": [(name.lower().encode(), value.encode()) for name, value in (("host", "app.test"), *headers)],
        }

    async def run(self) -> None:
        try:
            await self.app(self.scope, self._receive, self._send)
        finally:
            self.over.set()
            self._changed.set()

    async def alone(self) -> "Browser":
        """Asks, and waits for the end."""
        await self.run()
        return self

    def among(self, tasks: TaskGroup) -> "Browser":
        """Asks, in a task of its own."""
        tasks.start_soon(self.run)
        return self

    def leave(self) -> None:
        self._gone.set()

    async def until(self, condition: Callable[["Browser"], bool]) -> None:
        """Waits until the condition holds of this browser."""
        while not condition(self):
            assert not self.over.is_set(), self.text
            self._changed = anyio.Event()
            await self._changed.wait()

    @property
    def body(self) -> bytes:
        return b"".join(self.sent)

    @property
    def text(self) -> str:
        return told(self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.stuck:
            await anyio.sleep_forever()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif not self._gone.is_set():
            if message["body"]:
                self.sent.append(message["body"])
            self.finished = not message.get("more_body", False)
        self._changed.set()


def frames_of(body: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """The frames of our own events: id, event's name and data. Comments and words to the browser are left out."""
    frames: list[tuple[str, str, dict[str, Any]]] = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            frames.append((fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"])))
    return frames


def told(body: bytes) -> str:
    """The text that a reader of our own events has by now, who checks that there is no gap and no repeat."""
    text, number = "", None
    for _, event, data in frames_of(body):
        if event == "reset":
            text, number = "", 0
            continue
        assert number is None or data["first_seq"] == number + 1, (event, data, number)
        number = data["seq"]
        if event == "restart":
            text = ""
        text += data.get("text", "")
    return text
