"""Refusing a request for its shape: the words that every check uses."""

from __future__ import annotations

from typing import Any

from .errors import RefusalError

__all__ = ["integer", "invalid", "one_of", "required"]


def invalid(message: str) -> RefusalError:
    """Returns the refusal of a request that is wrong in itself."""
    return RefusalError(400, message)


def required(parent: dict[str, Any], name: str, where: str = "") -> object:
    """Returns a field; raises RefusalError when it is missing. `where` is the path of its parent, with a full stop."""
    if name not in parent:
        raise invalid(f"{where}{name}: Field required")
    return parent[name]


def integer(parent: dict[str, Any], name: str, where: str = "") -> int:
    """Returns a field that must be there and be a whole number; raises RefusalError otherwise."""
    value = required(parent, name, where)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{where}{name}: Input should be a valid integer")
    return value


def one_of(values: tuple[str, ...]) -> str:
    """Returns the values as the API lists them: `'a', 'b' or 'c'`."""
    *most, last = [f"'{value}'" for value in values]
    return f"{', '.join(most)} or {last}" if most else last
