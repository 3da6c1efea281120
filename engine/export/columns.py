"""The columns of a table of results: ours, then the user's in the order in which they first appear.

A column of the user's has the kind of its values where they agree, so that a table knows its types from the start:

| the values, but for nulls                 | kind      |
|-------------------------------------------|-----------|
| texts, or none at all                     | `text`    |
| true and false                            | `boolean` |
| integers of at most 64 bits               | `integer` |
| numbers                                   | `number`  |
| objects and arrays                        | `json`    |
| anything else                             | `mixed`   |
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ...actors.wire import json_line
from .answer import KINDS
from .lines import ResultsError

__all__ = ["Column", "UserColumns"]

_EXACT = 2**53  # up to here a float holds each integer
_LONGEST = 2**63


@attrs.frozen
class Column:
    """A column, and how its values are shown where only flat ones can stand."""

    name: str
    kind: str

    def flat(self, value: Any) -> str | int | float | bool | None:
        """The value as text, number or boolean; of what is nested, and of what the column's values don't agree on, the
        JSON text. Texts among mixed values stay as they are."""
        if value is None:
            return None
        match self.kind:
            case "json":
                return json_of(value)
            case "mixed":
                return value if isinstance(value, str) else json_of(value)
            case "number":
                return float(value)
            case _:
                return value

    def uniform(self, value: Any) -> Any:
        """The value itself, unless the column is mixed: then it is flat, so that all are texts."""
        return self.flat(value) if self.kind == "mixed" else value


def json_of(value: Any) -> str:
    """JSON in one line, readable in any language."""
    return json_line(value)[:-1].decode()


class UserColumns:
    """Collects the user's columns and the kinds of their values. `prefix` is put before their names."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._kinds: dict[str, set[str]] = {}

    def note(self, name: str, row: Mapping[str, Any]) -> None:
        """Adds the columns of a row of the file `name`. Raises `ResultsError` when one is named as a column of ours
        is."""
        for column, value in row.items():
            kinds = self._kinds.get(column)
            if kinds is None:
                if self._prefix + column in KINDS:
                    raise ResultsError(_clash(name, column, self._prefix))
                kinds = self._kinds[column] = set()
            kind = _kind(value)
            if kind is not None:
                kinds.add(kind)

    @property
    def names(self) -> list[str]:
        """As they stand in the rows, without the prefix."""
        return list(self._kinds)

    @property
    def columns(self) -> list[Column]:
        """All columns of the table."""
        ours = [Column(name, kind) for name, kind in KINDS.items()]
        return [*ours, *(Column(self._prefix + name, _agreed(kinds)) for name, kinds in self._kinds.items())]


def _kind(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "boolean"
        case int():
            return "integer" if abs(value) <= _EXACT else "long" if -_LONGEST <= value < _LONGEST else "mixed"
        case float():
            return "number"
        case str():
            return "text"
        case _:
            return "json"


def _agreed(kinds: Iterable[str]) -> str:
    match sorted(kinds):
        case []:
            return "text"
        case ["long"] | ["integer", "long"]:
            return "integer"
        case ["integer", "number"]:
            return "number"
        case [only]:
            return only
        case _:
            return "mixed"


def _clash(name: str, column: str, prefix: str) -> str:
    what = f"{name}: a column of the input is named {column!r}"
    if prefix:
        return f"{what}, and {prefix + column!r} is a column of the export; choose another column prefix"
    return f"{what}, as one of the export is; --column-prefix input_ (column_prefix=) makes it 'input_{column}'"
