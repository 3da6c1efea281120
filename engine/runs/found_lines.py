"""The lines that a results file holds, compared with the journal: the queries of `resume`.

All methods block and raise `OutputError` when the journal can't be read or written.
"""

import sqlite3
from collections.abc import Iterable

import attrs

from .columns import as_key
from .journal import Journal
from .journal_rows import END, LOSE, Ended

__all__ = ["FoundLines"]


class FoundLines:
    """The ids of the lines that were found, with the lines' numbers. Made once for an open journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        with journal.transaction() as db:
            db.execute("CREATE TEMP TABLE found (custom_id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def note(self, lines: Iterable[tuple[str, int]]) -> tuple[str, int, int] | None:
        """Adds the ids of lines with the lines' numbers. Returns the first id that is there twice, with both numbers;
        then nothing more is added."""
        with self._journal.transaction() as db:
            for said, number in lines:
                custom_id = as_key(said)
                try:
                    db.execute("INSERT INTO found VALUES (?, ?)", (custom_id, number))
                except sqlite3.IntegrityError:
                    (first,) = db.execute("SELECT line FROM found WHERE custom_id = ?", (custom_id,)).fetchone()
                    return custom_id, first, number
        return None

    def unknown(self) -> set[int]:
        """The numbers of the lines whose request has not ended according to the journal."""
        rows = self._journal.read(
            "SELECT line FROM found LEFT JOIN request USING (custom_id) WHERE coalesce(state, '') <> 'ended'"
        )
        return {number for (number,) in rows}

    def adopt(self, lines: Iterable[Ended]) -> None:
        """Adds answers to the journal that only the results had. A line tells what its message has used. Where the
        journal had noted more, attempts before it were paid for too."""
        with self._journal.transaction() as db:
            for line in lines:
                db.execute("INSERT OR IGNORE INTO request (custom_id, state) VALUES (?, 'pending')", (line.custom_id,))
                noted = db.execute(_NOTED, (line.custom_id,)).fetchone()
                db.execute(END, attrs.asdict(_with_noted(line, *noted)))

    def lose_others(self) -> int:
        """Makes pending what was begun, and what has an answer according to the journal that was not found. Lines that
        were held and found are no longer held. Returns how many answers are missing."""
        with self._journal.transaction() as db:
            db.execute(f"{LOSE} state = 'begun'")
            db.execute("DELETE FROM held WHERE custom_id IN (SELECT custom_id FROM found)")
            return db.execute(
                f"{LOSE} state = 'ended' AND custom_id NOT IN (SELECT custom_id FROM found)"
                " AND custom_id NOT IN (SELECT custom_id FROM held)"
            ).rowcount

    def chosen(self) -> frozenset[int]:
        """The numbers of the lines whose requests the journal was told to run again."""
        rows = self._journal.read("SELECT line FROM found JOIN again USING (custom_id)")
        return frozenset(number for (number,) in rows)


_TOKENS = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens")
_NOTED = f"SELECT dollars, {', '.join(_TOKENS)} FROM request WHERE custom_id = ?"


def _with_noted(line: Ended, dollars: float | None, *tokens: int | None) -> Ended:
    """The row of a line whose request had used this by the journal's last note."""
    told = [getattr(line, name) or 0 for name in _TOKENS]
    noted = [count or 0 for count in tokens]
    most = dict(zip(_TOKENS, map(max, told, noted), strict=True))
    if sum(most.values()) == sum(told):
        return line
    paid = max(line.dollars or 0.0, dollars or 0.0) or line.dollars  # an unknown price stays unknown
    row = attrs.evolve(line, **most, dollars=paid, estimated=1)
    if line.kind != "succeeded" or sum(noted[:-1]) <= sum(told[:-1]):
        return row  # each attempt is billed for its input: there was no other, or all of them belong to the failure
    return attrs.evolve(row, restarts=1, restarted_dollars=(paid or 0.0) - (line.dollars or 0.0))
