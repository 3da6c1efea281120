"""The results file: whole lines, each in the file as soon as its answer is there, and never half a line at the end."""

import contextlib
import os
import stat
import threading
from collections import deque

__all__ = ["OutputError", "ResultFile"]

_STDOUT = 1


class OutputError(Exception):
    """The results can't be written. The message is one line: which file, and why."""


class ResultFile:
    """A file of results; `-` is standard output. Its methods block, except `add`.

    `check` finds out whether it may be written and touches nothing; `open` creates it, or empties it.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = os.fspath(path)
        self._overwrite = overwrite
        self._descriptor = -1
        self._regular = False
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self.lines = 0
        """How many lines have been written whole."""

    @property
    def name(self) -> str:
        """Its path, or `stdout`."""
        return "stdout" if self._path == "-" else self._path

    def check(self, source: str | None = None) -> None:
        """Raises `OutputError` when it can't become the results of `source`, the input's path."""
        if self._path == "-":
            return
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            directory = os.path.dirname(self._path) or "."
            if not os.path.isdir(directory):
                raise OutputError(f"{self._path}: there is no directory {directory}") from None
            if not os.access(directory, os.W_OK | os.X_OK):
                raise OutputError(f"{self._path}: the directory {directory} can't be written to") from None
            return
        except OSError as exc:
            raise self._failure(exc) from exc
        if stat.S_ISDIR(found.st_mode):
            raise OutputError(f"{self._path}: is a directory")
        if source not in (None, "-") and os.path.exists(source) and os.path.samefile(source, self._path):
            raise OutputError(f"{self._path}: the output is the input")
        # What isn't a regular file (a device, a pipe) holds nothing that could be lost; neither does an empty file.
        if stat.S_ISREG(found.st_mode) and found.st_size and not self._overwrite:
            raise OutputError(f"{self._path}: exists already; --overwrite replaces it")
        if not os.access(self._path, os.W_OK):
            raise OutputError(f"{self._path}: can't be written to")

    def open(self) -> None:
        """Raises `OutputError` when it can't be opened."""
        if self._path == "-":
            self._descriptor = os.dup(_STDOUT)
            return
        self.check()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        try:
            self._descriptor = os.open(self._path, flags, 0o666)
        except OSError as exc:
            raise self._failure(exc) from exc
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def add(self, line: bytes) -> None:
        """A line to write at the next `flush`."""
        self._waiting.append(line)

    def flush(self) -> None:
        """Writes the lines that wait. Raises `OutputError` when it can't; `lines` says how many it could.

        From any thread, and again after an interruption: no line is written twice.
        """
        with self._lock:
            lines: list[bytes] = []
            while self._waiting:
                lines.append(self._waiting.popleft())
            data = memoryview(b"".join(lines))
            written = 0
            try:
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except OSError as exc:
                whole = bytes(data[:written]).rfind(b"\n") + 1
                self.lines += bytes(data[:whole]).count(b"\n")
                if self._regular:
                    with contextlib.suppress(OSError):
                        os.ftruncate(self._descriptor, self._size + whole)
                raise self._failure(exc) from exc
            self._size += written
            self.lines += len(lines)

    def close(self) -> None:
        """Raises `OutputError` when the system tells only now that something was not written."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError as exc:
                raise self._failure(exc) from exc

    def _failure(self, exc: OSError) -> OutputError:
        return OutputError(f"{self.name}: {(exc.strerror or str(exc)).lower()}")
