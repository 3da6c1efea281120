"""The lines of a results file, read while a run may still be writing it.

| in the file                             | what happens                                                    |
|-----------------------------------------|-----------------------------------------------------------------|
| what is added after it was opened       | not read, so that the same is read each time                    |
| a torn last line                        | left out: the run that wrote it was killed, or goes on          |
| a last line without its line feed       | read, if it is whole                                            |
| another line that is no result          | refused, with its number                                        |

A pipe and a compressed file are copied to a temporary file without a name first.
"""

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, cast

from ..input import InputError
from ..input.formats import opened

__all__ = ["ResultLines", "ResultsError", "whole_text"]

_STATES = ("succeeded", "errored", "canceled", "expired")

_BOM = b"\xef\xbb\xbf"
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, Zstandard
_SQLITE = b"SQLite format 3\x00"
_LONGEST_INTEGER = 4000  # digits: Python refuses to read or write more than 4,300
_HALF = re.compile("[\ud800-\udfff]")
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_REPLACEMENT = "\ufffd"


class ResultsError(ValueError):
    """The files can't be read as results. The message is one line: which file, where in it, and what is wrong."""


class ResultLines:
    """The whole lines that a results file holds when it is opened; `-` is standard input. A context manager.

    Raises `ResultsError` when the file can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._file = self._open()
            self._end = os.fstat(self._file.fileno()).st_size
        except InputError as exc:
            raise ResultsError(str(exc)) from None
        except OSError as exc:
            raise self._unreadable(exc) from exc

    @property
    def name(self) -> str:
        """The path, or `stdin`."""
        return "stdin" if self.path == "-" else self.path

    def _open(self) -> IO[bytes]:
        if self.path == "-":
            if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
                raise ResultsError("stdin: is closed")
            return _spooled(sys.stdin.buffer)
        if os.path.isdir(self.path):
            raise ResultsError(f"{self.path}: is a folder; name the results file in it")
        file = open(self.path, "rb")  # noqa: SIM115
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                with file:
                    return _spooled(file)
            head = file.read(len(_SQLITE))
            file.seek(0)
            if head == _SQLITE:
                output = self.path.removesuffix(".journal")
                hint = f"this is the journal; name the results file, {output}" if output != self.path else "no results"
                raise ResultsError(f"{self.path}: {hint}")
            if head.startswith(_PACKED):
                with file, opened(self.path, lambda: file) as unpacked:
                    return _spooled(unpacked)
        except BaseException:
            file.close()
            raise
        return file

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The lines as data, each with a `custom_id` and a `result` that has a known type. They hold no halves of
        surrogate pairs, which no UTF-8 can say.

        Raises `ResultsError`.
        """
        try:
            yield from self._read()
        except OSError as exc:
            raise self._unreadable(exc) from exc

    def _read(self) -> Iterator[dict[str, Any]]:
        read = number = 0
        self._file.seek(0)
        while read < self._end:
            number += 1
            line = self._file.readline()
            if read + len(line) > self._end:
                break  # it was torn when the file was opened
            whole = line.endswith(b"\n")
            if not whole and read + len(line) < self._end:
                raise ResultsError(f"{self.name}: it was emptied or cut while it was read")
            if not line.isspace():
                try:
                    entry = self._entry(number, line)
                except ResultsError:
                    if whole or (number == 1 and not line.removeprefix(_BOM).startswith(b"{")):
                        raise
                    break  # torn
                yield entry
            read += len(line)
        self._end = read

    def _entry(self, number: int, line: bytes) -> dict[str, Any]:
        where = f"{self.name}:{number}"
        try:
            text = (line.removeprefix(_BOM) if number == 1 else line).decode()
            entry = _parsed(text)
        except UnicodeDecodeError:
            raise ResultsError(f"{where}: not a line of results: it is not UTF-8") from None
        except RecursionError:
            raise ResultsError(f"{where}: not a line of results: it is nested too deeply") from None
        except ValueError:
            raise ResultsError(f"{where}: not a line of results: it is not JSON") from None
        if not isinstance(entry, dict):
            raise ResultsError(f"{where}: not a line of results: it is not a JSON object")
        found = cast("dict[str, Any]", entry)
        result = found.get("result")
        if not isinstance(result, dict):
            what = "it is a request" if "params" in found or "prompt" in found else "it has no result"
            raise ResultsError(f"{where}: not a line of results: {what}")
        kind = cast("dict[str, Any]", result).get("type")
        if kind not in _STATES:
            raise ResultsError(f"{where}: not a line of results: its type is none of {', '.join(_STATES)}")
        if not isinstance(found.get("custom_id"), str | None):
            raise ResultsError(f"{where}: not a line of results: its custom_id is no text")
        return whole_text(found) if _HALF_ESCAPED.search(text) else found

    def _unreadable(self, exc: OSError) -> ResultsError:
        if isinstance(exc, FileNotFoundError):
            return ResultsError(f"{self.name}: no such results")
        return ResultsError(f"{self.name}: cannot be read: {(exc.strerror or str(exc)).lower()}")

    def close(self) -> None:
        """Closes the file. It may be called again."""
        self._file.close()


def whole_text(value: Any) -> Any:
    """The same JSON value; what its texts have of halves of surrogate pairs is replaced by U+FFFD."""
    match value:
        case str():
            return _HALF.sub(_REPLACEMENT, value)
        case dict():
            members = cast("dict[str, Any]", value)
            return {whole_text(name): whole_text(inner) for name, inner in members.items()}
        case list():
            return [whole_text(inner) for inner in cast("list[Any]", value)]
        case _:
            return value


def _spooled(file: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        shutil.copyfileobj(file, copy)
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy


def _parsed(text: str) -> Any:
    """The value of a JSON text. A number with too many digits for Python is given as its text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_int_or_text)


def _int_or_text(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text
