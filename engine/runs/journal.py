"""The journal of a run: which requests there are, which were begun, how they ended and what they cost.

It is an SQLite database beside the results. The results file is the truth about answers. The journal knows the requests
by their ids and the hashes of their parameters, and which of them were begun. So a run that was killed can continue
where it stopped, and report what was lost. One run at a time writes it. All methods block and may be called from any
thread. They raise `OutputError` when the journal can't be read or written.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache, partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import attrs

from ..input.used_ids import add_id, create_input
from .again import Again, RunAgain
from .columns import as_key
from .differences import Pair
from .journal_rows import (
    BEGIN,
    END,
    FORMAT,
    LOSE,
    SCHEMA,
    UNANSWERED,
    Begun,
    Ended,
    Held,
    Registered,
    begun_row,
    format_of,
    is_readable_format,
    journal_path,
    readable,
    upgrade,
)
from .output import OutputError, StoreError
from .session_clock import SessionClock
from .shared_limits import SharedLimits
from .totals import Totals, read_totals

__all__ = ["HOLD", "ChangedError", "Journal", "JournalInUseError", "open_here", "remove_journal"]

T = TypeVar("T")

_LOCKED_SECONDS = 1.0
_LAST = """
SELECT max(moment) FROM (
    SELECT max(coalesce(ended, began)) AS moment FROM session
    UNION ALL SELECT max(submitted + seconds) FROM request WHERE state = 'ended'
)
"""
HOLD = "INSERT OR REPLACE INTO held VALUES (?, ?)"
"""Takes a `Held`."""


class JournalInUseError(StoreError):
    """Another run is writing the journal."""


class ChangedError(Exception):
    """`request` has an answer that was given to other parameters than it has now. It is the first of `count`, among
    `answered` that have answers; `pairs` says how their parameters differ."""

    def __init__(self, request: Registered, count: int = 1, answered: int = 1, pairs: Sequence[Pair] = ()) -> None:
        super().__init__(f"custom_id {request.custom_id!r} has other parameters than before")
        self.request = request
        self.count = count
        self.answered = answered
        self.pairs = pairs


_open_here: "WeakValueDictionary[str, Journal]" = WeakValueDictionary()


def open_here(path: str) -> "Journal | None":
    """The journal at `path`, if this process has it open. It is then to be read by its own `read` or `shown_to`: a
    process that opens and closes the file loses the lock on it."""
    return _open_here.get(os.path.realpath(path))


class Journal:
    """An open journal. With None for the path it is temporary: it is gone when it is closed."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._session = 0
        self.clock = SessionClock()
        """Of the session that goes on."""
        self._lock = threading.RLock()
        if path is not None and open_here(path) is not None:  # to open the file and close it would release the lock
            raise JournalInUseError(_in_use(path))
        if path is not None:
            # SQLite would make it readable for all, and gives the files beside it the same mode.
            with suppress(OSError):  # which SQLite meets too, and tells
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with self._failures():
            # One thread at a time uses it, but not always the same.
            self._db = sqlite3.connect(
                "" if path is None else path, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.text_factory = readable
        try:
            with self._failures():
                self._prepare()
        except BaseException:
            self._db.close()
            raise
        if path is not None:
            _open_here[os.path.realpath(path)] = self

    def _prepare(self) -> None:
        db = self._db
        # The lock is held until the journal is closed. When the process is killed the system releases it.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # after a power cut the results file tells what a lost commit said
        # What fails before the commit takes no effect, since `__init__` then closes the database.
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [("format", FORMAT), ("max_tokens", "model")])
        found = format_of(db)
        if not is_readable_format(found):
            raise OutputError(
                f"{self.path}: its format is {found}, this version of manystream writes format {FORMAT};"
                " --overwrite starts anew"
            )
        upgrade(db)
        db.execute("COMMIT")
        create_input(db)
        db.execute("CREATE TEMP TABLE again (custom_id TEXT PRIMARY KEY) WITHOUT ROWID")
        db.execute("CREATE TEMP TABLE unchecked (custom_id TEXT PRIMARY KEY) WITHOUT ROWID")

    @contextmanager
    def _failures(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as exc:
            name = self.path or "the run's temporary journal"
            match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    raise JournalInUseError(_in_use(name)) from exc
                case sqlite3.SQLITE_FULL:
                    raise StoreError(f"{name}: no space left on device") from exc
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:
                    raise OutputError(f"{name}: not the journal of a run ({exc}); --overwrite starts anew") from exc
                case _:
                    raise StoreError(f"{name}: can't be read or written: {exc}") from exc

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """A block whose statements all take effect, or none of them."""
        with self._failures():
            self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def read(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        with self._failures():
            return self._db.execute(query, parameters).fetchall()

    def shown_to(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` makes of the database, which nobody writes meanwhile. Raises `sqlite3.Error`, and what `read`
        raises."""
        with self._lock:
            try:
                return read(self._db)
            finally:
                if self._db.in_transaction:  # one to read in
                    self._db.execute("ROLLBACK")

    def takes_longest_answers(self) -> bool:
        """Whether `max_tokens` is the model's own limit where nobody says otherwise. A run that began with a version
        that had a fixed default goes on with that: its answers were given to it."""
        return bool(self.read("SELECT 1 FROM meta WHERE key = 'max_tokens'"))

    def keep(self, key: str, value: str | int | float) -> None:
        """Keeps something of the run as a whole, for the next session."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def totals(self) -> Totals:
        """The sums over all sessions so far."""
        with self._failures():
            return read_totals(self._db)

    # -- sessions: one run after another

    def begin_session(self, url: str = "") -> bool:
        """Notes that a run begins or continues, and where it sends its requests. Returns whether the session before
        this one sent them there too."""
        with self.transaction() as db:
            before = db.execute("SELECT value FROM meta WHERE key = 'url'").fetchone()
            if before != (url,):
                db.execute("INSERT OR REPLACE INTO meta VALUES ('url', ?)", (url,))
            ((last,),) = db.execute(_LAST)
            self.clock = SessionClock(after=(last or 0.0) + 0.001)  # no moment is in two sessions
            began = "INSERT INTO session (began) VALUES (?)"
            self._session = db.execute(began, (self.clock.began,)).lastrowid or 0
        return before == (url,)

    def end_session(self, how: str) -> None:
        """Notes that the run ends, and how; a session that was killed has no end. What was begun and has not ended is
        lost."""
        with self.transaction() as db:
            db.execute(f"{LOSE} state = 'begun'")
            db.execute("UPDATE session SET ended = ?, how = ? WHERE number = ?", (self.clock.now(), how, self._session))

    def note_shared(self, part: SharedLimits) -> None:
        """Notes what this session has had of limits that it shares, in place of what was noted before."""
        columns = attrs.asdict(part)
        with self.transaction() as db:
            db.execute(
                f"UPDATE session SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE number = :number",
                {**columns, "number": self._session},
            )

    def close(self) -> None:
        """Closes the database and releases its lock. A journal that was removed meanwhile is there again then."""
        copy = self._copy_if_removed()
        with suppress(sqlite3.Error):
            self._db.close()
        if self.path is not None and open_here(self.path) is self:
            del _open_here[os.path.realpath(self.path)]
        if copy is None or self.path is None:
            return
        for beside in (f"{self.path}-wal", f"{self.path}-shm"):  # SQLite leaves them then; they don't fit the copy
            with suppress(OSError):
                os.unlink(beside)
        with suppress(OSError):
            os.replace(copy, self.path)

    def _copy_if_removed(self) -> str | None:
        """The path of a copy, when somebody removed the journal; None when it is there, or nothing can be done."""
        if self.path is None or os.path.exists(self.path):
            return None
        copy = f"{self.path}.manystream-new"
        try:
            os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(copy)) as there:
                self._db.backup(there)
        except (OSError, sqlite3.Error):
            return None
        return copy

    def note_limits(self, limits: Mapping[str, Mapping[str, float]]) -> None:
        """Notes the limits per minute that hold for the run's pools, by their names, for those who plan. What was
        noted of other pools stays."""
        with self.transaction() as db:
            found = db.execute("SELECT value FROM meta WHERE key = 'limits'").fetchone()
            known: dict[str, Any] = {}
            with suppress(ValueError, TypeError):
                known.update({} if found is None else json.loads(found[0]))
            text = json.dumps({**known, **limits}, sort_keys=True)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('limits', ?)", (text,))

    # -- the requests of the input

    def register(self, requests: Iterable[Registered]) -> None:
        """Adds the whole input. Requests that were registered before and are no longer in it don't count any more,
        unless they have an answer. Raises `DuplicateError` and `ChangedError`; then nothing changes."""
        with self.transaction() as db:
            db.execute("DELETE FROM input")
            number_of = lru_cache(partial(_number_of, db))
            for one in requests:
                add_id(db, one.custom_id, one.ordinal, one.hash, number_of(one.shared), one.shown_id)
            _check_unchanged(db)
            _leave_out_others(db)
            db.execute(
                "INSERT INTO request (custom_id, ordinal, hash, shared, shown_id, state)"
                " SELECT custom_id, ordinal, hash, shared, shown_id, 'pending' FROM input WHERE true"
                " ON CONFLICT (custom_id) DO UPDATE SET ordinal = excluded.ordinal, hash = excluded.hash,"
                " shared = excluded.shared, shown_id = excluded.shown_id"
            )
            db.execute("DELETE FROM parameters WHERE number NOT IN (SELECT shared FROM request WHERE shared NOT NULL)")

    def register_one(self, request: Registered) -> bool:
        """Adds one more request of the input. Returns whether it has to be run, since it has no answer yet.

        Raises `DuplicateError` and `ChangedError`.
        """
        with self.transaction() as db:
            shared = _number_of(db, request.shared)
            values = (request.custom_id, request.ordinal, request.hash, shared, request.shown_id)
            add_id(db, *values)
            known = db.execute(
                "SELECT hash, state, text FROM request LEFT JOIN parameters ON number = shared WHERE custom_id = ?",
                (request.custom_id,),
            ).fetchone()
            if known is None:
                db.execute(
                    "INSERT INTO request (custom_id, ordinal, hash, shared, shown_id, state)"
                    " VALUES (?, ?, ?, ?, ?, 'pending')",
                    values,
                )
                return True
            changed = known[1] == "ended" and known[0] is not None and known[0] != request.hash
            unchecked = "SELECT 1 FROM unchecked WHERE custom_id = ?"
            if changed and not db.execute(unchecked, (request.custom_id,)).fetchone():
                raise ChangedError(request, pairs=[(known[2], request.shared, 1)])
            db.execute(
                "UPDATE request SET ordinal = ?, hash = ?, shared = ?, shown_id = ? WHERE custom_id = ?",
                (*values[1:], request.custom_id),
            )
            return known[1] != "ended"

    def end_input(self) -> None:
        """Notes that the requests that were registered one by one are the whole input, as `register` does."""
        with self.transaction() as db:
            _leave_out_others(db)

    def unanswered(self, after: int, count: int) -> list[Registered]:
        """The next requests of the input that have no answer, in their order: at most `count`, and only those behind
        the place `after`."""
        rows = self.read(
            "SELECT custom_id, ordinal, hash FROM request INDEXED BY unanswered"
            f" WHERE {UNANSWERED} AND ordinal > ?"
            " AND custom_id IN (SELECT custom_id FROM input) ORDER BY ordinal LIMIT ?",
            (after, count),
        )
        return [Registered(*row) for row in rows]

    def count(self) -> int:
        """How many requests there are: those that have an answer, even if they are no longer in the input, and those
        that still have to be answered."""
        return self.read(f"SELECT count(*) FROM request WHERE state = 'ended' OR {UNANSWERED}")[0][0]

    def ended_count(self) -> int:
        """How many requests have an answer."""
        return self.read("SELECT count(*) FROM request WHERE state = 'ended'")[0][0]

    def gone(self) -> int:
        """How many requests have an answer and are no longer in the input."""
        query = "SELECT count(*) FROM request WHERE state = 'ended' AND custom_id NOT IN (SELECT custom_id FROM input)"
        return self.read(query)[0][0]

    def choose(self, again: Again) -> None:
        """Chooses the answers that are run again: from now on their parameters may differ, and with `again.stopped`
        those of all answers, since more room is what such a request needs."""
        condition, values = again.condition
        with self.transaction() as db:
            db.execute(f"INSERT OR IGNORE INTO again SELECT custom_id FROM request WHERE {condition}", values)
            db.execute(
                "INSERT OR IGNORE INTO unchecked SELECT custom_id FROM "
                + ("request WHERE state = 'ended'" if again.stopped else "again")
            )

    def chosen(self, *, known: bool) -> RunAgain:
        """What is run again of what was chosen. If all of the input is `known`, what is no longer in it stays."""
        with self.transaction() as db:
            if known:
                db.execute("DELETE FROM again WHERE custom_id NOT IN (SELECT custom_id FROM input)")
            counts = "FROM request JOIN again USING (custom_id) WHERE kind {} 'succeeded' GROUP BY 1 ORDER BY 2 DESC"
            errors = dict(db.execute(f"SELECT coalesce(failure, error, kind), count(*) {counts.format('<>')}"))
            stopped = dict(db.execute(f"SELECT stop_reason, count(*) {counts.format('=')}"))
            ((each,),) = db.execute("SELECT avg(dollars) FROM request WHERE state = 'ended' AND kind = 'succeeded'")
        found = RunAgain(errors=errors, stopped=stopped)
        return found if each is None else attrs.evolve(found, dollars=each * found.count)

    def unmet(self, stop_reasons: Iterable[str]) -> tuple[str, ...]:
        """Those of the stop reasons for which no answer stopped."""
        query = "SELECT 1 FROM request WHERE state = 'ended' AND stop_reason = ? LIMIT 1"
        return tuple(reason for reason in sorted(stop_reasons) if not self.read(query, (reason,)))

    def chosen_held(self) -> list[Held]:
        """The lines that are held of answers that are run again."""
        return [Held(*row) for row in self.read("SELECT custom_id, line FROM held JOIN again USING (custom_id)")]

    def drop_chosen(self) -> None:
        """Makes the chosen requests pending again, whose answers are no longer in the results."""
        with self.transaction() as db:
            db.execute(f"{LOSE} custom_id IN (SELECT custom_id FROM again)")
            db.execute("DELETE FROM held WHERE custom_id IN (SELECT custom_id FROM again)")
            db.execute("DELETE FROM again")

    # -- what happens to them

    def commit(
        self,
        begun: Iterable[Begun],
        ended: Iterable[Ended],
        held: Iterable[Held] = (),
        written: Iterable[str] = (),
    ) -> None:
        """Notes what has happened. `held` are lines whose turn has not come, `written` the ids of lines that were held
        and are in the results now."""
        with self.transaction() as db:
            db.executemany(BEGIN, [begun_row(one) for one in begun])
            db.executemany(END, [attrs.asdict(one) for one in ended])
            db.executemany(HOLD, [attrs.astuple(one) for one in held])
            db.executemany("DELETE FROM held WHERE custom_id = ?", [(as_key(custom_id),) for custom_id in written])

    def hold(self, lines: Iterable[Held]) -> None:
        """Keeps lines of the results until their turn comes again."""
        with self.transaction() as db:
            db.executemany(HOLD, (attrs.astuple(one) for one in lines))

    def due(self, count: int, *, ordered: bool = True) -> list[Held]:
        """The next held lines whose turn has come, at most `count`: all requests before them have their answers, or
        there are no turns since the results are not `ordered`."""
        if not ordered:
            return [Held(*row) for row in self.read("SELECT custom_id, line FROM held LIMIT ?", (count,))]
        ((frontier,),) = self.read(f"SELECT min(ordinal) FROM request WHERE {UNANSWERED}")
        rows = self.read(
            "SELECT custom_id, line FROM held JOIN request USING (custom_id)"
            " WHERE ? IS NULL OR coalesce(ordinal, 0) < ? ORDER BY ordinal LIMIT ?",
            (frontier, frontier, count),
        )
        return [Held(*row) for row in rows]


def _in_use(name: str) -> str:
    return f"{name}: in use: another run is writing these results"


def _number_of(db: sqlite3.Connection, text: str) -> int:
    """The number of a text of parameters, which is kept if it is new."""
    db.execute("INSERT OR IGNORE INTO parameters (text) VALUES (?)", (text,))
    return db.execute("SELECT number FROM parameters WHERE text = ?", (text,)).fetchone()[0]


def _leave_out_others(db: sqlite3.Connection) -> None:
    """Removes the requests without an answer that are not in the input. Those that have cost something are kept for
    that alone."""
    others = "custom_id NOT IN (SELECT custom_id FROM input)"
    db.execute(f"DELETE FROM request WHERE state = 'pending' AND lost_dollars IS NULL AND {others}")
    db.execute(f"UPDATE request SET ordinal = NULL WHERE {UNANSWERED} AND {others}")


def _check_unchanged(db: sqlite3.Connection) -> None:
    """Raises `ChangedError` when requests of the input have answers that were given to other parameters."""
    both = "FROM input JOIN request USING (custom_id)"
    changed = (
        "request.state = 'ended' AND input.hash <> request.hash AND custom_id NOT IN (SELECT custom_id FROM unchecked)"
    )
    first = db.execute(
        f"SELECT input.custom_id, input.ordinal, input.hash {both} WHERE {changed} ORDER BY input.ordinal LIMIT 1"
    ).fetchone()
    if first is None:
        return
    ((answered,),) = db.execute(f"SELECT count(*) {both} WHERE request.state = 'ended'").fetchall()
    pairs = db.execute(
        f"SELECT was.text, now.text, count(*) {both} LEFT JOIN parameters AS was ON was.number = request.shared"
        f" LEFT JOIN parameters AS now ON now.number = input.shared WHERE {changed} GROUP BY was.number, now.number"
    ).fetchall()
    raise ChangedError(Registered(*first), sum(count for _, _, count in pairs), answered, pairs)


def remove_journal(output: str) -> None:
    """Removes the journal of a results file, if there is one. Raises `OutputError` when it is in use, or can't be."""
    path = journal_path(output)
    if os.path.exists(path):
        try:
            Journal(path).close()
        except JournalInUseError:
            raise
        except OutputError:
            pass  # it is no journal, or one of another version
    for name in (path, f"{path}-wal", f"{path}-shm"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise OutputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc
