"""A row's values as JSON has them, whatever table they come from: a CSV, a Parquet file, a frame, a dict."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from .formats import InputError

__all__ = ["plain_row"]


def plain_row(where: str, row: Mapping[Any, Any]) -> dict[str, object]:
    """The row with JSON values alone: what is missing is None, moments are ISO 8601, exact decimals are texts.

    Raises `InputError` for a column that JSON can't hold, such as bytes.
    """
    found: dict[str, object] = {}
    for name, value in row.items():
        if not isinstance(name, str):
            raise InputError(f"{where}: a column's name is a string, not {name!r}")
        try:
            found[name] = _plain(value)
        except (TypeError, ValueError, RecursionError) as exc:
            raise InputError(f"{where}: column {name!r}: {exc}") from None
    return found


def _plain(value: Any) -> object:
    match value:
        case Enum():  # before the texts and numbers that it may be, too
            return _plain(value.value)
        case None | bool() | str():
            # Their subclasses, such as numpy's texts, become the plain types; JSON knows no others.
            return value if value is None or isinstance(value, bool) else _text(value)
        case int():
            return int(value)
        case float():
            return float(value) if abs(value) < float("inf") else None  # no JSON; a frame's way to say "missing"
        case datetime() | date() | time():
            return value.isoformat() if value == value else None  # pandas' NaT is not itself
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case Mapping():
            return {_name(name): _plain(one) for name, one in cast("Mapping[Any, Any]", value).items()}
        case bytes() | bytearray() | memoryview():
            raise TypeError("holds bytes, which can't stand beside a result: leave it out")
        case Sequence():
            return [_plain(one) for one in cast("Sequence[Any]", value)]
        case set() | frozenset():  # whose order is another in each process: a prompt made of it has to stay the same
            return sorted((_plain(one) for one in cast("set[Any]", value)), key=json.dumps)
        case _:
            return _foreign(value)


def _text(value: str) -> str:
    value.encode()  # raises for half of a surrogate pair
    return str(value)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"has the key {value!r} in it, which is no string")
    return value


def _foreign(value: Any) -> object:
    """A value of numpy's or pandas', which need not be installed."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for name in ("tolist", "item"):
        if callable(convert := getattr(value, name, None)):
            plain = convert()
            if type(plain) is not type(value):
                return _plain(plain)
    raise TypeError(f"holds a {type(value).__name__}, which can't stand beside a result: make it a text or a number")
