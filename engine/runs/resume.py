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
from typing import Any, cast

from ...actors.message import usage_from_json
from ..prices import Prices
from .journal import Ended, Journal, columns_of
from .output import OutputError, ResultFile

__all__ = ["drop_failed", "reconcile"]

# As our own lines begin; the ids of other lines are found by reading their JSON.
_HEAD = re.compile(rb'\{"custom_id":("(?:[^"\\]|\\.)*"),"result":\{"type":"(succeeded|errored|canceled|expired)"')
_KINDS = ("succeeded", "errored", "canceled", "expired")


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
        journal.adopt(
            _ended(output.name, number, line, prices)
            for number, line in enumerate(output.lines(), 1)
            if number in adopted
        )
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
    """What a line of the results tells of its request. The service's words in it may be anything; where they can't be
    read, the line is an answer all the same. Raises `OutputError` for what is no line of a run."""
    head = _HEAD.match(line)
    try:
        entry: Any = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _foreign(name, number) from None
    except (ValueError, RecursionError):  # JSON that Python won't read: a number too long, nested too deep
        if head is None:
            raise _foreign(name, number) from None
        return Ended(custom_id=json.loads(head[1]), kind=head[2].decode())
    result = _object(_object(entry).get("result"))
    custom_id, kind = _object(entry).get("custom_id"), result.get("type")
    if kind not in _KINDS or not isinstance(custom_id, str):
        raise _foreign(name, number)
    if kind == "succeeded":
        message = _object(result.get("message"))
        usage, model = usage_from_json(_object(message.get("usage"))), message.get("model")
        return Ended(
            custom_id=custom_id,
            kind=kind,
            model=model,
            stop_reason=message.get("stop_reason"),
            **columns_of(usage),
            dollars=prices.cost(model, usage) if isinstance(model, str) else None,
        )
    if kind == "errored":
        error = result.get("error")
        inner = _object(error).get("error", error)
        said = _object(inner) or {"message": inner}
        return Ended(custom_id=custom_id, kind=kind, error=said.get("type"), message=said.get("message"))
    return Ended(custom_id=custom_id, kind=kind)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
