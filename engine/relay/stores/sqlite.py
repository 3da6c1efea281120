"""Streams in one SQLite file: for the processes of one machine. No server is needed.

Leases are told by the clock that all processes of a machine share and nobody sets: seconds since it was started. By the
wall clock, one that is set forward would make orphans of streams that live. After a restart of the machine the clock
begins anew, and a lease that was renewed at a time that has not come yet is void.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

from ....actors.channel import Entry
from .contract import Head, Row, StoreFailed, Written

__all__ = ["SQLiteStore"]

_T = TypeVar("_T")

_VERSION = 2
_PATIENCE = 5.0  # seconds for which another process may hold the file
_AGAIN = 0.01  # seconds between two tries to turn the write-ahead log on
_WATCHED = 3.0  # seconds for which a note that a stream is read counts
_SCHEMA = """
create table if not exists streams(
    id text primary key, key text, run_id text not null, owner text not null, epoch integer not null,
    seq integer not null default 0, ended real, stop text, watched real not null default 0, request text);
create index if not exists streams_by_key on streams(key);
create index if not exists streams_by_owner on streams(owner) where ended is null;
create table if not exists entries(
    id text not null, first integer not null, seq integer not null, epoch integer not null, text text not null,
    primary key(id, first)) without rowid;
create table if not exists owners(owner text primary key, renewed real not null, until real not null);
"""
_ALIVE = "exists (select 1 from owners where owners.owner = streams.owner and ? between renewed and until)"
_HEAD = "id, key, run_id, epoch, ended is not null, request"


class SQLiteStore:
    """The streams of a hub in the file `path`, for all processes of this machine that name it.

    In it are the events of the answers for as long as the hub keeps them, their keys, and with `keep_request` the
    requests; it is yours alone (mode 0600). It must lie on a local disk, not on a network's. Raises `TypeError` for
    what is no path. Nothing is opened before it is used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._clock = time.monotonic
        self._lock = Lock()
        self._opened: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._path)!r})"

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            # The file is made for us alone before anything is in it; SQLite gives those beside it the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                _turn_on_wal(connection)
                connection.execute("pragma synchronous=normal")
                (version,) = connection.execute("pragma user_version").fetchone()
                if version not in (0, _VERSION):
                    raise StoreFailed(
                        f"{self._path} was written by another version of manystream: remove it, or name another file"
                    )
                connection.executescript(f"begin immediate; {_SCHEMA} pragma user_version={_VERSION}; commit;")
            except BaseException:
                connection.close()
                raise
            self._opened = connection
        return self._opened

    def _run(self, work: Callable[[sqlite3.Connection], _T], *, writes: bool = True) -> _T:
        with self._lock:
            try:
                connection = self._connection()
                connection.execute("begin immediate" if writes else "begin")
                try:
                    done = work(connection)
                except BaseException:
                    connection.execute("rollback")
                    raise
                connection.execute("commit")
            except (sqlite3.Error, OSError) as exc:
                raise StoreFailed(f"{self._path}: {type(exc).__name__}: {exc}") from None
            return done

    def create(self, head: Head, owner: str, lease: float) -> None:
        """See `Store`."""
        values = head.id, head.key, head.run_id, owner, head.epoch, head.request

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock()  # once the file is ours: no other process has renewed its lease after that
            connection.execute("insert or replace into owners values(?, ?, ?)", (owner, now, now + lease))
            connection.execute(
                "insert into streams(id, key, run_id, owner, epoch, request) values(?, ?, ?, ?, ?, ?)", values
            )

        self._run(work)

    def look(self, name: str) -> Head | None:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> Head | None:
            found = connection.execute(f"select {_HEAD} from streams where id = ?", (name,)).fetchone()
            if found is None:
                query = f"select {_HEAD} from streams where key = ? order by rowid desc limit 1"
                found = connection.execute(query, (name,)).fetchone()
            return None if found is None else _head(found)

        return self._run(work, writes=False)

    def write(self, owner: str, lease: float, rows: Sequence[Row], reading: Sequence[str], retention: float) -> Written:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> Written:
            now, wall = self._clock(), time.time()
            execute = connection.execute
            execute("insert or replace into owners values(?, ?, ?)", (owner, now, now + lease))
            lost = {row.id for row in rows if not _appended(connection, row, wall)}
            connection.executemany("update streams set watched = ? where id = ?", [(now, name) for name in reading])
            execute("delete from entries where id in (select id from streams where ended < ?)", (wall - retention,))
            execute("delete from streams where ended < ?", (wall - retention,))
            execute("delete from owners where not ? between renewed and until", (now,))
            own = execute(
                "select id, stop, watched from streams where owner = ? and ended is null"
                " and (stop is not null or watched between ? and ?)",
                (owner, now - _WATCHED, now),
            ).fetchall()
            orphans = execute(
                f"select {_HEAD} from streams where ended is null and owner != ? and not {_ALIVE}",
                (owner, now),
            ).fetchall()
            return Written(
                frozenset(lost),
                {name: stop for name, stop, _ in own if stop is not None},
                frozenset(name for name, _, watched in own if now - _WATCHED <= watched <= now),
                [_head(found) for found in orphans],
            )

        return self._run(work)

    def read(self, wants: Mapping[str, int]) -> Sequence[Row]:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> list[Row]:
            query = "select first, seq, text, epoch from entries where id = ? and first > ? order by first"
            return [
                Row(name, epoch, Entry(first, seq, text))
                for name, after in wants.items()
                for first, seq, text, epoch in connection.execute(query, (name, after))
            ]

        return self._run(work, writes=False)

    def claim(self, head: Head, owner: str) -> bool:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> bool:
            claimed = connection.execute(
                "update streams set owner = ?, epoch = epoch + 1 where id = ? and epoch = ? and ended is null"
                f" and not {_ALIVE}",
                (owner, head.id, head.epoch, self._clock()),
            )
            return claimed.rowcount == 1

        return self._run(work)

    def stop(self, name: str, reason: str) -> bool:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> bool:
            told = connection.execute(
                "update streams set stop = ? where (id = ? or key = ?) and ended is null", (reason, name, name)
            )
            return told.rowcount > 0

        return self._run(work)

    def release(self, owner: str) -> None:
        """See `Store`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("delete from owners where owner = ?", (owner,))

        self._run(work)

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None:
                opened.close()


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    """Turns the write-ahead log on. Where another process is about to write without it, as one is that opens the file
    at the same time, SQLite refuses at once, whatever its timeout: so the wait is here."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(_AGAIN)


def _appended(connection: sqlite3.Connection, row: Row, wall: float) -> bool:
    """Appends an entry, if its writer is the stream's and it follows. Returns whether it is there."""
    entry = row.entry
    moved = connection.execute(
        "update streams set seq = ?, ended = ? where id = ? and epoch = ? and ended is null and seq = ?",
        (entry.seq, wall if entry.ends else None, row.id, row.epoch, entry.first_seq - 1),
    )
    if moved.rowcount == 1:
        values = row.id, entry.first_seq, entry.seq, row.epoch, entry.text
        connection.execute("insert into entries(id, first, seq, epoch, text) values(?, ?, ?, ?, ?)", values)
        return True
    query = "select 1 from entries where id = ? and first = ? and seq = ? and epoch = ?"
    return connection.execute(query, (row.id, entry.first_seq, entry.seq, row.epoch)).fetchone() is not None


def _head(found: tuple[str, str | None, str, int, int, str | None]) -> Head:
    name, key, run_id, epoch, ended, request = found
    return Head(name, key, run_id, epoch, bool(ended), request)
