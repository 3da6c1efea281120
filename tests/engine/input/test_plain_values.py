"""The values of rows, whatever table or program they come from."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from manystream.engine.input import InputError
from manystream.engine.input.plain_values import plain_row


class Colour(enum.StrEnum):
    RED = "red"


class Size(str, enum.Enum):  # noqa: UP042  # as older programs have them
    LARGE = "large"


class Array:
    """As numpy's and pandas' values are: known by a method."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        return self._value


class NAType:
    """As pandas' own, which compares with nothing."""

    def __ne__(self, other: object) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        (math.nan, None),
        (math.inf, None),
        ("text", "text"),
        (Colour.RED, "red"),
        (Size.LARGE, "large"),
        (frozenset({"b", "a", "c"}), ["a", "b", "c"]),
        (date(2026, 11, 28), "2026-11-28"),
        (datetime(2026, 11, 28, 1, 2, tzinfo=UTC), "2026-11-28T01:02:00+00:00"),
        (time(1, 2), "01:02:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([1, (2, None)], [1, [2, None]]),
        (OrderedDict[str, Any](a=MappingProxyType({"b": math.nan})), {"a": {"b": None}}),
        (Array(3), 3),
        (Array([1.0, math.nan]), [1.0, None]),
        (NAType(), None),
    ],
)
def test_a_value_becomes_json(value: Any, plain: Any) -> None:
    found = plain_row("row 1", {"x": value})
    assert found == {"x": plain}
    assert type(found["x"]) is type(plain)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"x", "holds bytes, which can't stand beside a result: leave it out"),
        ([b"x"], "holds bytes, which can't stand beside a result: leave it out"),
        (object(), "holds a object, which can't stand beside a result: make it a text or a number"),
        ({1: 2}, "has the key 1 in it, which is no string"),
        ("half \ud83d", "'utf-8' codec can't encode character '\\ud83d' in position 5: surrogates not allowed"),
    ],
)
def test_what_json_can_not_hold_is_refused_by_its_column(value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        plain_row("row 7", {"good": 1, "bad": value})
    assert str(caught.value) == f"row 7: column 'bad': {message}"


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InputError, match="row 1: column 'x': "):
        plain_row("row 1", {"x": value})
