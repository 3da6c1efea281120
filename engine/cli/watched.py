"""The run's side of `manystream watch`: whoever connects to the run's socket is told how it goes, four times a second.

The socket has a thread of its own, which sleeps while nobody watches, and which alone ever waits for a watcher. The
event loop makes what is to be told, and only while somebody watches. A watcher that doesn't keep up misses what came
meanwhile. A watcher says `{"width": 80}` for the live view or `{"figures": true}`, and nothing else is listened to.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from ..runs.figures import Figures
from ..runs.rates import Rates, Speed
from ..stats import EngineStats
from .frames import encode, figures_now, lines_to
from .telling import heard, say
from .view import live_lines, plain_line
from .watch_place import new_socket

__all__ = ["VERSION", "Wanted", "Watched"]

VERSION = 1
"""Of what is said between a run and its watchers."""
Wanted = int | Literal["figures"]
"""What a watcher wants: the live view of so many columns, or the figures."""

_TICK = 0.25  # seconds between two views
_FIGURES = 1.0  # seconds between two lines of figures
_MOST_WATCHERS = 16
_MOST_SAID = 1000  # bytes of a watcher's request
_COLUMNS = range(20, 501)
_STUCK = 1.0  # seconds without taking anything, after which the end doesn't wait for a watcher
_LAST_WORDS = 0.3  # seconds for all watchers together to take the end


class Watched:
    """A run that can be watched, from `open` until the block is left. Without a safe place for the socket, as on
    Windows, it can't be watched, and goes on all the same; so it does when anything fails here."""

    def __init__(self) -> None:
        self._room: _Room | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._harmless():
            self._close(None)

    def _close(self, end: bytes | None) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.close(end)

    @contextmanager
    def _harmless(self) -> Generator[None]:
        try:
            yield
        except Exception as exc:
            with suppress(Exception):
                self._close(None)
            say(f"the run can't be watched any more: {type(exc).__name__}; it continues")

    def open(self, output: str) -> None:
        """Opens the socket of a run that writes `output` and has locked its journal: so any socket that lies there was
        left by a run that was killed."""
        if sys.platform == "win32":
            return
        with self._harmless(), suppress(OSError):
            path = new_socket(output)
            if path is not None:
                self._room = _Room(path)

    async def keep_telling(self, figures: Figures, stats: Callable[[], EngineStats]) -> None:
        """Tells those who watch. Runs until it is cancelled, or fails."""
        rates = Rates(figures)
        figures_at = 0.0
        while self._room is not None:
            await anyio.sleep(_TICK)
            with self._harmless():
                wanted = self._room.wanted
                if not wanted:
                    continue
                due = anyio.current_time() - figures_at >= _FIGURES - _TICK / 2
                if due and "figures" in wanted:
                    figures_at = anyio.current_time()
                wanted = [one for one in wanted if due or one != "figures"]
                self._room.tell(_told(wanted, figures, rates.sample(), stats()))

    def conclude(self, conclude: Callable[[], int], figures: Callable[[], dict[str, Any] | None]) -> int:
        """Calls what prints the run's last words and returns its exit status, and tells them to those who watch."""
        with heard() as said:
            status = conclude()
        if self._room is not None:
            with self._harmless():
                self._close(encode({"end": {"status": int(status), "said": said, "figures": figures()}}))
        return status


def _told(wanted: Iterable[Wanted], figures: Figures, speed: Speed, stats: EngineStats) -> dict[Wanted, bytes]:
    told: dict[Wanted, bytes] = {}
    for one in wanted:
        if isinstance(one, str):
            told[one] = encode({"figures": figures_now(figures, speed, stats)})
        else:
            lines = lines_to(live_lines(figures, speed, stats, one))
            plain = plain_line(figures, speed, stats)
            told[one] = encode({"lines": lines, "plain": plain, "seconds": figures.seconds})
    return told


class _Watcher:
    """A connection of somebody who watches. Only the room's thread uses it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.wanted: Wanted | None = None
        self._asked = b""
        self._sending = encode({"version": VERSION})
        self._next = b""
        self._took_at = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether there is something that it has not taken."""
        return bool(self._sending)

    @property
    def is_stuck(self) -> bool:
        return self.waits and time.monotonic() - self._took_at > _STUCK

    def listen(self) -> None:
        """Reads what it wants. Raises `OSError` when it is gone, or says what it may not."""
        data = self.connection.recv(_MOST_SAID)
        *lines, self._asked = (self._asked + data).split(b"\n")
        if not data or len(self._asked) > _MOST_SAID:
            raise OSError("gone")
        for line in lines:
            self.wanted = _wanted(line)

    def tell(self, message: bytes) -> None:
        """Gives it a message, in place of the one that waits."""
        if self._sending:
            self._next = message
        else:
            self._sending = message
            self._took_at = time.monotonic()
        self.send()

    def send(self) -> None:
        """Sends what it takes now. Raises `OSError` when it is gone."""
        with suppress(BlockingIOError):
            while self._sending:
                self._sending = self._sending[self.connection.send(self._sending) :]
                self._took_at = time.monotonic()
                if not self._sending:
                    self._sending, self._next = self._next, b""


def _wanted(line: bytes) -> Wanted:
    try:
        said: Any = json.loads(line)
        if said == {"figures": True}:
            return "figures"
        width: Any = said["width"]
        return max(_COLUMNS[0], min(_COLUMNS[-1], int(width)))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise OSError("not a watcher") from None


class _Room:
    """The socket, its watchers, and the thread that serves them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._identity = _identity(path)
            self._listener.listen()
            self._listener.setblocking(False)
        except OSError:
            self._listener.close()
            raise
        self._bell, self._ring = socket.socketpair()
        for end in (self._bell, self._ring):
            end.setblocking(False)
        self._watchers: dict[socket.socket, _Watcher] = {}
        self._lock = threading.Lock()
        self._told: Mapping[Wanted, bytes] = {}
        self._end: bytes | None = None
        self._closing = False
        self._failure: Exception | None = None
        self.wanted: frozenset[Wanted] = frozenset()
        """What those who watch want; empty when nobody does."""
        self._thread = threading.Thread(target=self._serve, name="manystream watch", daemon=True)
        self._thread.start()

    def tell(self, told: Mapping[Wanted, bytes]) -> None:
        """Tells each watcher what it wants of this. Returns at once. Raises what has ended the thread."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            self._told = told
        self._wake()

    def close(self, end: bytes | None) -> None:
        """Says a last word to those who watch, if there is one, and closes the socket. Waits only for who listens."""
        with self._lock:
            self._end, self._closing = end, True
        try:
            self._wake()
            self._thread.join(2 * _LAST_WORDS + 1)
        finally:
            with suppress(OSError):
                if _identity(self._path) == self._identity:  # it may be a later run's by now
                    os.unlink(self._path)

    def _wake(self) -> None:
        with suppress(OSError):  # it is awake, or has ended
            self._ring.send(b"!")

    # -- in the thread

    def _serve(self) -> None:
        try:
            with self._listener, self._bell, self._ring, selectors.DefaultSelector() as selector:
                self._serve_with(selector)
        except Exception as exc:
            self._failure = exc
        finally:
            for watcher in self._watchers.values():
                watcher.connection.close()

    def _serve_with(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._listener, selectors.EVENT_READ)
        selector.register(self._bell, selectors.EVENT_READ)
        while not self._closing:
            self._answer(selector, selector.select())
        self._say_goodbye(selector)

    def _answer(self, selector: selectors.BaseSelector, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, events in ready:
            if key.fileobj is self._listener:
                self._welcome(selector)
            elif key.fileobj is self._bell:
                self._hand_out(selector)
            elif (watcher := self._watcher(key)) is not None:
                self._attend(selector, watcher, events)

    def _watcher(self, key: selectors.SelectorKey) -> _Watcher | None:
        """None for one who was sent away since the selector saw it ready."""
        return self._watchers.get(key.fileobj)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def _welcome(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone already, or there are too many open files
            time.sleep(_TICK)
            return
        if len(self._watchers) >= _MOST_WATCHERS:
            connection.close()
            return
        connection.setblocking(False)
        watcher = self._watchers[connection] = _Watcher(connection)
        selector.register(connection, selectors.EVENT_READ)
        self._attend(selector, watcher, selectors.EVENT_WRITE)

    def _hand_out(self, selector: selectors.BaseSelector) -> None:
        with suppress(BlockingIOError):
            self._bell.recv(4096)
        with self._lock:
            told, self._told = self._told, {}
        for watcher in list(self._watchers.values()):
            if watcher.wanted is not None and watcher.wanted in told:
                self._attend(selector, watcher, 0, told[watcher.wanted])

    def _attend(self, selector: selectors.BaseSelector, watcher: _Watcher, events: int, told: bytes = b"") -> None:
        try:
            if events & selectors.EVENT_READ:
                watcher.listen()
                self._count()
            if told:
                watcher.tell(told)
            else:
                watcher.send()
        except OSError:
            self._dismiss(selector, watcher)
            return
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        selector.modify(watcher.connection, both if watcher.waits else selectors.EVENT_READ)

    def _dismiss(self, selector: selectors.BaseSelector, watcher: _Watcher) -> None:
        selector.unregister(watcher.connection)
        watcher.connection.close()
        del self._watchers[watcher.connection]
        self._count()

    def _count(self) -> None:
        self.wanted = frozenset(one.wanted for one in self._watchers.values() if one.wanted is not None)

    def _say_goodbye(self, selector: selectors.BaseSelector) -> None:
        for watcher in list(self._watchers.values()):
            if self._end is None or watcher.is_stuck:
                self._dismiss(selector, watcher)
            else:
                self._attend(selector, watcher, 0, self._end)
        until = time.monotonic() + _LAST_WORDS
        while (left := until - time.monotonic()) > 0 and any(one.waits for one in self._watchers.values()):
            for key, _ in selector.select(left):
                if (watcher := self._watcher(key)) is not None:
                    self._attend(selector, watcher, selectors.EVENT_WRITE)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
