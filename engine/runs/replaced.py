"""Answers that are asked for again, kept until there are others.

One that is run again is set aside in the journal, with its line, since an old answer is worth more than none. When the
session ends, or after a kill the next one begins, and its request has no other answer, it is put back: first into the
journal, as a line that is held, then into the results like any held line. A kill anywhere in between loses neither.

All of it blocks and raises `OutputError` when the journal can't be read or written.
"""

import json
from collections.abc import Iterable

import attrs

from .columns import as_key
from .journal import HOLD, Journal
from .journal_rows import END, LOSE, Ended, Held

__all__ = ["put_back", "set_aside"]

_COLUMNS = [field.name for field in attrs.fields(Ended)]


def set_aside(journal: Journal, lines: Iterable[Held]) -> None:
    """Keeps these answers, whose requests have ended. Their lines may then be removed from the results."""
    with journal.transaction() as db:
        for held in lines:
            row = db.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM request WHERE custom_id = ?", (as_key(held.custom_id),)
            ).fetchone()
            columns = json.dumps(dict(zip(_COLUMNS, row, strict=True)))
            db.execute("INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)", (held.custom_id, held.line, columns))


def put_back(journal: Journal) -> int:
    """Gives the answers that were set aside back to the requests that have no other: their lines are held then. What
    was begun for them is lost. Returns how many there were."""
    with journal.transaction() as db:
        db.execute("DELETE FROM replaced WHERE custom_id IN (SELECT custom_id FROM request WHERE state = 'ended')")
        db.execute(f"{LOSE} state = 'begun' AND custom_id IN (SELECT custom_id FROM replaced)")
        kept = db.execute("SELECT custom_id, line, columns FROM replaced").fetchall()
        for custom_id, line, columns in kept:
            ended = Ended(**json.loads(columns))
            db.execute(_FIND, {**attrs.asdict(ended), "custom_id": custom_id})
            db.execute(END, attrs.asdict(ended))
            db.execute(HOLD, (custom_id, line))
        db.execute("DELETE FROM replaced")
    return len(kept)


# Its cost was counted as lost when it was to be replaced.
_FIND = """
UPDATE request SET
    lost_input_tokens = max(0, coalesce(lost_input_tokens, 0) - coalesce(:input_tokens, 0)
        - coalesce(:cache_write_tokens, 0) - coalesce(:cache_read_tokens, 0)),
    lost_output_tokens = max(0, coalesce(lost_output_tokens, 0) - coalesce(:output_tokens, 0)),
    lost_dollars = max(0.0, coalesce(lost_dollars, 0.0) - coalesce(:dollars, 0.0))
WHERE custom_id = :custom_id
"""
