"""How many failures of a run are too many: a number of answers, or a share of them."""

import re
from typing import Self

import attrs

__all__ = ["MaxFailures"]

_ENOUGH = 50  # answers, from which a share says something
_WRITTEN = re.compile(r"\s*(\d{1,9})\s*|\s*(\d{1,2}(?:\.\d+)?|100)\s*%\s*")


@attrs.frozen
class MaxFailures:
    """A number of failures at which a run stops; or, as `percent`, a share, once 50 answers have come."""

    count: int | None = None
    percent: float | None = None

    @classmethod
    def of(cls, said: int | str) -> Self:
        """Reads `20` or `5%`. Raises `ValueError` for anything else, and for 0."""
        found = _WRITTEN.fullmatch(str(said))
        if found is None or not float(found[1] or found[2]):
            raise ValueError(f"a number of failures such as 20, or a share of the answers such as 5%, not {said!r}")
        return cls(int(found[1])) if found[1] else cls(percent=float(found[2]))

    def __str__(self) -> str:
        return f"{self.count:,}" if self.count is not None else f"{self.percent:g}%"

    def reached(self, failed: int, done: int) -> bool:
        """Whether `failed` of `done` answers are too many."""
        if self.count is not None:
            return failed >= self.count
        assert self.percent is not None
        return done >= _ENOUGH and 100 * failed >= self.percent * done
