"""The file that an export writes: it appears whole, or not at all.

It is written beside its place and renamed, so that who reads the last export meanwhile reads all of it. It replaces an
earlier export alone: not the results of a run, and no file of the user's that happens to have the name.
"""

import os
import re
import stat
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import IO

from ..runs.journal_rows import journal_path
from ..runs.output import OutputError

__all__ = ["MARK", "check_place", "table_file"]

MARK = b"manystream.export"
"""Stands in the footer of a Parquet file that is an export."""

_HEAD_BYTES = 65536
_JSON_LINE = re.compile(rb'\{"custom_id":.*?,"epoch":(null|-?\d+),"state":"')
_HEADS = tuple(mark.join((b"custom_id", b"epoch", b"state", b"text", b"output")) for mark in (b",", b"\t"))
_PARQUET = b"PAR1"


def check_place(path: str, inputs: Iterable[str]) -> None:
    """Raises `OutputError` when the export of `inputs` can't be written to `path`, or would replace something else than
    an earlier export."""
    if path == "-":
        return
    try:
        found = os.stat(path)
    except FileNotFoundError:
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            raise OutputError(f"{path}: there is no directory {os.path.dirname(path) or folder}") from None
        _check_writable(path, folder)
        return
    except OSError as exc:
        raise OutputError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    if stat.S_ISDIR(found.st_mode):
        raise OutputError(f"{path}: is a directory")
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path}: can't be written to")
    if not stat.S_ISREG(found.st_mode):
        return
    for name in inputs:
        if os.path.exists(name) and os.path.samefile(name, path):
            raise OutputError(f"{path}: the output is one of the results")
    if os.path.exists(journal_path(path)):
        raise OutputError(f"{path}: holds the results of a run, since a journal is beside it; name another file")
    if found.st_size and not _is_export(path):
        raise OutputError(f"{path}: exists already and is no export; name another file")
    _check_writable(path, os.path.dirname(os.path.realpath(path)))


def _check_writable(path: str, folder: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the directory {folder} can't be written to")


def _is_export(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            if head.startswith(_PARQUET):
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8))
                footer = int.from_bytes(file.read(4), "little")
                file.seek(max(0, file.tell() - 4 - footer))
                return MARK in file.read(footer)
    except OSError as exc:
        raise OutputError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    return head.startswith(_HEADS) or _JSON_LINE.match(head) is not None


@contextmanager
def table_file(path: str) -> Generator[IO[bytes]]:
    """A file to write the export into; `-` is standard output. When the block ends well it takes the place of `path`,
    with the mode of what was there; a symbolic link stays one. Otherwise nothing is left of it. A device or a pipe is
    written as it is. Raises `OSError`."""
    if path == "-":
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
            raise OSError("is closed")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    there = os.stat(path) if os.path.exists(path) else None
    if there is not None and not stat.S_ISREG(there.st_mode):
        with open(path, "wb") as file:
            yield file
        return
    place = os.path.realpath(path)
    beside = f"{place}.manystream-new"
    with suppress(FileNotFoundError):  # left by an export that was killed, or put there for us to write through it
        os.unlink(beside)
    ours: os.stat_result | None = None
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        ours = os.fstat(descriptor)
        with open(descriptor, "wb") as file:
            if there is not None:
                os.chmod(beside, stat.S_IMODE(there.st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        if not _is_there(beside, ours):
            raise OSError("another export to it has begun meanwhile")
        os.replace(beside, place)
    except BaseException as exc:
        # Ctrl-C may come when it was just made. Another's is told by an error.
        if _is_there(beside, ours) if ours is not None else not isinstance(exc, Exception):
            with suppress(OSError):
                os.unlink(beside)
        raise


def _is_there(path: str, ours: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), ours)
    except OSError:
        return False
