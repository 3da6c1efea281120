"""The journal's format: where it lies, its tables, and the values that go into its rows.

Format 2 calls `session` what format 1 called `sitting`. A journal of either may lack columns that came later. Whoever
writes a journal upgrades it first. Whoever only reads takes either format.
"""

import sqlite3
from typing import Any, TypedDict

import attrs

from ...actors.message import Usage
from .columns import as_key, as_number, as_text, as_whole
from .transient import line_passes

__all__ = [
    "BEGIN",
    "END",
    "FORMAT",
    "LOSE",
    "SCHEMA",
    "UNANSWERED",
    "Begun",
    "Ended",
    "Held",
    "Registered",
    "begun_row",
    "columns_in",
    "columns_of",
    "failure_in",
    "format_of",
    "is_readable_format",
    "journal_path",
    "readable",
    "session_table",
    "shown_id_in",
    "upgrade",
]

FORMAT = "2"
_OLD_FORMAT = "1"
_LATER_COLUMNS = {
    "message": "TEXT",
    "cache_miss": "TEXT",
    "cache_missed_tokens": "INTEGER",
    "cache_missed_dollars": "REAL",
    "estimated": "INTEGER",
    "failure": "TEXT",
    "shared": "INTEGER",
    "transient": "INTEGER",
    "restarts": "INTEGER",
    "restarted_dollars": "REAL",
    "shown_id": "TEXT",
}
_LATER_OF_SESSIONS = {
    "participants": "INTEGER",
    "share": "REAL",
    "unreached": "REAL",
    "spent_together": "REAL",
    "cap_together": "REAL",
}
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE request (
    custom_id TEXT PRIMARY KEY,
    ordinal INTEGER,        -- its place in the input: later requests have higher numbers; see UNANSWERED
    hash BLOB,              -- of its parameters; null where only its line in the results is known
    state TEXT NOT NULL,    -- pending, begun or ended
    kind TEXT,              -- of its answer: succeeded, errored, canceled or expired
    error TEXT,             -- the error's type
    message TEXT,           -- the error's message, in at most 300 characters
    failure TEXT,           -- the failure's own name, where it is known: results have fewer types
    transient INTEGER,      -- 1 if it passes by itself: a run that goes on makes the request again
    model TEXT,
    stop_reason TEXT,
    submitted REAL,         -- Unix seconds; the other times are in seconds
    queued REAL,
    ttft REAL,
    seconds REAL,           -- from its submission to its end
    gap_p50 REAL, gap_p90 REAL, gap_p99 REAL,
    contents INTEGER,
    attempts INTEGER,
    input_tokens INTEGER,   -- these five cover all attempts; while the request runs, as far as they are known
    cache_write_tokens INTEGER,
    cache_read_tokens INTEGER,
    output_tokens INTEGER,
    dollars REAL,           -- null when the price is unknown
    estimated INTEGER,      -- 1 when some of the output tokens, and so the dollars, are an estimate
    restarts INTEGER,       -- attempts that were paid for and begun anew
    restarted_dollars REAL, -- what those cost: a part of the dollars
    cache_miss TEXT,        -- why the prompt cache was not read in full, where the API was asked
    cache_missed_tokens INTEGER,
    cache_missed_dollars REAL,
    shown_id TEXT,          -- what the user knows it by, where that is not its custom_id
    shared INTEGER,         -- its parameters other than the messages, in the table parameters
    lost_input_tokens INTEGER, lost_output_tokens INTEGER, lost_dollars REAL  -- paid for without getting an answer
) WITHOUT ROWID;
CREATE INDEX unanswered ON request (ordinal) WHERE state <> 'ended';
CREATE TABLE session (
    number INTEGER PRIMARY KEY, began REAL NOT NULL, ended REAL, how TEXT,
    participants INTEGER,   -- the most who shared the limits at once, this run included; null without a budget
    share REAL,             -- the run's fair share, from 0 to 1, on average
    unreached REAL,         -- seconds in which the budget could not be reached
    spent_together REAL, cap_together REAL  -- dollars, under the budget's name
);
CREATE TABLE parameters (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE held (custom_id TEXT PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID;  -- lines whose turn has not come
"""
_LATER_TABLES = """
CREATE TABLE IF NOT EXISTS parameters (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS replaced (  -- answers that are asked for again, until there are others
    custom_id TEXT PRIMARY KEY, line BLOB NOT NULL, columns TEXT NOT NULL
) WITHOUT ROWID
"""
UNANSWERED = "state <> 'ended' AND ordinal IS NOT NULL"
"""The condition for requests that still have to be answered. One that left the input has no place in it, and is only
kept for what it has cost: nothing waits for it, and it doesn't count."""
LOSE = """
UPDATE request SET state = 'pending', kind = NULL, error = NULL, message = NULL, failure = NULL,
    transient = NULL, restarts = NULL, restarted_dollars = NULL,
    lost_input_tokens = coalesce(lost_input_tokens, 0) + coalesce(input_tokens, 0) + coalesce(cache_write_tokens, 0)
        + coalesce(cache_read_tokens, 0),
    lost_output_tokens = coalesce(lost_output_tokens, 0) + coalesce(output_tokens, 0),
    lost_dollars = coalesce(lost_dollars, 0.0) + coalesce(dollars, 0.0),
    input_tokens = NULL, cache_write_tokens = NULL, cache_read_tokens = NULL, output_tokens = NULL, dollars = NULL,
    estimated = NULL
WHERE """
"""Makes requests pending again and counts what they cost as lost. A condition has to follow."""


def journal_path(output: str) -> str:
    """The path of the journal that belongs to a results file."""
    return f"{output}.journal"


@attrs.frozen
class Registered:
    """A request of the input: its id, its place, and the hash of what is sent."""

    custom_id: str = attrs.field(converter=as_key)
    ordinal: int
    hash: bytes = attrs.field(repr=False)
    shared: str = attrs.field(default="{}", repr=False, eq=False)
    """Its parameters other than the messages, in short: see `differences`."""
    shown_id: str | None = attrs.field(default=None, repr=False, eq=False)
    """What the user knows it by, where that is not its `custom_id`."""


@attrs.frozen
class Begun:
    """A request that was begun, and what it has used so far."""

    custom_id: str = attrs.field(converter=as_key)
    submitted: float
    usage: Usage = Usage()
    dollars: float | None = attrs.field(default=0.0, converter=as_number)


@attrs.frozen(kw_only=True)
class Ended:
    """A request that has its answer. The fields are the table's columns; their converters accept any value."""

    custom_id: str = attrs.field(converter=as_key)
    kind: str
    error: str | None = attrs.field(default=None, converter=as_text)
    message: str | None = attrs.field(default=None, converter=as_text)
    failure: str | None = attrs.field(default=None, converter=as_text)
    transient: int | None = attrs.field(default=None, converter=as_whole)
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
    estimated: int | None = attrs.field(default=None, converter=as_whole)
    restarts: int | None = attrs.field(default=None, converter=as_whole)
    restarted_dollars: float | None = attrs.field(default=None, converter=as_number)
    cache_miss: str | None = attrs.field(default=None, converter=as_text)
    cache_missed_tokens: int | None = attrs.field(default=None, converter=as_whole)
    cache_missed_dollars: float | None = attrs.field(default=None, converter=as_number)
    shown_id: str | None = attrs.field(default=None, converter=as_text)


@attrs.frozen
class Held:
    """A line of the results that waits for the lines before it."""

    custom_id: str = attrs.field(converter=as_key)
    line: bytes = attrs.field(repr=False)


class TokenColumns(TypedDict):
    """The token counts as the journal stores them."""

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


_ENDED_COLUMNS = [field.name for field in attrs.fields(Ended) if field.name not in ("custom_id", "shown_id")]
END = (
    f"UPDATE request SET state = 'ended', {', '.join(f'{name} = :{name}' for name in _ENDED_COLUMNS)},"
    " shown_id = coalesce(:shown_id, shown_id) WHERE custom_id = :custom_id"
)
"""Takes an `Ended` as a dictionary."""
BEGIN = """
UPDATE request SET state = 'begun', submitted = ?, input_tokens = ?, cache_write_tokens = ?, cache_read_tokens = ?,
    output_tokens = ?, dollars = ? WHERE custom_id = ? AND state <> 'ended'
"""
"""Takes a `begun_row`."""


def begun_row(begun: Begun) -> tuple[Any, ...]:
    """The parameters of `BEGIN`."""
    return (as_number(begun.submitted), *columns_of(begun.usage).values(), begun.dollars, begun.custom_id)


# -- reading a journal of either format


def readable(data: bytes) -> str:
    """A text of the database, whatever bytes it holds: for `sqlite3.Connection.text_factory`."""
    return data.decode(errors="backslashreplace")


def format_of(journal: sqlite3.Connection) -> str:
    """The journal's format, as it is written there.

    Raises `sqlite3.DatabaseError` when the database is not a journal.
    """
    try:
        (found,) = journal.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except (sqlite3.OperationalError, TypeError) as exc:
        if getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        raise sqlite3.DatabaseError("it has none of its tables") from None
    return str(found)


def is_readable_format(version: str) -> bool:
    """Whether this version can read journals of that format."""
    return version in (FORMAT, _OLD_FORMAT)


def columns_in(journal: sqlite3.Connection, table: str = "request") -> set[str]:
    """The columns of a table, which an older release may have made."""
    return {row[1] for row in journal.execute(f"PRAGMA table_info({table})")}


def failure_in(journal: sqlite3.Connection) -> str:
    """The SQL expression of a failure's one name: its own if it is known, else the error's type in the results."""
    return f"coalesce({'failure, ' if 'failure' in columns_in(journal) else ''}error, 'unknown')"


def shown_id_in(journal: sqlite3.Connection) -> str:
    """The SQL expression of what the user knows a request by."""
    return "coalesce(shown_id, custom_id)" if "shown_id" in columns_in(journal) else "custom_id"


def session_table(journal: sqlite3.Connection) -> str:
    """The name of the table of sessions."""
    return "sitting" if format_of(journal) == _OLD_FORMAT else "session"


def upgrade(journal: sqlite3.Connection) -> None:
    """Brings a journal of an older format to `FORMAT`. Call it inside a transaction."""
    found = columns_in(journal)
    for name, kind in _LATER_COLUMNS.items():
        if name not in found:
            journal.execute(f"ALTER TABLE request ADD COLUMN {name} {kind}")
    if "transient" not in found:
        journal.create_function("line_passes", 2, line_passes, deterministic=True)
        journal.execute("UPDATE request SET transient = line_passes(error, message) WHERE kind = 'errored'")
    for statement in _LATER_TABLES.split(";\n"):
        journal.execute(statement)
    if session_table(journal) != "session":
        journal.execute("ALTER TABLE sitting RENAME TO session")
        journal.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
    found = columns_in(journal, "session")
    for name, kind in _LATER_OF_SESSIONS.items():
        if name not in found:
            journal.execute(f"ALTER TABLE session ADD COLUMN {name} {kind}")
