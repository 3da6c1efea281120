"""The journal of a run: which requests there are, which were begun, how they ended and what they cost.

It is an SQLite database beside the results. The results file is the truth about answers; the journal knows the requests
by their ids and the hashes of their parameters, and what was begun before it ended: so that a run which was killed goes
on where it stopped, and can tell what it lost. One run writes it at a time. All methods block, and may be called
from any thread; they raise `OutputError` when the journal can't be read or written.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypedDict

import attrs

from ...actors.message import Usage
from .columns import as_key, as_number, as_text, as_whole
from .output import OutputError, StoreError
from .totals import Totals, read_totals

__all__ = [
    "Begun",
    "ChangedError",
    "DuplicateError",
    "Ended",
    "Held",
    "Journal",
    "JournalInUseError",
    "Registered",
    "columns_in",
    "columns_of",
    "journal_path",
    "readable",
    "remove_journal",
]

_FORMAT = "1"
_LOCKED_SECONDS = 1.0
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE request (
    custom_id TEXT PRIMARY KEY,
    ordinal INTEGER,        -- its place in the input: later requests have higher numbers
    hash BLOB,              -- of its parameters; null where only its line in the results is known
    state TEXT NOT NULL,    -- pending, begun or ended
    kind TEXT,              -- of its answer: succeeded, errored, canceled or expired
    error TEXT,             -- the error's type
    message TEXT,           -- what it said, in at most 300 characters
    model TEXT,
    stop_reason TEXT,
    submitted REAL,         -- Unix seconds; the other times are in seconds
    queued REAL,
    ttft REAL,
    seconds REAL,           -- from its submission to its end
    gap_p50 REAL, gap_p90 REAL, gap_p99 REAL,
    contents INTEGER,
    attempts INTEGER,
    input_tokens INTEGER,   -- these five are of all attempts; while it is begun, as far as it is known
    cache_write_tokens INTEGER,
    cache_read_tokens INTEGER,
    output_tokens INTEGER,
    dollars REAL,           -- null when nobody knows the price
    lost_input_tokens INTEGER, lost_output_tokens INTEGER, lost_dollars REAL  -- paid for, with no answer to show for it
) WITHOUT ROWID;
CREATE INDEX unanswered ON request (ordinal) WHERE state <> 'ended';
CREATE TABLE sitting (number INTEGER PRIMARY KEY, began REAL NOT NULL, ended REAL, how TEXT);
CREATE TABLE held (custom_id TEXT PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID;  -- lines whose turn has not come
"""
# What has come to the format since its first day: who goes on with an older journal adds it, and who reads one can do
# without.
_ADDED = {"message": "ALTER TABLE request ADD COLUMN message TEXT"}
_LOSE = """
UPDATE request SET state = 'pending', kind = NULL, error = NULL, message = NULL,
    lost_input_tokens = coalesce(lost_input_tokens, 0) + coalesce(input_tokens, 0) + coalesce(cache_write_tokens, 0)
        + coalesce(cache_read_tokens, 0),
    lost_output_tokens = coalesce(lost_output_tokens, 0) + coalesce(output_tokens, 0),
    lost_dollars = coalesce(lost_dollars, 0.0) + coalesce(dollars, 0.0),
    input_tokens = NULL, cache_write_tokens = NULL, cache_read_tokens = NULL, output_tokens = NULL, dollars = NULL
WHERE """


def journal_path(output: str) -> str:
    """Where the journal of a results file is."""
    return f"{output}.journal"


class JournalInUseError(StoreError):
    """Another run has the journal."""


@attrs.frozen
class Registered:
    """A request of the input: its id, its place, and the hash of its parameters."""

    custom_id: str = attrs.field(converter=as_key)
    ordinal: int
    hash: bytes = attrs.field(repr=False)


@attrs.frozen
class Begun:
    """A request that was begun, and what it has used so far."""

    custom_id: str = attrs.field(converter=as_key)
    submitted: float
    usage: Usage = Usage()
    dollars: float | None = attrs.field(default=0.0, converter=as_number)


@attrs.frozen(kw_only=True)
class Ended:
    """A request that has its answer. The fields are the columns, and take whatever was said."""

    custom_id: str = attrs.field(converter=as_key)
    kind: str
    error: str | None = attrs.field(default=None, converter=as_text)
    message: str | None = attrs.field(default=None, converter=as_text)
    model: str | None = attrs.field(default=None, converter=as_text)
    stop_reason: str | None = attrs.field(default=None, converter=as_text)
    submitted: float | None = attrs.field(default=None, converter=as_number)
    queued: float | None = attrs.field(default=None, converter=as_number)
    ttft: float | None = attrs.field(default=None, converter=as_number)
    seconds: float | None = attrs.field(default=None, converter=as_number)
    gap_p50: float | None = attrs.field(default=None, converter=as_number)
    gap_p90: float | None = attrs.field(default=None, converter=as_number)
    gap_p99: float | None = attrs.field(default=None, converter=as_number)
    contents: int | None = attrs.field(default=None, converter=as_whole)
    attempts: int | None = attrs.field(default=None, converter=as_whole)
    input_tokens: int | None = attrs.field(default=None, converter=as_whole)
    cache_write_tokens: int | None = attrs.field(default=None, converter=as_whole)
    cache_read_tokens: int | None = attrs.field(default=None, converter=as_whole)
    output_tokens: int | None = attrs.field(default=None, converter=as_whole)
    dollars: float | None = attrs.field(default=None, converter=as_number)


class TokenColumns(TypedDict):
    """The tokens as the journal has them."""

    input_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    output_tokens: int


def columns_of(usage: Usage) -> TokenColumns:
    """A usage in the journal's columns."""
    return {
        "input_tokens": as_whole(usage.input_tokens) or 0,
        "cache_write_tokens": as_whole(usage.cache_creation_input_tokens) or 0,
        "cache_read_tokens": as_whole(usage.cache_read_input_tokens) or 0,
        "output_tokens": as_whole(usage.output_tokens) or 0,
    }


@attrs.frozen
class Held:
    """A line of the results that waits for those before it."""

    custom_id: str = attrs.field(converter=as_key)
    line: bytes = attrs.field(repr=False)


_ENDED_COLUMNS = [field.name for field in attrs.fields(Ended) if field.name != "custom_id"]
_END = (
    f"UPDATE request SET state = 'ended', {', '.join(f'{name} = :{name}' for name in _ENDED_COLUMNS)}"
    " WHERE custom_id = :custom_id"
)
_BEGIN = """
UPDATE request SET state = 'begun', submitted = ?, input_tokens = ?, cache_write_tokens = ?, cache_read_tokens = ?,
    output_tokens = ?, dollars = ? WHERE custom_id = ? AND state <> 'ended'
"""


class Journal:
    """An open journal; `path` None is one that is forgotten when it is closed."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._sitting = 0
        self._lock = threading.RLock()
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

    def _prepare(self) -> None:
        db = self._db
        # Held until it is closed, also by a process that is killed: the system lets go of a dead one's locks.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # a commit that a power cut takes back is found in the results
        db.execute("BEGIN IMMEDIATE")
        try:
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('format', ?)", (_FORMAT,))
            self._check_format()
            for statement in (_ADDED[name] for name in _ADDED.keys() - columns_in(db)):
                db.execute(statement)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        # Of this run alone: what the input holds, and what the results hold.
        db.execute("CREATE TEMP TABLE input (custom_id TEXT PRIMARY KEY, ordinal INTEGER, hash BLOB) WITHOUT ROWID")
        db.execute("CREATE TEMP TABLE found (custom_id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def _check_format(self) -> None:
        try:
            (found,) = self._db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except (sqlite3.OperationalError, TypeError):
            raise sqlite3.DatabaseError("it has none of its tables") from None
        if str(found) != _FORMAT:
            raise OutputError(
                f"{self.path}: its format is {found}, this version of manystream writes format {_FORMAT};"
                " --overwrite starts anew"
            )

    @contextmanager
    def _failures(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as exc:
            name = self.path or "the run's temporary journal"
            match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    raise JournalInUseError(f"{name}: in use: another run is writing these results") from exc
                case sqlite3.SQLITE_FULL:
                    raise StoreError(f"{name}: no space left on device") from exc
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:
                    raise OutputError(f"{name}: not the journal of a run ({exc}); --overwrite starts anew") from exc
                case _:
                    raise StoreError(f"{name}: can't be read or written: {exc}") from exc

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All of what is done in the block, or nothing of it."""
        with self._failures():
            self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @property
    def database(self) -> sqlite3.Connection:
        """The database itself."""
        return self._db

    def totals(self) -> Totals:
        """What all sittings add up to so far."""
        with self._failures():
            return read_totals(self._db)

    # -- one run after the other

    def begin_sitting(self) -> None:
        """A run begins, or goes on."""
        with self.transaction() as db:
            self._sitting = db.execute("INSERT INTO sitting (began) VALUES (?)", (time.time(),)).lastrowid or 0

    def end_sitting(self, how: str) -> None:
        """It stops, of itself: of one that was killed there is no end. What was begun and not ended is lost."""
        with self.transaction() as db:
            db.execute(f"{_LOSE} state = 'begun'")
            db.execute("UPDATE sitting SET ended = ?, how = ? WHERE number = ?", (time.time(), how, self._sitting))

    def close(self) -> None:
        """Lets go of the database."""
        with suppress(sqlite3.Error):
            self._db.close()

    # -- what is asked

    def register(self, requests: Iterable[Registered]) -> None:
        """Takes the whole input in. What was registered before and is in the input no more is forgotten, unless it has
        an answer or has cost something. Raises `DuplicateError` and `ChangedError`."""
        with self.transaction() as db:
            db.execute("DELETE FROM input")
            for request in requests:
                try:
                    db.execute("INSERT INTO input VALUES (?, ?, ?)", attrs.astuple(request))
                except sqlite3.IntegrityError:
                    first = db.execute("SELECT ordinal FROM input WHERE custom_id = ?", (request.custom_id,)).fetchone()
                    raise DuplicateError(request, first[0]) from None
            changed = db.execute(
                "SELECT input.custom_id, input.ordinal, input.hash FROM input JOIN request USING (custom_id)"
                " WHERE input.hash <> request.hash AND request.state = 'ended' ORDER BY input.ordinal LIMIT 1"
            ).fetchone()
            if changed is not None:
                raise ChangedError(Registered(*changed))
            db.execute(
                "DELETE FROM request WHERE state = 'pending' AND lost_dollars IS NULL"
                " AND custom_id NOT IN (SELECT custom_id FROM input)"
            )
            db.execute(
                "INSERT INTO request (custom_id, ordinal, hash, state)"
                " SELECT custom_id, ordinal, hash, 'pending' FROM input WHERE true"
                " ON CONFLICT (custom_id) DO UPDATE SET ordinal = excluded.ordinal, hash = excluded.hash"
            )

    def register_one(self, request: Registered) -> bool:
        """Takes one more request of the input in. Returns whether it is to be run: it has no answer yet.

        Raises `DuplicateError` and `ChangedError`.
        """
        with self.transaction() as db:
            try:
                db.execute("INSERT INTO input VALUES (?, ?, ?)", attrs.astuple(request))
            except sqlite3.IntegrityError:
                first = db.execute("SELECT ordinal FROM input WHERE custom_id = ?", (request.custom_id,)).fetchone()
                raise DuplicateError(request, first[0]) from None
            known = db.execute("SELECT hash, state FROM request WHERE custom_id = ?", (request.custom_id,)).fetchone()
            if known is None:
                db.execute(
                    "INSERT INTO request (custom_id, ordinal, hash, state) VALUES (?, ?, ?, 'pending')",
                    attrs.astuple(request),
                )
                return True
            if known[1] == "ended" and known[0] is not None and known[0] != request.hash:
                raise ChangedError(request)
            db.execute(
                "UPDATE request SET ordinal = ?, hash = ? WHERE custom_id = ?",
                (request.ordinal, request.hash, request.custom_id),
            )
            return known[1] != "ended"

    def unanswered(self, after: int, count: int) -> list[Registered]:
        """The next requests of the input that have no answer, in their order."""
        with self._failures():
            return [
                Registered(*row)
                for row in self._db.execute(
                    "SELECT custom_id, ordinal, hash FROM request INDEXED BY unanswered"
                    " WHERE state <> 'ended' AND ordinal > ?"
                    " AND custom_id IN (SELECT custom_id FROM input) ORDER BY ordinal LIMIT ?",
                    (after, count),
                )
            ]

    def count(self) -> int:
        """How many requests there are, those included that are in the input no more."""
        with self._failures():
            return self._db.execute("SELECT count(*) FROM request").fetchone()[0]

    def gone(self) -> int:
        """How many have an answer and are in the input no more."""
        with self._failures():
            return self._db.execute(
                "SELECT count(*) FROM request WHERE state = 'ended' AND custom_id NOT IN (SELECT custom_id FROM input)"
            ).fetchone()[0]

    # -- what happens

    def commit(
        self,
        begun: Iterable[Begun],
        ended: Iterable[Ended],
        held: Iterable[Held] = (),
        written: Iterable[str] = (),
    ) -> None:
        """Takes in what has happened. `held` are lines ahead of their turn, `written` the ids of those that are in the
        results now."""
        with self.transaction() as db:
            db.executemany(_BEGIN, [_begun_row(one) for one in begun])
            db.executemany(_END, [attrs.asdict(one) for one in ended])
            db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?)", [attrs.astuple(one) for one in held])
            db.executemany("DELETE FROM held WHERE custom_id = ?", [(as_key(custom_id),) for custom_id in written])

    def due(self, count: int) -> list[Held]:
        """The next lines that are held and whose turn has come: all before them have their answers."""
        with self._failures():
            (frontier,) = self._db.execute("SELECT min(ordinal) FROM request WHERE state <> 'ended'").fetchone()
            return [
                Held(*row)
                for row in self._db.execute(
                    "SELECT custom_id, line FROM held JOIN request USING (custom_id)"
                    " WHERE ? IS NULL OR coalesce(ordinal, 0) < ? ORDER BY ordinal LIMIT ?",
                    (frontier, frontier, count),
                )
            ]

    def held(self) -> int:
        """How many lines wait for their turn."""
        with self._failures():
            return self._db.execute("SELECT count(*) FROM held").fetchone()[0]

    # -- what was lost and found: for `resume`

    def note_found(self, lines: Iterable[tuple[str, int]]) -> tuple[str, int, int] | None:
        """Takes in which ids the lines of the results have, with their numbers. Returns the first id that stands there
        twice, with the two numbers."""
        with self.transaction() as db:
            for said, number in lines:
                custom_id = as_key(said)
                try:
                    db.execute("INSERT INTO found VALUES (?, ?)", (custom_id, number))
                except sqlite3.IntegrityError:
                    (first,) = db.execute("SELECT line FROM found WHERE custom_id = ?", (custom_id,)).fetchone()
                    return custom_id, first, number
        return None

    def ended_count(self) -> int:
        """How many requests have an answer, as far as the journal knows."""
        with self._failures():
            return self._db.execute("SELECT count(*) FROM request WHERE state = 'ended'").fetchone()[0]

    def unknown_lines(self) -> Iterator[int]:
        """The numbers of the lines of the results whose request has not ended, as far as the journal knows."""
        with self._failures():
            rows = self._db.execute(
                "SELECT line FROM found LEFT JOIN request USING (custom_id) WHERE coalesce(state, '') <> 'ended'"
                " ORDER BY line"
            ).fetchall()
        return (number for (number,) in rows)

    def adopt(self, lines: Iterable[Ended]) -> None:
        """Takes in answers that are in the results and not in the journal."""
        with self.transaction() as db:
            for line in lines:
                db.execute("INSERT OR IGNORE INTO request (custom_id, state) VALUES (?, 'pending')", (line.custom_id,))
                db.execute(_END, attrs.asdict(line))

    def lose(self) -> int:
        """Makes pending what was begun, and what is said to have an answer that is nowhere; lines that are held and in
        the results are held no more. Returns how many answers are missing."""
        with self.transaction() as db:
            db.execute(f"{_LOSE} state = 'begun'")
            db.execute("DELETE FROM held WHERE custom_id IN (SELECT custom_id FROM found)")
            return db.execute(
                f"{_LOSE} state = 'ended' AND custom_id NOT IN (SELECT custom_id FROM found)"
                " AND custom_id NOT IN (SELECT custom_id FROM held)"
            ).rowcount

    def retry(self, custom_ids: Iterable[str]) -> None:
        """Makes these requests pending again: their answers are not in the results any more."""
        with self.transaction() as db:
            keys = [(as_key(custom_id),) for custom_id in custom_ids]
            db.executemany(f"{_LOSE} custom_id = ?", keys)
            db.executemany("DELETE FROM held WHERE custom_id = ?", keys)

    def lines_of_failed(self) -> list[int]:
        """The numbers of the lines of the results that are of such requests as `failed` gives."""
        with self._failures():
            return [
                number
                for (number,) in self._db.execute(
                    "SELECT line FROM found JOIN request USING (custom_id) WHERE kind IN ('errored', 'expired')"
                )
            ]

    def hold(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Takes lines of the results in that are to wait for their turn again."""
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO held VALUES (?, ?)", ((as_key(one), line) for one, line in lines))

    def failed(self) -> list[str]:
        """The ids of the requests that errored or expired."""
        with self._failures():
            return [
                custom_id
                for (custom_id,) in self._db.execute(
                    "SELECT custom_id FROM request WHERE state = 'ended' AND kind IN ('errored', 'expired')"
                )
            ]


class DuplicateError(Exception):
    """An id stands in the input twice: `request`, and before it at the place `first`."""

    def __init__(self, request: Registered, first: int) -> None:
        super().__init__(f"custom_id {request.custom_id!r} was used before")
        self.request = request
        self.first = first


class ChangedError(Exception):
    """`request` has an answer, to other parameters than it has now."""

    def __init__(self, request: Registered) -> None:
        super().__init__(f"custom_id {request.custom_id!r} has other parameters than before")
        self.request = request


def readable(data: bytes) -> str:
    """A text of the database, whatever bytes it is: for `sqlite3.Connection.text_factory`."""
    return data.decode(errors="backslashreplace")


def columns_in(journal: sqlite3.Connection) -> set[str]:
    """The columns that requests have in it, which an older release may have made."""
    return {row[1] for row in journal.execute("PRAGMA table_info(request)")}


def _begun_row(begun: Begun) -> tuple[Any, ...]:
    return (as_number(begun.submitted), *columns_of(begun.usage).values(), begun.dollars, begun.custom_id)


def remove_journal(output: str) -> None:
    """Removes the journal of a results file, if there is one. Raises `OutputError` when it is in use, or can't be."""
    path = journal_path(output)
    if os.path.exists(path):
        try:
            Journal(path).close()
        except JournalInUseError:
            raise
        except OutputError:
            pass  # it is none, or of another version
    for name in (path, f"{path}-wal", f"{path}-shm"):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise OutputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc
