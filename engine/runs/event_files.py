"""Live part events as JSON Lines, for other programs: a file for each request in a directory, or standard output.

Lines are collected until `flush`, which blocks and is called from a thread. A request's file is emptied when the
request is run again, so it holds the events of its last run. Few files are open at a time, however many streams run.
"""

import os
import threading
from collections import OrderedDict
from contextlib import ExitStack
from hashlib import blake2b
from typing import IO
from urllib.parse import quote

from ...actors.stream import StreamEndEvent, TaggedEvent, encode_event
from ...actors.wire import json_text
from .output import OutputError, StoreError

__all__ = ["EventDirectory", "EventOutput", "open_event_files"]

_OPEN_FILES = 64
_LONGEST_NAME = 200  # of the 255 that systems take
_STDOUT = 1


class EventOutput:
    """Events of all requests on standard output, each as `{"custom_id": …, "event": {…}}`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether any lines wait for `flush`."""
        return bool(self._lines)

    def add(self, tagged: TaggedEvent) -> None:
        """Adds an event, which the next `flush` writes."""
        self._lines.append(f'{{"custom_id":{json_text(tagged.custom_id)},"event":{encode_event(tagged.event)}}}\n')

    def flush(self) -> None:
        """Writes the lines that wait. Raises `OutputError` when that fails."""
        with self._lock:
            lines, self._lines = self._lines, []
            data = memoryview("".join(lines).encode("ascii"))
            try:
                while data:
                    data = data[os.write(_STDOUT, data) :]
            except OSError as exc:
                raise _failure("stdout", exc) from exc

    def close(self) -> None:
        """Does nothing: standard output stays open."""


class EventDirectory:
    """A file of events for each request: `<custom_id>.jsonl`, with `%XX` for characters that a file name can't have."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lines: dict[str | None, list[str]] = {}
        self._begun: set[str | None] = set()
        self._ended: set[str | None] = set()
        self._files: OrderedDict[str | None, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether any lines wait for `flush`."""
        return bool(self._lines)

    def add(self, tagged: TaggedEvent) -> None:
        """Adds an event, which the next `flush` writes."""
        self._lines.setdefault(tagged.custom_id, []).append(encode_event(tagged.event) + "\n")
        if isinstance(tagged.event, StreamEndEvent):
            self._ended.add(tagged.custom_id)

    def flush(self) -> None:
        """Writes the lines that wait. Raises `OutputError` when that fails."""
        with self._lock:
            waiting, self._lines = self._lines, {}
            ended, self._ended = self._ended, set()
            for custom_id, lines in waiting.items():
                path = os.path.join(self._directory, f"{_name(custom_id)}.jsonl")
                try:
                    file = self._file(custom_id, path)
                    file.write("".join(lines).encode("ascii"))
                    file.flush()
                    if custom_id in ended:
                        self._begun.discard(custom_id)
                        self._files.pop(custom_id).close()
                except OSError as exc:
                    raise _failure(path, exc) from exc

    def _file(self, custom_id: str | None, path: str) -> IO[bytes]:
        file = self._files.pop(custom_id, None)
        if file is None:
            if len(self._files) >= _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            file = open(path, "ab" if custom_id in self._begun else "wb")  # noqa: SIM115
            self._begun.add(custom_id)
        self._files[custom_id] = file
        return file

    def close(self) -> None:
        """Closes all files."""
        with self._lock, ExitStack() as files:
            for file in self._files.values():
                files.callback(file.close)
            self._files.clear()


def open_event_files(where: str) -> EventOutput | EventDirectory:
    """Opens the place for the events: `-` is standard output, anything else a directory, which is created if necessary.

    Raises `OutputError` when it can't be created or written to.
    """
    if where == "-":
        return EventOutput()
    if not where:
        raise OutputError("the events have no place: name a directory for their files, or `-` for standard output")
    try:
        os.makedirs(where, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{where}: is no directory: name one for the files of events, or `-`") from None
    except OSError as exc:
        raise OutputError(f"{where}: {(exc.strerror or str(exc)).lower()}") from exc
    if not os.access(where, os.W_OK | os.X_OK):
        raise OutputError(f"{where}: can't be written to")
    return EventDirectory(where)


def _name(custom_id: str | None) -> str:
    """The id as a file name; an id that is too long is cut and ends in a hash."""
    name = quote(custom_id or "none", safe="", errors="surrogatepass")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 17]}-{blake2b(name.encode(), digest_size=8).hexdigest()}"


def _failure(path: str, exc: OSError) -> StoreError:
    return StoreError(f"{path}: {(exc.strerror or str(exc)).lower()}")
