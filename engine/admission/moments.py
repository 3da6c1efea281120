"""When things happened, for counting how many did since a moment."""

from collections import deque
from collections.abc import Iterable

__all__ = ["Moments"]


class Moments:
    """Moments in seconds, the oldest first, each with how many things happened then. Those less than `grain` seconds
    apart are kept as one, so that there are few however much happens."""

    __slots__ = ("_grain", "_kept")

    def __init__(self, grain: float = 0.0, kept: Iterable[tuple[float, int]] = ()) -> None:
        self._grain = grain
        self._kept = deque(kept)

    def add(self, moment: float) -> None:
        """Something happens at this moment, which is not before the last."""
        kept = self._kept
        if kept and moment - kept[-1][0] < self._grain:
            first, count = kept[-1]
            kept[-1] = first, count + 1
        else:
            kept.append((moment, 1))

    def forget(self, before: float) -> None:
        """Forgets what happened before this moment."""
        kept = self._kept
        while kept and kept[0][0] < before:
            kept.popleft()

    def since(self, start: float) -> int:
        """How many things happened after `start`."""
        return sum(count for moment, count in self._kept if moment > start)

    @property
    def kept(self) -> list[tuple[float, int]]:
        """All of them, to make the object of again."""
        return list(self._kept)
