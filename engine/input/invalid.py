"""The entries of an input that are no valid requests: counted, and the first ten told."""

from typing import Any

import attrs

from ...actors.stream import revive
from .formats import InputError

__all__ = ["Invalid", "InvalidRequestsError"]

_TOLD = 10


@attrs.define
class Invalid:
    """Entries that are no valid requests."""

    count: int = 0
    told: list[str] = attrs.Factory(list[str])
    """What is wrong with the first ten, a line each."""

    def add(self, error: InputError) -> None:
        """Counts one more."""
        self.count += 1
        if self.count <= _TOLD:
            self.told.append(str(error))

    def lines(self) -> list[str]:
        """What was skipped, for people."""
        more = [f"and {self.count - len(self.told):,} more"] if self.count > len(self.told) else []
        return [f"skipped: {line}" for line in self.told + more]


class InvalidRequestsError(InputError):
    """Requests of a file are not valid, and nothing was sent. The message is that of the first; `invalid` has more."""

    def __init__(self, invalid: Invalid) -> None:
        more = invalid.count - 1
        super().__init__(invalid.told[0] + (f" (and {more:,} more)" if more else ""))
        self.invalid = invalid

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)
