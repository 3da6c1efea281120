"""Going on where a run stopped: what is in the results file, against what its journal says.

| in the results       | in the journal           | what becomes of it                                               |
|----------------------|--------------------------|------------------------------------------------------------------|
| a line               | ended                    | nothing: it is done                                              |
| a line               | begun, pending, unknown  | adopted: the run was killed before it could say so               |
| a torn last line     |                          | cut off, and run again; kept when it lacks only its line feed     |
| no line              | ended                    | pending again, and what it cost is lost, unless its line is held |
| no line              | begun                    | pending again, and what it had cost so far is lost               |
| two lines of one id, |                          | refused: somebody else has written there                         |
| a line of another's  |                          |                                                                  |

All of it blocks. The results are read line by line.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from ...actors.usage import usage_from_json
from ..prices import Prices
from .journal import Ended, Journal, columns_of
from .output import OutputError, ResultFile

__all__ = ["drop_failed", "reconcile"]

# As our own lines begin; the ids of other lines are found by reading their JSON.
_HEAD = re.compile(rb'\{"custom_id":"([^"\\]*)","result":\{"type":"(\w+)"')


def reconcile(output: ResultFile, journal: Journal, prices: Prices) -> int:
    """Makes the journal say what the results hold. Returns how many answers are missing that it knew of.

    Raises `OutputError` when the results are not what a run leaves.
    """
    twice = journal.note_found(_ids(output))
    if twice is not None:
        custom_id, first, second = twice
        raise OutputError(
            f"{output.name}:{second}: {custom_id!r} stands in line {first} already: this is not as a run left it;"
            " --overwrite starts anew"
        )
    adopted = set(journal.unknown_lines())
    if adopted:
        journal.adopt(_ended(line, prices) for number, line in enumerate(output.lines(), 1) if number in adopted)
    return journal.lose()


def drop_failed(output: ResultFile, journal: Journal, *, ordered: bool) -> int:
    """Takes the answers that are errors out of the results, and makes their requests pending again; returns how many.

    A kill in its middle is harmless: what the results have lost then is run again. With `ordered` the lines after the
    first that goes wait in the journal for its new answer.
    """
    failed = journal.failed()
    numbers = frozenset(journal.lines_of_failed())
    if numbers:
        first = min(numbers)
        if ordered:
            journal.hold(
                (_id(output.name, number, line), line)
                for number, line in enumerate(output.lines(), 1)
                if number > first and number not in numbers
            )
        gone = range(first, sys.maxsize) if ordered else numbers
        output.rewrite(line for number, line in enumerate(output.lines(), 1) if number not in gone)
    journal.retry(failed)
    return len(failed)


def _ids(output: ResultFile) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(output.lines(), 1):
        yield _id(output.name, number, line), number


def _id(name: str, number: int, line: bytes) -> str:
    if head := _HEAD.match(line):
        return head[1].decode(errors="replace")
    try:
        custom_id = json.loads(line)["custom_id"]
    except (ValueError, KeyError, TypeError):
        custom_id = None
    if not isinstance(custom_id, str):
        raise OutputError(f"{name}:{number}: not a line that a run wrote; --overwrite starts anew")
    return custom_id


def _ended(line: bytes, prices: Prices) -> Ended:
    """What a line of the results tells of its request."""
    entry: dict[str, Any] = json.loads(line)
    result: dict[str, Any] = entry["result"]
    custom_id, kind = entry["custom_id"], str(result["type"])
    if kind == "succeeded":
        message: dict[str, Any] = result["message"]
        usage = usage_from_json(message["usage"])
        return Ended(
            custom_id=custom_id,
            kind=kind,
            model=message["model"],
            stop_reason=message["stop_reason"],
            **columns_of(usage),
            dollars=prices.cost(message["model"], usage),
        )
    return Ended(custom_id=custom_id, kind=kind, error=result["error"]["error"]["type"] if kind == "errored" else None)
