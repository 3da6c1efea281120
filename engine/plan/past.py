"""What the results of a run and its journal tell of the requests that are still to come.

Those that ended first are no sample of the rest: they are the short ones. So an estimate rests on the beginning of the
input, as far as it was answered to the end (`Results.pilot`). After `run --limit 30` that is all there is; a run that
was interrupted leaves a few gaps, and the beginning ends where there are more than a few.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import attrs

from ..admission import Limits
from ..runs.columns import as_key
from ..runs.journal_rows import columns_in, format_of, is_readable_format, journal_path
from ..runs.reading import BusyError, read_journal
from .inventory import Item

__all__ = ["Answer", "PilotAnswer", "PlanError", "Results", "read_past"]

_GAPS = 0.02  # of the beginning of the input may lack their answers
_COLUMNS = (
    "custom_id, state, kind, transient, queued, ttft, seconds, attempts, input_tokens,"
    " cache_write_tokens, cache_read_tokens, output_tokens"
)


class PlanError(Exception):
    """No plan can be made. The message is one line that says why."""


@attrs.frozen(kw_only=True)
class Answer:
    """An answer that exists."""

    succeeded: bool
    runs_again: bool = False
    """Whether the same command asks for it again."""
    input_tokens: int = 0
    """All of it, whether cached or not, in all attempts."""
    cached_tokens: int = 0
    """Of those, what was read from the cache or written to it."""
    output_tokens: int = 0
    """Of all attempts, since all are paid for."""
    attempts: int = 1
    ttft: float | None = None
    """Seconds from sending to the first content; None when nobody noted it."""
    seconds: float | None = None
    """From the first content to the end; None when nobody noted it, or there were several attempts."""


@attrs.frozen
class PilotAnswer:
    """A request that was answered, and its answer."""

    item: Item
    answer: Answer


@attrs.frozen
class Results:
    """The answers that there are, by `custom_id`."""

    name: str
    answers: Mapping[str, Answer] = attrs.field(factory=dict[str, Answer], repr=False)
    limits: Mapping[str, Limits] = attrs.field(factory=dict[str, Limits])
    """The limits that the run learnt, by the name of their pool."""
    exist: bool = True
    """Whether there are results by that name."""

    def has(self, item: Item) -> bool:
        """Whether the same command would not run this request."""
        answer = self.answers.get(as_key(item.custom_id))
        return answer is not None and not answer.runs_again

    def pilot(self, items: Iterable[Item]) -> list[PilotAnswer]:
        """The good answers to the beginning of the input: to its first requests, of which at most one in fifty has no
        answer."""
        found: list[PilotAnswer] = []
        longest = ended = 0
        for number, item in enumerate(items, 1):
            answer = self.answers.get(as_key(item.custom_id))
            if answer is not None:
                ended += 1
                if answer.succeeded:
                    found.append(PilotAnswer(item, answer))
                if number - ended <= _GAPS * number:
                    longest = len(found)
        return found[:longest]


def read_past(output: str) -> Results:
    """What is known of the run whose results are in `output`: from its journal, or without one from the results alone.

    Raises `PlanError` when they are there and can't be read.
    """
    journal = journal_path(output)
    if os.path.exists(journal):
        try:
            return read_journal(journal, lambda there: _read(output, journal, there))
        except sqlite3.Error as exc:
            raise PlanError(f"{journal}: not the journal of a run: {exc}") from exc
        except BusyError as exc:
            raise PlanError(f"{journal}: {exc}") from exc
        except OSError as exc:
            raise PlanError(f"{journal}: {(exc.strerror or str(exc)).lower()}") from exc
    try:
        with open(output, "rb") as lines:
            return Results(output, dict(_read_lines(output, lines)))
    except FileNotFoundError:
        return Results(output, exist=False)
    except OSError as exc:
        raise PlanError(f"{output}: {(exc.strerror or str(exc)).lower()}") from exc


def _read(output: str, path: str, journal: sqlite3.Connection) -> Results:
    version = format_of(journal)
    if not is_readable_format(version):
        raise PlanError(f"{path}: its format is {version}, which this version of manystream can't read")
    known = columns_in(journal)
    wanted = [name.strip() for name in _COLUMNS.split(",")]
    columns = ", ".join(name if name in known else f"NULL AS {name}" for name in wanted)
    rows = journal.execute(f"SELECT {columns} FROM request WHERE state = 'ended'")
    answers = {str(row[0]): _answer(dict(zip(wanted, row, strict=True))) for row in rows}
    found = journal.execute("SELECT value FROM meta WHERE key = 'limits'").fetchone()
    return Results(output, answers, {} if found is None else _limits(found[0]))


def _answer(row: Mapping[str, Any]) -> Answer:
    attempts = row["attempts"] or 1
    ttft, seconds = row["ttft"], None
    if attempts == 1 and None not in (row["seconds"], ttft):
        seconds = max(0.0, row["seconds"] - (row["queued"] or 0.0) - ttft)
    cached = (row["cache_write_tokens"] or 0) + (row["cache_read_tokens"] or 0)
    return Answer(
        succeeded=row["kind"] == "succeeded",
        runs_again=row["kind"] == "errored" and bool(row["transient"]),
        input_tokens=(row["input_tokens"] or 0) + cached,
        cached_tokens=cached,
        output_tokens=row["output_tokens"] or 0,
        attempts=attempts,
        ttft=ttft,
        seconds=seconds,
    )


def _limits(text: object) -> dict[str, Limits]:
    try:
        return {pool: Limits(**limits) for pool, limits in json.loads(str(text)).items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # it is a help, and nothing that a plan can't do without


def _read_lines(name: str, lines: Iterable[bytes]) -> Iterator[tuple[str, Answer]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line)
            custom_id, result = str(entry["custom_id"]), cast("dict[str, Any]", entry["result"])
            succeeded = result["type"] == "succeeded"
            message: dict[str, Any] = result["message"] if succeeded else {}
            usage: dict[str, Any] = message.get("usage") or {}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise PlanError(f"{name}:{number}: not a line of results") from None
        cached = _count(usage, "cache_creation_input_tokens") + _count(usage, "cache_read_input_tokens")
        yield (
            as_key(custom_id),
            Answer(
                succeeded=succeeded,
                input_tokens=_count(usage, "input_tokens") + cached,
                cached_tokens=cached,
                output_tokens=_count(usage, "output_tokens"),
            ),
        )


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
