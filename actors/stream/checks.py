"""Arguments, checked where they are given: the error says in one sentence what one is to be, and what it is."""

import math
import os
import reprlib
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, cast

import attrs

__all__ = ["as_given", "check_kind", "check_number", "check_path", "kind", "number"]

_LONGEST = 20  # characters; keys are longer


def check_number(
    words: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    whole: bool = False,
    infinite: bool = False,
) -> None:
    """`words` say what it is to be. Raises `TypeError` for what is no number (or no whole one), and `ValueError` for
    one out of bounds, for NaN, and for an infinite one unless that is allowed."""
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise TypeError(f"{words}, not {as_given(value)}")
    figure: Any = value
    if not (figure >= least and figure > above) or (figure == math.inf and not infinite):
        raise ValueError(f"{words}, not {as_given(value)}")


def check_kind(name: str, value: object, kinds: type[Any] | tuple[type[Any], ...], words: str) -> None:
    """Raises `TypeError` unless `value` is of these kinds. `words` say what it is to be, and how to write it."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} is {words}, not {as_given(value)}")


def check_path(name: str, value: object, words: str) -> None:
    """Raises `TypeError` unless it is a path, a string or a `Path`, and `ValueError` for an empty one."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} is {words}, not {as_given(value)}")
    if not os.fspath(cast("str | os.PathLike[str]", value)):
        raise ValueError(f"{name} is {words}, and is empty")


def number(
    words: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    whole: bool = False,
    infinite: bool = False,
    optional: bool = False,
) -> Callable[[object, "attrs.Attribute[Any]", Any], None]:
    """A validator for attrs that checks as `check_number` does; in `words`, `{}` stands for the field's name."""

    def validate(_: object, field: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None or not optional:
            told = words.format(field.name)
            check_number(told, value, least=least, above=above, whole=whole, infinite=infinite)

    return validate


def kind(
    kinds: type[Any] | tuple[type[Any], ...], words: str, *, optional: bool = False
) -> Callable[[object, "attrs.Attribute[Any]", Any], None]:
    """A validator for attrs that checks as `check_kind` does."""

    def validate(_: object, field: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None or not optional:
            check_kind(field.name, value, kinds, words)

    return validate


def as_given(value: object) -> str:
    """What was given, in a few words: a number, a name or None as it is, anything else by its class. What may be a key
    or a prompt is never long enough to be told."""
    if (
        value is None
        or isinstance(value, Real)
        or (isinstance(value, str) and len(value) <= 20 and value.isprintable())
    ):
        return reprlib.repr(value)
    named = value.__name__ if isinstance(value, type) else type(value).__name__
    if isinstance(value, type):
        return f"the class {named}"
    return f"{'an' if named[:1] in 'AEIOUaeiou' else 'a'} {named}"
