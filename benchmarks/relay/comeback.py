"""What a browser loses that comes back: after a reload, in a second tab, and when the worker that answers is killed.

The browser is a thread that reads the AI SDK's protocol. It comes back to another worker where there is one, as behind
a load balancer. What is lost is what of the answer is nowhere on its page in the end.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from .stacks import STACKS, TEXT, NotHereError, Running, Stack

__all__ = ["SCENARIOS", "Tab", "lost"]

_AT = 300  # characters, at which something happens
_PATIENCE = 20.0  # seconds for a browser to be told the whole
_AGAIN = 0.5  # seconds between two tries to come back


class Tab:
    """One connection of a browser, read by a thread."""

    def __init__(self, port: int, method: str, path: str, body: object = None) -> None:
        self.text = ""
        self.over = threading.Event()
        self._grew = threading.Condition()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._asked = method, path, json.dumps(body) if body is not None else None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            self._connection.request(*self._asked, headers={"content-type": "application/json"})
            for line in self._connection.getresponse():
                if line.startswith(b"data: {"):
                    delta = json.loads(line[6:]).get("delta", "")
                    with self._grew:
                        self.text += delta
                        self._grew.notify_all()
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass  # it left, or was cut off
        finally:
            self.over.set()
            with self._grew:
                self._grew.notify_all()

    def until(self, characters: int) -> None:
        """Waits for so much of the answer."""
        with self._grew:
            self._grew.wait_for(lambda: len(self.text) >= characters or self.over.is_set(), _PATIENCE)

    def leave(self) -> None:
        """Closes the connection, as a page does that is reloaded."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self.over.wait(_PATIENCE)


def _begin(running: Running, stack: Stack, chat: str) -> Tab:
    message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Tell me of the sea"}]}
    path = stack.path.replace("CHAT", chat)
    tab = Tab(running.ports[0], "POST", path, {"id": chat, "messages": [message]})
    tab.until(_AT)
    return tab


def _come_back(running: Running, chat: str) -> str:
    """What a browser has that asks again, for some time if need be."""
    end, best = time.monotonic() + _PATIENCE, ""
    while time.monotonic() < end:
        tab = Tab(running.ports[-1], "GET", f"/{chat}/stream")
        tab.over.wait(max(end - time.monotonic(), 0))
        best = max(best, tab.text, key=len)
        if len(best) >= _AT:
            break
        time.sleep(_AGAIN)
    return best


def _reload(running: Running, stack: Stack) -> int:
    chat = uuid4().hex
    _begin(running, stack, chat).leave()
    return len(TEXT) - len(_come_back(running, chat))


def _second_tab(running: Running, stack: Stack) -> int:
    chat = uuid4().hex
    first = _begin(running, stack, chat)
    second = _come_back(running, chat)
    first.over.wait(_PATIENCE)
    return len(TEXT) - min(len(first.text), len(second))


def _killed(running: Running, stack: Stack) -> int:
    chat = uuid4().hex
    tab = _begin(running, stack, chat)
    running.kill()
    tab.over.wait(_PATIENCE)
    return len(TEXT) - max(len(tab.text), len(_come_back(running, chat)))


SCENARIOS: dict[str, Callable[[Running, Stack], int]] = {
    "reload": _reload,
    "second tab": _second_tab,
    "killed worker": _killed,
}


def lost(into: Path, note: Callable[[str], object]) -> dict[str, dict[str, int]]:
    """The characters that are lost of an answer, by stack and by what happened. A stack that can't be tried here is
    left out, with a note."""
    found: dict[str, dict[str, int]] = {}
    for stack in STACKS:
        try:
            with Running(stack, into) as running:
                found[stack.name] = {name: act(running, stack) for name, act in SCENARIOS.items()}
        except NotHereError as error:
            note(f"left out: {stack.name}: {error}")
            continue
        note(f"{stack.name}: {found[stack.name]}")
    return found
