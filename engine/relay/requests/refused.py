"""A body that can't be read: one sentence for whoever sent it."""

from typing import Any, cast

__all__ = ["BodyRefused", "as_list", "as_object", "as_text"]


class BodyRefused(ValueError):
    """A browser's body that is no request. Its text says what is wrong and where, and holds nothing of the body but the
    names of kinds. `status` is the HTTP status to answer with: 400, or 413 for a body that is too large."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message, status)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[0])


_KINDS = ((bool, "a boolean"), (str, "a string"), (int | float, "a number"), (list, "a list"), (dict, "an object"))


def _kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def as_object(value: object, where: str) -> dict[str, Any]:
    """`value`, if it is an object. Raises `BodyRefused` that says where it should have been one."""
    if not isinstance(value, dict):
        raise BodyRefused(f"{where} is an object, not {_kind_of(value)}")
    return cast("dict[str, Any]", value)


def as_text(value: object, where: str) -> str:
    """`value`, if it is a string. Raises `BodyRefused` that says where it should have been one."""
    if not isinstance(value, str):
        raise BodyRefused(f"{where} is a string, not {_kind_of(value)}")
    return value


def as_list(value: object, where: str, wanted: str = "a list") -> list[Any]:
    """`value`, if it is a list. Raises `BodyRefused` that says where what was `wanted`."""
    if not isinstance(value, list):
        raise BodyRefused(f"{where} is {wanted}, not {_kind_of(value)}")
    return cast("list[Any]", value)
