"""The batches of each workspace, which none but itself sees."""

from __future__ import annotations

from collections.abc import Iterator

from ..service import RefusalError
from .batch import Batch

__all__ = ["Shelf"]


class Shelf:
    """Keeps all batches there have been."""

    def __init__(self) -> None:
        self._batches: dict[str, Batch] = {}
        self._of: dict[str, list[Batch]] = {}

    def __iter__(self) -> Iterator[Batch]:
        """All batches, the deleted ones too, oldest first."""
        return iter(self._batches.values())

    def put(self, batch: Batch) -> None:
        """Adds a new batch."""
        self._batches[batch.id] = batch
        self._of.setdefault(batch.workspace, []).append(batch)

    def get(self, batch_id: str, workspace: str) -> Batch:
        """Returns a batch of a workspace; raises RefusalError (404) when it has none of that id."""
        batch = self._batches.get(batch_id)
        if batch is None or batch.deleted or batch.workspace != workspace:
            raise RefusalError(404, f"Message Batch {batch_id} not found.")
        return batch

    def newest(self, workspace: str) -> list[Batch]:
        """Returns a workspace's batches, newest first."""
        return [batch for batch in reversed(self._of.get(workspace, ())) if not batch.deleted]
