"""The ids that an input uses, each with its place: on disk, since there may be more than memory holds."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["DuplicateError", "add_id", "create_input", "temporary_ids"]


class DuplicateError(Exception):
    """An id is used twice in the input: at the place `ordinal`, and before it at the place `first`."""

    def __init__(self, custom_id: str, ordinal: int, first: int) -> None:
        super().__init__(f"custom_id {custom_id!r} was used before")
        self.custom_id = custom_id
        self.ordinal = ordinal
        self.first = first


def create_input(db: sqlite3.Connection) -> None:
    """Creates the table `input`, which lasts as long as the connection. Raises `sqlite3.Error`."""
    db.execute(
        "CREATE TEMP TABLE input (custom_id TEXT PRIMARY KEY, ordinal INTEGER, hash BLOB, shared INTEGER,"
        " shown_id TEXT) WITHOUT ROWID"
    )


def add_id(
    db: sqlite3.Connection,
    custom_id: str,
    ordinal: int,
    hash: bytes | None = None,
    shared: int | None = None,
    shown_id: str | None = None,
) -> None:
    """Adds a request of the input. Raises `DuplicateError` when its id is there already, and `sqlite3.Error`."""
    try:
        db.execute("INSERT INTO input VALUES (?, ?, ?, ?, ?)", (custom_id, ordinal, hash, shared, shown_id))
    except sqlite3.IntegrityError:
        (first,) = db.execute("SELECT ordinal FROM input WHERE custom_id = ?", (custom_id,)).fetchone()
        raise DuplicateError(custom_id, ordinal, first) from None


@contextmanager
def temporary_ids() -> Generator[sqlite3.Connection]:
    """A database for `add_id` alone. It is removed at the end of the block. Raises `sqlite3.Error`."""
    db = sqlite3.connect("", isolation_level=None)
    try:
        create_input(db)
        db.execute("BEGIN")
        yield db
    finally:
        db.close()
