"""Continuing a run that stopped: the results file compared with the journal.

| in the results        | in the journal           | what happens                                                     |
|-----------------------|--------------------------|------------------------------------------------------------------|
| a line                | ended                    | nothing: the request is done                                     |
| a line                | begun, pending, unknown  | adopted: the run was killed before it could note the answer      |
| a torn last line      |                          | cut off, and run again; kept if only its line feed is missing    |
| no line               | ended                    | pending again, and its cost is lost, unless the line is held     |
| no line               | set aside                | put back: it was run again, and no other answer came             |
| no line               | begun                    | pending again, and what it had cost so far is lost               |
| two lines with one id |                          | refused: something else has written to the file                  |
| a foreign line        |                          | refused                                                          |

All of it blocks. The results are read line by line.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, cast

import attrs

from ...actors.message import usage_from_json
from ..prices import Prices
from .found_lines import FoundLines
from .journal import Journal
from .journal_rows import Ended, Held, columns_of
from .output import OutputError, ResultFile
from .replaced import put_back, set_aside
from .transient import line_passes

__all__ = ["drop_chosen", "reconcile"]

# How our own lines begin. The ids of other lines are found by parsing their JSON.
_HEAD = re.compile(rb'\{"custom_id":("(?:[^"\\]|\\.)*"),"result":\{"type":"(succeeded|errored|canceled|expired)"')
_KINDS = ("succeeded", "errored", "canceled", "expired")


def reconcile(output: ResultFile, journal: Journal, prices: Prices) -> tuple[FoundLines, int]:
    """Brings the journal up to date with the results. Returns the lines that were found, and how many answers are
    missing that the journal knew of.

    Raises `OutputError` when the results are not what a run leaves.
    """
    found = FoundLines(journal)
    twice = found.note(_ids(output))
    if twice is not None:
        custom_id, first, second = twice
        raise OutputError(
            f"{output.name}:{second}: {custom_id!r} is in line {first} already, so something else has written to this"
            " file; --overwrite starts anew"
        )
    unknown = found.unknown()
    if unknown:
        found.adopt(
            _ended(output.name, number, line, prices)
            for number, line in enumerate(output.lines(), 1)
            if number in unknown
        )
    missing = found.lose_others()
    put_back(journal)
    return found, missing


def drop_chosen(output: ResultFile, journal: Journal, found: FoundLines, *, ordered: bool) -> None:
    """Removes the answers that are run again from the results, and makes their requests pending again.

    They are set aside before, so that a kill halfway loses none of them. With `ordered`, the lines behind the first
    removed one wait in the journal until that one has its new answer.
    """
    numbers = found.chosen()
    set_aside(journal, journal.chosen_held())
    if numbers:
        numbered = enumerate(output.lines(), 1)
        set_aside(
            journal, (Held(_id(output.name, number, line), line) for number, line in numbered if number in numbers)
        )
        first = min(numbers)
        if ordered:
            journal.hold(
                Held(_id(output.name, number, line), line)
                for number, line in enumerate(output.lines(), 1)
                if number > first and number not in numbers
            )
        gone = range(first, sys.maxsize) if ordered else numbers
        output.rewrite(line for number, line in enumerate(output.lines(), 1) if number not in gone)
    journal.drop_chosen()


def _ids(output: ResultFile) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(output.lines(), 1):
        yield _id(output.name, number, line), number


def _id(name: str, number: int, line: bytes) -> str:
    head = _HEAD.match(line)
    try:
        custom_id = json.loads(line)["custom_id"] if head is None else json.loads(head[1])
    except (ValueError, KeyError, TypeError, RecursionError):
        custom_id = None
    if not isinstance(custom_id, str):
        raise _foreign(name, number)
    return custom_id


def _foreign(name: str, number: int) -> OutputError:
    return OutputError(f"{name}:{number}: not a line that a run wrote; --overwrite starts anew")


def _ended(name: str, number: int, line: bytes, prices: Prices) -> Ended:
    """The journal's row for a line of the results. The service may have put anything into it: a line whose content
    can't be read is still an answer. Raises `OutputError` for a line that no run wrote."""
    head = _HEAD.match(line)
    try:
        entry: Any = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _foreign(name, number) from None
    except (ValueError, RecursionError):  # JSON that Python refuses to read: a number too long, nested too deeply
        if head is None:
            raise _foreign(name, number) from None
        return Ended(custom_id=json.loads(head[1]), kind=head[2].decode())
    result = _object(_object(entry).get("result"))
    custom_id, own_id, kind = _object(entry).get("custom_id"), _object(entry).get("id"), result.get("type")
    if kind not in _KINDS or not isinstance(custom_id, str):
        raise _foreign(name, number)
    row = Ended(custom_id=custom_id, shown_id=own_id, kind=kind)
    if kind == "succeeded" or "message" in result:  # an error has one when the answer was whole, and not what was asked
        answer = _object(result.get("message"))
        usage, model = usage_from_json(_object(answer.get("usage"))), answer.get("model")
        row = attrs.evolve(
            row,
            model=model,
            stop_reason=answer.get("stop_reason"),
            **columns_of(usage),
            dollars=prices.cost(model, usage) if isinstance(model, str) else None,
        )
    if kind == "errored":
        error = result.get("error")
        inner = _object(error).get("error", error)
        said = _object(inner) or {"message": inner}
        error, message = said.get("type"), said.get("message")
        passing = line_passes(error, message) if isinstance(error, str) and isinstance(message, str | None) else False
        return attrs.evolve(row, error=error, message=message, transient=passing)
    return row


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
