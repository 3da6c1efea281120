"""The results file: whole lines, each in the file as soon as its answer is there, and never half a line at the end.

It is only ever added to. What a run that was killed left is read again by lines, and a line that was torn is cut off.
"""

import contextlib
import json
import os
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["OutputError", "ResultFile", "StoreError"]

_STDOUT = 1


class OutputError(Exception):
    """The results can't be written. The message is one line: which file, and why."""


class StoreError(OutputError):
    """The system would not write: a full disk, a lock, a file that is gone. What was asked for was right."""


class ResultFile:
    """A file of results; `-` is standard output. Its methods block, except `add`.

    `check` finds out whether it may be written and touches nothing; `open` creates it, or empties it, or goes on at its
    end.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = os.fspath(path)
        self.overwrite = overwrite
        self._descriptor = -1
        self._regular = False
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()
        self.written = 0
        """How many lines have been written whole."""

    @property
    def name(self) -> str:
        """Its path, or `stdout`."""
        return "stdout" if self._path == "-" else self._path

    @property
    def path(self) -> str | None:
        """Its path; None when it is no regular file, so that nothing of it can be read again."""
        if self._path == "-":
            return None
        try:
            return self._path if stat.S_ISREG(os.stat(self._path).st_mode) else None
        except OSError:
            return self._path  # it will be made

    def check(self, source: str | None = None, *, resumable: bool = False) -> None:
        """Raises `OutputError` when it can't become the results of `source`, the input's path. `resumable` says that
        what is in it is to stay."""
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
            raise OutputError(f"{self._path}: {(exc.strerror or str(exc)).lower()}") from exc
        if stat.S_ISDIR(found.st_mode):
            raise OutputError(f"{self._path}: is a directory")
        if source not in (None, "-") and os.path.exists(source) and os.path.samefile(source, self._path):
            raise OutputError(f"{self._path}: the output is the input")
        # What isn't a regular file (a device, a pipe) holds nothing that could be lost; neither does an empty file.
        if stat.S_ISREG(found.st_mode) and found.st_size and not self.overwrite and not resumable:
            raise OutputError(f"{self._path}: exists already, without a journal to go on from; --overwrite replaces it")
        if not os.access(self._path, os.W_OK):
            raise OutputError(f"{self._path}: can't be written to")

    def open(self, *, resumable: bool = False) -> None:
        """Raises `OutputError` when it can't be opened."""
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
        if self._path != "-":
            self.check(resumable=resumable)
        try:
            if self._path == "-":
                self._descriptor = os.dup(_STDOUT)
                return
            self._descriptor = os.open(self._path, flags, 0o666)
            self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._regular and not resumable:
                os.ftruncate(self._descriptor, 0)
            if self._regular:
                self._size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as exc:
            raise self._failure(exc) from exc

    def lines(self) -> Iterator[bytes]:
        """The whole lines that are in it, one after the other. What stands behind the last line feed is made a line
        when it is one but for that, and cut off otherwise. Raises `OutputError`."""
        try:
            with open(self._path, "rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield line
                        continue
                    if _is_json(line):
                        os.write(self._descriptor, b"\n")
                        self._size += 1
                        yield line
                    else:
                        self._size -= len(line)
                        os.ftruncate(self._descriptor, self._size)
                        os.lseek(self._descriptor, self._size, os.SEEK_SET)
                    return
        except OSError as exc:
            raise self._failure(exc) from exc

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Replaces all of it by `lines`, which may be made of its own, at one stroke. Raises `OutputError`; then it is
        as it was."""
        beside = f"{self._path}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(beside, flags, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.writelines(lines)
                os.fsync(descriptor)
                os.replace(beside, self._path)
            except BaseException:
                os.close(descriptor)
                with contextlib.suppress(OSError):
                    os.unlink(beside)
                raise
        except OSError as exc:
            raise self._failure(exc) from exc
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, os.lseek(descriptor, 0, os.SEEK_END)

    def add(self, line: bytes) -> None:
        """A line to write at the next `flush`."""
        self._waiting.append(line)

    def flush(self) -> None:
        """Writes the lines that wait. Raises `OutputError` when it can't; `written` says how many it could.

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
                self.written += bytes(data[:whole]).count(b"\n")
                if self._regular:
                    self._size += whole
                    with contextlib.suppress(OSError):
                        os.ftruncate(self._descriptor, self._size)
                        os.lseek(self._descriptor, self._size, os.SEEK_SET)
                raise self._failure(exc) from exc
            self._size += written
            self.written += len(lines)

    def check_there(self) -> None:
        """Raises `StoreError` when the file was removed: what is written then is lost when it is closed."""
        if self._regular and not os.fstat(self._descriptor).st_nlink:
            raise StoreError(f"{self.name}: was removed while it was written")

    def sync(self) -> None:
        """Has the system put what was written onto the disk. Raises `OutputError` when it can't."""
        if self._regular:
            with self._lock:
                try:
                    os.fsync(self._descriptor)
                except OSError as exc:
                    raise self._failure(exc) from exc

    def close(self) -> None:
        """Raises `OutputError` when the system tells only now that something was not written."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError as exc:
                raise self._failure(exc) from exc

    def _failure(self, exc: OSError) -> StoreError:
        return StoreError(f"{self.name}: {(exc.strerror or str(exc)).lower()}")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
