"""What is used in a way that it doesn't have answers with what to write instead.

`with` for `async with`, or a loop over a block that was not entered: Python's own words name a missing method.
"""

from collections.abc import Callable
from typing import Any, Literal, NoReturn, TypeVar

__all__ = ["Use", "misuse"]

Use = Literal["with", "for", "async with", "async for"]

# No "await": many frameworks await whatever has `__await__`.
_METHODS: dict[Use, tuple[str, ...]] = {
    "with": ("__enter__", "__exit__"),
    "for": ("__iter__",),
    "async with": ("__aenter__", "__aexit__"),
    "async for": ("__aiter__", "__anext__"),
}

T = TypeVar("T")


def misuse(write: str, *uses: Use) -> Callable[[type[T]], type[T]]:
    """A decorator for classes: these uses raise `TypeError`, and the error says what to `write` instead. Type checkers
    don't see them: to those they stay errors. A subclass may have them all the same."""

    def decorate(cls: type[T]) -> type[T]:
        for use in uses:
            for method in _METHODS[use]:
                setattr(cls, method, _refusal(use, write))
        return cls

    return decorate


def _refusal(use: Use, write: str) -> Callable[..., NoReturn]:
    def refuse(self: object, *_: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__!r} is not used with {use!r}; write: {write}")

    return refuse
