"""Reads a journal and leaves no trace: neither a file nor a lock. So it also works where nothing may be written.

SQLite itself can't do that. To read a database with a write-ahead log it wants to write an index beside it, and a run
that goes on holds a lock on all of it. So:

| the journal             | what happens                                                                        |
|-------------------------|-------------------------------------------------------------------------------------|
| a run of ours has it    | that one's own connection is asked: who opens and closes the file releases its lock |
| no log beside it        | it is read where it lies, as a file that nobody changes (`immutable`)               |
| a log beside it         | both are copied to a temporary folder of our own, and the copy is read              |

When the journal changed meanwhile, which a run does each time it moves its log into it, all is done again.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from .journal import open_here
from .journal_rows import readable

__all__ = ["BusyError", "is_written", "read_journal"]

T = TypeVar("T")

_TRIES = 20
_LOG_HEAD = 32  # bytes, which are others when the log begins anew
_LOGS = ("-wal", "-journal")
_LOCK_AT, _LOCK_LENGTH = 0x40000000 + 2, 510  # what SQLite locks: https://sqlite.org/lockingv3.html


class BusyError(Exception):
    """The journal changed each time that it was read."""


def read_journal(path: str, read: Callable[[sqlite3.Connection], T]) -> T:
    """What `read` makes of the journal at `path`. It may be called more than once.

    Raises `OSError`, `sqlite3.Error`, `BusyError`, and what `read` raises. A run of this process that has the journal
    open writes nothing meanwhile.
    """
    if (ours := open_here(path)) is not None:
        return ours.shown_to(read)
    failure: Exception | None = None
    for _ in range(_TRIES):
        before = _state(path)
        try:
            found = _read_copy(path, read) if _has_log(path) else _read_there(path, read)
        except Exception as exc:  # of a copy that mixes two states, anything may be said
            if _state(path) == before:
                raise
            failure = exc
            continue
        if _state(path) == before:
            return found
    raise BusyError("it changes all the time; try again") from failure


def _read_there(path: str, read: Callable[[sqlite3.Connection], T]) -> T:
    return _read(f"{Path(path).absolute().as_uri()}?immutable=1", read)


def _read_copy(path: str, read: Callable[[sqlite3.Connection], T]) -> T:
    before = _state(path)
    with tempfile.TemporaryDirectory(prefix="manystream-", ignore_cleanup_errors=True) as folder:  # for us alone
        copy = os.path.join(folder, "journal")
        shutil.copyfile(path, copy)
        for log in _LOGS:
            with suppress(FileNotFoundError):
                shutil.copyfile(path + log, copy + log)
        if _state(path) != before:
            raise BusyError("it changed while it was copied")
        return _read(Path(copy).absolute().as_uri(), read)


def _read(uri: str, read: Callable[[sqlite3.Connection], T]) -> T:
    with closing(sqlite3.connect(uri, uri=True)) as journal:
        journal.text_factory = readable
        return read(journal)


def _has_log(path: str) -> bool:
    for log in _LOGS:
        with suppress(FileNotFoundError):
            if os.stat(path + log).st_size:
                return True
    return False


def _state(path: str) -> tuple[object, ...]:
    """What changes when the journal itself does. A log that only grew has changed nothing that it held before."""
    found = os.stat(path)
    heads: list[bytes] = []
    for log in _LOGS:
        head = b""
        with suppress(FileNotFoundError), open(path + log, "rb") as file:
            head = file.read(_LOG_HEAD)
        heads.append(head)
    return found.st_ino, found.st_size, found.st_mtime_ns, *heads


def is_written(path: str) -> bool:
    """Whether a run is writing the journal. False where nobody can tell, as on Windows of one in another process."""
    if open_here(path) is not None:
        return True
    if sys.platform == "win32":
        return False
    import fcntl

    with open(path, "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, _LOCK_LENGTH, _LOCK_AT)
        except OSError:
            return True
        fcntl.lockf(file, fcntl.LOCK_UN, _LOCK_LENGTH, _LOCK_AT)
    return False
