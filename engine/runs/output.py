"""The results file: whole lines, never half a line at the end.

Lines are only appended. When a killed run is continued, its lines are read again and a torn last line is cut off. What
was written to a file that somebody removes or replaces meanwhile is saved beside it.
"""

import contextlib
import json
import os
import stat
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["OutputError", "ResultFile", "StoreError"]

_STDOUT = 1


class OutputError(Exception):
    """The results can't be written. The message is one line: which file, and why."""


class StoreError(OutputError):
    """The system failed to write, though the command was right: a full disk, a lock, a file that is gone."""


class ResultFile:
    """A file of results; `-` is standard output. Its methods block, except `add`.

    `check` finds out whether it may be written and changes nothing. `open` creates it, empties it, or continues at its
    end.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = os.fspath(path)
        self.overwrite = overwrite
        self._descriptor = -1
        self._regular = False
        self._size = 0
        self._loss: str | None = None  # what became of the file, once that is known
        self._rescue: tuple[str, int] | None = None  # where its lines are saved
        self._waiting: deque[bytes] = deque()
        self._torn = 0  # how many bytes of the next line are written already, where they can't be cut off
        self._lock = threading.Lock()
        self.written = 0
        """How many lines have been written whole."""

    @property
    def name(self) -> str:
        """Its path, or `stdout`."""
        return "stdout" if self._path == "-" else self._path

    @property
    def path(self) -> str | None:
        """Its path; None when it is not a regular file, so that it can't be read again."""
        if self._path == "-":
            return None
        try:
            return self._path if stat.S_ISREG(os.stat(self._path).st_mode) else None
        except OSError:
            return self._path  # it will be created

    def check(self, source: str | None = None, *, resumable: bool = False) -> None:
        """Raises `OutputError` when it can't become the results of `source`, the input's path. With `resumable` it may
        have content, which is kept."""
        if self._path == "-":
            return
        if not self._path:
            raise OutputError("the output has no name: give the path of the results file, or - for standard output")
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
        """Opens the file; with `resumable` its content is kept. Raises `OutputError` when that fails."""
        if self._path != "-":
            self.check(resumable=resumable)
        try:
            if self._path == "-":
                self._descriptor = os.dup(_STDOUT)
                return
            self._descriptor = self._open_file()
            self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._regular and not resumable:
                os.ftruncate(self._descriptor, 0)
            if self._regular:
                self._size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as exc:
            raise self._failure(exc) from exc

    def _open_file(self) -> int:
        flags = os.O_CREAT | getattr(os, "O_BINARY", 0)
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.stat(self._path).st_mode):
                return os.open(self._path, flags | os.O_WRONLY)
        with contextlib.suppress(PermissionError):
            return os.open(self._path, flags | os.O_RDWR, 0o666)  # to read, so that its lines can be saved
        return os.open(self._path, flags | os.O_WRONLY, 0o666)

    def lines(self) -> Iterator[bytes]:
        """The lines of the file, one after another. What follows the last line feed gets its own if it is JSON, and is
        cut off otherwise. Raises `OutputError`."""
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
        """Replaces the content by `lines`, which may come from the file itself, in one step. Raises `OutputError`; then
        the file is unchanged. A symbolic link stays one: the file that it names is replaced."""
        path = os.path.realpath(self._path)
        beside = f"{path}.manystream-new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            # What has this name was left by a run that was killed, or put there for us to write through it.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            try:
                descriptor = os.open(beside, flags, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
                with open(descriptor, "wb") as file:
                    file.writelines(lines)
                    file.flush()
                    os.fsync(descriptor)
                self._replace(beside, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside)
                raise
        except OSError as exc:
            raise self._failure(exc) from exc

    def _replace(self, beside: str, path: str) -> None:
        """Puts the file `beside` in place of ours, which is closed meanwhile: Windows replaces no open file."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        try:
            os.replace(beside, path)
        finally:
            self._descriptor = self._open_file()
            self._size = os.lseek(self._descriptor, 0, os.SEEK_END)

    def add(self, line: bytes) -> None:
        """Adds a line, which the next `flush` writes."""
        self._waiting.append(line)

    def flush(self) -> None:
        """Writes the lines that wait. Raises `OutputError` when that fails; `written` says how many lines were written.
        The others no longer wait: to write them later, add them again in the same order, before any other.

        It may be called from any thread, and again after an interruption: no line is written twice.
        """
        with self._lock:
            lines: list[bytes] = []
            while self._waiting:
                lines.append(self._waiting.popleft())
            data = memoryview(b"".join(lines))[self._torn if lines else 0 :]
            written = 0
            try:
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except OSError as exc:
                whole = bytes(data[:written]).rfind(b"\n") + 1
                self.written += bytes(data[:whole]).count(b"\n")
                self._size += written
                self._cut_off(written - whole + (0 if whole else self._torn))
                raise self._failure(exc) from exc
            if lines:
                self._torn = 0
            self._size += written
            self.written += len(lines)

    def _cut_off(self, torn: int) -> None:
        """Removes the beginning of a line, which has so many bytes, from the end of a regular file."""
        if self._regular:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size - torn)
                self._size = os.lseek(self._descriptor, self._size - torn, os.SEEK_SET)
                torn = 0
        self._torn = torn

    def check_there(self) -> None:
        """Raises `StoreError` when the file is no longer where it was. Closing it saves its lines then, if it was
        removed or replaced; the message says where."""
        if not self._regular:
            return
        if self._loss is None:
            ours = os.fstat(self._descriptor)
            try:
                now = os.stat(self._path)
            except FileNotFoundError:
                now = None
            except OSError:
                return  # who knows: a directory above may be locked for a while
            if now is not None and os.path.samestat(now, ours):
                return
            how = "removed" if now is None else "replaced"
            if ours.st_nlink:
                self._loss = "was moved while it was written: its results are where it is now"
            elif rescue := self._begin_rescue():
                self._loss = f"was {how} while it was written: its results are saved in {rescue}"
            else:
                self._loss = f"was {how} while it was written: its results are lost"
        raise StoreError(f"{self.name}: {self._loss}")

    def _begin_rescue(self) -> str | None:
        """Makes a file to save the lines in; returns its name."""
        name = os.path.basename(self._path)
        for directory in (os.path.dirname(self._path) or ".", tempfile.gettempdir()):
            with contextlib.suppress(OSError):
                descriptor, path = tempfile.mkstemp(prefix=f"{name}.saved-", suffix=".jsonl", dir=directory)
                self._rescue = path, descriptor
                return path
        return None

    def _finish_rescue(self) -> None:
        assert self._rescue is not None
        path, descriptor = self._rescue
        self._rescue = None
        with open(descriptor, "wb") as file:
            try:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                while block := os.read(self._descriptor, 1 << 20):
                    file.write(block)
            except OSError as exc:
                raise StoreError(f"{path}: the results could not be saved: {exc.strerror or exc}".lower()) from exc

    def sync(self) -> None:
        """Waits until the system has put what was written onto the disk. Raises `OutputError` when that fails."""
        if self._regular:
            with self._lock:
                try:
                    os.fsync(self._descriptor)
                except OSError as exc:
                    raise self._failure(exc) from exc

    def close(self) -> None:
        """Closes the file. Raises `OutputError` when the system reports only now that something was not written."""
        try:
            if self._rescue is not None:
                self._finish_rescue()
        finally:
            self._close()

    def _close(self) -> None:
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
