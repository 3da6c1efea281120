"""When things happened, for counting how many did since a moment."""

from collections import deque
from typing import Any, cast

from .remembered import Remembered, mapping, plain

__all__ = ["Moments"]


class Moments(Remembered):
    """Moments in seconds, the oldest first, each with how many things happened then. Those less than `grain` seconds
    apart are kept as one, so that there are few however much happens."""

    def __init__(self, grain: float = 0.0) -> None:
        self._grain = grain
        self._kept: deque[tuple[float, int]] = deque()

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

    def remember(self) -> dict[str, Any]:
        """All of them."""
        return {"kept": [number for one in self._kept for number in one]}

    def recall(self, learnt: object) -> None:
        """Takes over those of another one. Raises `ValueError` for what is not of this kind."""
        numbers: Any = plain(mapping(learnt).get("kept"))
        if not isinstance(numbers, list):
            raise ValueError("there are no moments")
        pairs = cast("list[Any]", numbers)
        self._kept = deque(zip(pairs[::2], pairs[1::2], strict=True))
