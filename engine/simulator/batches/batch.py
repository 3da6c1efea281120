"""One batch: what it was asked, how far it is at a given time, and how the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal, TypeAlias

import attrs

from ..service import Dialect
from .creation import PATH, Entry
from .processing import Work
from .settings import Batches

__all__ = ["Batch", "BatchOutcome", "Counts", "Fate", "Status"]

Status: TypeAlias = Literal["in_progress", "canceling", "ended"]
BatchOutcome: TypeAlias = Literal["succeeded", "errored", "canceled", "expired"]
"""The type of a request's result."""
Fate: TypeAlias = Literal["processed", "failed", "canceled", "expired"]
"""What becomes of a request: processed, whatever comes of that; failed by the service; or never processed."""

_EXPIRES = 24 * 3_600.0  # seconds after creation
_ARCHIVED = 29 * 24 * 3_600.0
_LAST_SECOND = 253_402_300_799  # of the year 9999


@attrs.frozen
class Counts:
    """How many requests of a batch there are of each kind."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


@attrs.define(eq=False)
class Batch:
    """A batch, by the batches' clock. `seed` decides on what comes by chance."""

    id: str
    workspace: str
    profile: str | None
    dialect: Dialect
    entries: Sequence[Entry] = attrs.field(repr=False)
    created: float
    settings: Batches
    seed: str
    work: Work = attrs.field(init=False)
    cancel_initiated: float | None = None
    deleted: bool = False
    _stuck: frozenset[int] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._stuck = _drawn(f"{self.seed} expired", len(self.entries), self.settings.expired)
        self.work = Work(len(self.entries) - len(self._stuck), self.expires)

    @property
    def expires(self) -> float:
        """When what isn't processed expires."""
        return self.created + _EXPIRES

    @property
    def archived(self) -> float:
        """When its results are no longer to be had."""
        return self.created + _ARCHIVED

    @property
    def ends(self) -> float | None:
        """When it ends; None as long as that isn't sure."""
        if self.cancel_initiated is not None:
            return self.cancel_initiated + self.settings.canceling_seconds
        if self.work.over_at is None:
            return None
        if self._stuck:
            return self.expires
        return min(self.work.over_at + self.settings.ending_seconds, self.expires)

    def status(self, now: float) -> Status:
        """Returns the API's word for where it stands. Its work has to have been advanced until `now`."""
        if self.ends is not None and self.ends <= now:
            return "ended"
        return "in_progress" if self.cancel_initiated is None else "canceling"

    def fates(self) -> list[Fate]:
        """Returns what became of each request of a batch that has ended, in the order they were sent."""
        left: Fate = "expired" if self.cancel_initiated is None else "canceled"
        fates: list[Fate] = [left] * len(self.entries)
        turns = [number for number in range(len(self.entries)) if number not in self._stuck]
        Random(f"{self.seed} turns").shuffle(turns)
        failed = _drawn(f"{self.seed} errored", len(self.entries), self.settings.errored)
        for number in turns[: self.work.completed]:
            fates[number] = "failed" if number in failed else "processed"
        return fates

    def shown(self, now: float, counts: Counts, base_url: str) -> dict[str, Any]:
        """Returns the batch as the API shows it; `base_url` is where its results are to be had."""
        ended = self.status(now) == "ended"
        available = ended and now < self.archived
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status(now),
            "request_counts": attrs.asdict(counts),
            "ended_at": _written(self.ends if ended else None),
            "created_at": _written(self.created),
            "expires_at": _written(self.expires),
            "archived_at": _written(self.archived if now >= self.archived else None),
            "cancel_initiated_at": _written(self.cancel_initiated),
            "results_url": f"{base_url}{PATH}/{self.id}/results" if available else None,
        }


def _drawn(seed: str, count: int, probability: float) -> frozenset[int]:
    if not probability:
        return frozenset()
    random = Random(seed)
    return frozenset(number for number in range(count) if random.random() < probability)


def _written(time: float | None) -> str | None:
    if time is None:
        return None
    return datetime.fromtimestamp(min(time, _LAST_SECOND), UTC).isoformat(timespec="microseconds")
