"""The service that processes batches: it takes them, knows where each stands, and has their results.

Nothing here waits or runs by itself: where a batch stands is worked out when somebody asks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from ..answers import NOTHING, identifier
from ..service import Dialect, RefusalError
from .batch import Batch, Counts
from .clock import BatchClock
from .creation import Entry, read_entries
from .limits import BatchLimits
from .processing import Processing
from .record import RecordedBatch
from .results import Answering, Judged, billed, judge, result_lines
from .script import BatchScript
from .settings import Batches
from .shelf import Shelf

__all__ = ["BatchService"]


class BatchService:
    """The batches of one organisation. Every method may be called from any thread.

    `seed` decides on all that comes by chance, `answering` on what the model says. `clock` returns the time in seconds
    since the epoch; the batches' own clock begins with it when it is first asked. `script` is what the endpoints run
    into.
    """

    def __init__(self, settings: Batches, *, seed: int, clock: Callable[[], float], answering: Answering) -> None:
        self._settings = settings
        self._seed = seed
        self._answering = answering
        self._lock = threading.RLock()
        self._clock = BatchClock(clock, settings.speed)
        self._processing = Processing(settings.per_second, settings.scheduler)
        self._limits = BatchLimits(settings)
        self._shelf = Shelf()
        self._judged: dict[str, Judged] = {}
        self.script = BatchScript()

    def let_in(self, now: float) -> None:
        """Counts an HTTP request to one of the endpoints; raises RefusalError (429) when it has to wait.

        `now` is the time by the clock that the service was given.
        """
        with self._lock:
            self._limits.let_in(now)

    def headers(self, now: float) -> dict[str, str]:
        """Returns the headers that tell of the limits at this time, by the clock that the service was given."""
        with self._lock:
            return self._limits.headers(now)

    def check(self, body: bytes) -> list[Entry]:
        """Returns the requests of a new batch.

        Raises RefusalError: 400 or 413 for what is no batch, 429 when the queue has no room for it.
        """
        entries = read_entries(body)
        with self._lock:
            self._processing.advance(self._clock.now())
            waiting = self._processing.waiting
            room = waiting + len(entries) - (self._settings.queued_requests or 0)
            wait = self._clock.until(min(room, waiting) / self._settings.per_second)
            self._limits.check_queue(waiting, len(entries), wait)
        return entries

    def create(
        self, entries: Sequence[Entry], workspace: str, profile: str | None, dialect: Dialect, random: Random
    ) -> Batch:
        """Takes on a batch; `profile` is the user profile of all its requests, `dialect` how all of them speak."""
        with self._lock:
            now = self._clock.now()
            batch_id = identifier("msgbatch", random)
            seed = f"{self._seed} {batch_id}"
            batch = Batch(batch_id, workspace, profile, dialect, entries, now, self._settings, seed)
            self._processing.add(batch.work, now)
            self._shelf.put(batch)
            return batch

    def get(self, batch_id: str, workspace: str) -> Batch:
        """Returns a batch; raises RefusalError (404) when the workspace has none of that id."""
        with self._lock:
            return self._shelf.get(batch_id, workspace)

    def listed(self, workspace: str) -> list[Batch]:
        """Returns the workspace's batches that are in the list by now, newest first."""
        with self._lock:
            now = self._clock.now()
            newest = self._shelf.newest(workspace)
            return [batch for batch in newest if batch.created + self._settings.listed_after <= now]

    def check_cancel(self, batch: Batch) -> None:
        """Raises RefusalError (400) for a batch that has ended."""
        if self.has_ended(batch):
            raise RefusalError(400, f"Message Batch {batch.id} has already ended and cannot be canceled.")

    def check_delete(self, batch: Batch) -> None:
        """Raises RefusalError (400) for a batch that hasn't ended."""
        if not self.has_ended(batch):
            raise RefusalError(400, "In progress batches cannot be deleted. Consider canceling the batch instead.")

    def cancel(self, batch: Batch) -> None:
        """Begins to cancel a batch that `check_cancel` has let pass; does nothing to one that is canceling already."""
        with self._lock:
            now = self._now()
            if batch.status(now) == "in_progress":
                self._processing.stop(batch.work, now)
                batch.cancel_initiated = now

    def delete(self, batch: Batch) -> None:
        """Deletes a batch that `check_delete` has let pass."""
        batch.deleted = True

    def has_ended(self, batch: Batch) -> bool:
        """Whether the batch has ended by now."""
        with self._lock:
            return batch.status(self._now()) == "ended"

    def shown(self, batch: Batch, base_url: str) -> dict[str, Any]:
        """Returns the batch as the API shows it; `base_url` is that of this service."""
        with self._lock:
            now = self._now()
            if batch.status(now) == "ended":
                counts = self._judge(batch).counts
            else:
                counts = Counts(processing=len(batch.entries))
            return batch.shown(now, counts, base_url)

    def results(self, batch: Batch) -> Iterator[bytes]:
        """Returns the lines of the batch's results; raises RefusalError (404) when there are none to be had."""
        with self._lock:
            now = self._now()
            if batch.status(now) != "ended" or now >= batch.archived:
                raise RefusalError(404, f"Message Batch {batch.id} has no available results.")
            return result_lines(batch, self._judge(batch), self._answering)

    def advance(self, seconds: float) -> None:
        """Lets so many seconds of the batches' clock pass at once; raises ValueError when they are less than none."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be a number, 0 or more, not {seconds!r}")
        with self._lock:
            self._clock.advance(seconds)

    def recorded(self) -> list[RecordedBatch]:
        """Returns all batches there have been, oldest first, as they stand now."""
        with self._lock:
            return [self._record(batch) for batch in self._shelf]

    def _record(self, batch: Batch) -> RecordedBatch:
        now = self._now()
        judged = self._judge(batch) if batch.status(now) == "ended" else None
        return RecordedBatch(
            id=batch.id,
            workspace_id=batch.workspace,
            requests=tuple(entry.custom_id for entry in batch.entries),
            processing_status=batch.status(now),
            outcomes={}
            if judged is None
            else {entry.custom_id: judged.outcome(number) for number, entry in enumerate(batch.entries)},
            created_at=batch.created,
            ended_at=None if judged is None else batch.ends,
            deleted=batch.deleted,
            _bill=lambda: NOTHING if judged is None else billed(batch, judged, self._answering),
        )

    def _judge(self, batch: Batch) -> Judged:
        """Returns what became of a batch that has ended: found out once, by who asks first."""
        if (judged := self._judged.get(batch.id)) is None:
            judged = self._judged[batch.id] = judge(batch)
        return judged

    def _now(self) -> float:
        """Returns the time, up to which all batches' work has got on then."""
        now = self._clock.now()
        self._processing.advance(now)
        return now
