"""The budget of one host: the ledger in an SQLite file, which the processes of one user write in turns.

A turn takes a fraction of a millisecond and never waits for another: a file that is locked is tried again, while the
event loop runs. The file is worth nothing once nobody uses it. So nothing is synced to the disk; and a file that is
damaged, or was deleted or replaced under our feet, is left alone for a new one.

It stands in XDG_RUNTIME_DIR, which belongs to one user and does not outlive a restart; else in the user's state
directory. Its permissions let nobody else read it. What it holds are hashes and numbers.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from random import uniform
from threading import Lock

import anyio

from ...actors.stream import check_kind
from .booking import booked
from .budget import CarrierFailed
from .checks import check_shares
from .messages import GrantT, Told
from .state import FORMAT

__all__ = ["HostBudget"]

_TRIES_AGAIN = 0.001, 0.02  # seconds, at first and at most
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
_PARTS = ("", "-wal", "-shm")

_Identity = tuple[tuple[int, int] | None, ...]

_abandoned: list[sqlite3.Connection] = []  # of a parent process: closing them here would free its locks


class HostBudget:
    """One budget for all engines on this host that use the same key, in any number of this user's processes.

    `path` is the file that they share; by default it is one for all of the user's processes. Engines that give the same
    `name` share whatever keys they use: the API counts by organization, and one may have several keys. `weight` is the
    size of an engine's fair share in proportion to those of others. Engines with a higher `priority` get what they need
    before others get anything.

    `spend_cap` is what all who give the same `name` may spend together, in dollars. It counts from one run to the next,
    until `manystream budget reset NAME` begins anew. A request that would exceed it is not begun, as with an engine's
    own cap. What an engine that died was allowed counts as spent.

    Engines of different users share only a `path` that both may write. A network file system is no place for it. If
    the file can't be used, engines go on with the share that they had, or unshared, and say so once.

    Raises `TypeError` and `ValueError` for settings that make no sense. It may be given to several engines.
    """

    on_host = True

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        weight: float = 1.0,
        priority: int = 0,
        spend_cap: float | None = None,
    ) -> None:
        check_shares(name, weight, priority, spend_cap)
        if path is not None:
            check_kind("path", path, (str, os.PathLike), "the path of a file, or None")
        self.name = name
        self.weight = weight
        self.priority = priority
        self.spend_cap = spend_cap
        self._purse: HostBudget | None = None
        self._is_default = path is None
        self._path = None if path is None else Path(path)
        self._clock = time.monotonic  # the same in all processes of a host
        self._lock = Lock()
        self._db: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._identity: _Identity = ()

    def __repr__(self) -> str:
        return f"HostBudget({str(self._path) if self._path is not None else ''!r}, name={self.name!r})"

    def exchange_now(self, account: str, report: Told[GrantT]) -> GrantT | None:
        """Takes a report to the ledger; None when another process is writing."""
        if report.lasting and (purse := self._purse_of_its_own()) is not None:
            return purse.exchange_now(account, report)
        self._look_for_fork()
        with self._lock:
            try:
                try:
                    return self._exchange(account, report)
                except sqlite3.DatabaseError as exc:
                    if _code(exc) not in _DAMAGED:
                        raise
                    self._set_aside()
                    return self._exchange(account, report)
            except sqlite3.Error as exc:
                if _code(exc) in _BUSY:
                    return None
                self._close()
                raise CarrierFailed(f"{self._shown}: {exc}") from exc
            except OSError as exc:
                self._close()
                raise CarrierFailed(f"{self._shown}: {(exc.strerror or type(exc).__name__).lower()}") from exc

    async def exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        """Takes a report to the ledger when no other process writes. Cancelled, it has not."""
        wait, longest = _TRIES_AGAIN
        while (grant := self.exchange_now(account, report)) is None:
            await anyio.sleep(wait * uniform(0.5, 1.5))
            wait = min(1.5 * wait, longest)
        return grant

    async def aclose(self) -> None:
        """Closes the file. The next exchange opens it again."""
        if self._purse is not None:
            await self._purse.aclose()
        self._look_for_fork()
        with self._lock:
            self._close()

    # -- the file

    def _purse_of_its_own(self) -> "HostBudget | None":
        """What carries dollars: by default another file, which outlives a restart of the computer; None for this one's,
        whose path was given."""
        if self._purse is None and self._is_default:
            try:
                self._purse = HostBudget(default_purse())
            except OSError as exc:
                raise CarrierFailed(f"{self._shown}: {(exc.strerror or type(exc).__name__).lower()}") from exc
            self._purse._clock = self._clock
        return self._purse

    @property
    def _shown(self) -> str:
        return str(self._path) if self._path is not None else "the host's budget"

    def _look_for_fork(self) -> None:
        """In the child of a fork the lock may be held by a thread that is not there, and the connection belongs to the
        parent."""
        if self._process != os.getpid():
            self._lock, self._process = Lock(), os.getpid()
            if self._db is not None:
                _abandoned.append(self._db)
                self._db = None

    def _exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        db = self._opened()
        db.execute("begin immediate")
        try:
            found = db.execute("select state from ledger where account = ?", (account,)).fetchone()
            state, grant = booked(None if found is None else found[0], report, self._clock())
            db.execute(
                "insert into ledger values (?, ?) on conflict do update set state = excluded.state",
                (account, state),
            )
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("rollback")
            raise
        return grant

    def _opened(self) -> sqlite3.Connection:
        path = self._path = self._path or default_path()
        if self._db is not None and (found := _identity(path)) != self._identity:
            self._close()  # it was deleted or replaced: what we hold is nobody else's file
            self._remove_rest(found)
        if self._db is None:
            self._db = self._open(path)
            self._identity = _identity(path)
        return self._db

    def _open(self, path: Path) -> sqlite3.Connection:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("pragma synchronous = off")  # first: else the next line syncs
            if db.execute("pragma journal_mode = wal").fetchone()[0] != "wal":
                raise CarrierFailed(f"{self._shown}: this file system can't be used for it")
            db.execute("create table if not exists ledger (account text primary key, state blob) without rowid")
        except BaseException:
            db.close()
            raise
        return db

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _remove_rest(self, found: _Identity) -> None:
        """Puts aside what is left of a file of which a part was deleted or replaced: SQLite would take parts for one
        another's that are not."""
        parts = [part for part, old, new in zip(_PARTS, self._identity, found, strict=True) if old == new]
        if found[0] == self._identity[0]:
            parts = list(_PARTS)  # what was written last stood in the part that is gone
        self._put_aside(parts)

    def _set_aside(self) -> None:
        """Puts a damaged file aside. Who has it open sees by its identity that there is another one."""
        self._close()
        self._put_aside(_PARTS)

    def _put_aside(self, parts: Iterable[str]) -> None:
        for part in parts:
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}{part}", f"{self._path}{part}.bad")


def default_path() -> Path:
    """The file that the user's processes share. Its folder is made. Raises `OSError` when that is impossible."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return _folder(Path(runtime) if runtime else _state()) / f"budget-{FORMAT}.db"


def default_purse() -> Path:
    """The file with the dollars that the user's processes spent, which outlives a restart. As `default_path`."""
    return _folder(_state()) / f"spent-{FORMAT}.db"


def _state() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home())
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state) if state else Path.home() / ".local" / "state"


def _folder(base: Path) -> Path:
    folder = base / "manystream"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _identity(path: Path) -> _Identity:
    return tuple(_file_identity(f"{path}{part}") for part in _PARTS)


def _file_identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(exc: sqlite3.Error) -> int | None:
    code = getattr(exc, "sqlite_errorcode", None)  # extended; what Python itself raises has none
    return code & 0xFF if isinstance(code, int) else None
