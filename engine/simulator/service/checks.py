"""Checks of settings, for attrs. Each error names its setting and says what it must be."""

from __future__ import annotations

import math
from typing import Any, cast

import attrs

__all__ = ["check_positive", "check_probability", "check_whole", "is_number"]


def is_number(value: object) -> bool:
    """Whether the value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def check_positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    """Raises ValueError for what is not a finite number above 0."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be a number above 0, not {value!r}")


def check_whole(_: object, attribute: attrs.Attribute[Any], value: int) -> None:
    """Raises ValueError for what is not a whole number above 0."""
    if not isinstance(cast(object, value), int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number above 0, not {value!r}")


def check_probability(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    """Raises ValueError for what is not a number between 0 and 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be a number between 0 and 1, not {value!r}")
