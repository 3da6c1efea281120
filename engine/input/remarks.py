"""What is worth saying of an input that is valid: parameters that were replaced, and columns that look like slips."""

from collections import Counter
from collections.abc import Callable, Iterable

__all__ = ["Remarks"]

_TOLD = 10


class Remarks:
    """What was noticed while an input was read."""

    def __init__(self) -> None:
        self.replaced = Counter[str]()
        """In how many requests another value stood in place of a parameter that was given for all, by its name."""
        self.told: list[str] = []
        """Lines for people, at most ten."""
        self._names = set[str]()

    def columns(self, names: Iterable[str], odd: Callable[[set[str]], list[str]]) -> None:
        """Notes the columns of a row. `odd` is asked once for each name, what to say of it."""
        if new := set(names) - self._names:
            self._names |= new
            self.told += odd(new)[: _TOLD - len(self.told)]
