"""The batches of each workspace, newest first, a page at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ..service import RefusalError
from .batch import Batch

__all__ = ["Page", "Shelf", "read_page"]

_NUMBER = re.compile(r"-?[0-9]{1,18}")
_USUAL = 20
_MOST = 1_000


@attrs.frozen
class Page:
    """Which part of the list is asked for: the newest, or what follows or precedes a batch in it."""

    limit: int = _USUAL
    after: str | None = None
    before: str | None = None


def read_page(query: Mapping[str, str]) -> Page:
    """Returns the page that a query asks for; raises RefusalError (400) for one that can't be."""
    limit = query.get("limit", str(_USUAL))
    if not _NUMBER.fullmatch(limit):
        raise RefusalError(400, "limit: Input should be a valid integer, unable to parse string as an integer")
    if int(limit) < 1:
        raise RefusalError(400, "limit: Input should be greater than or equal to 1")
    if int(limit) > _MOST:
        raise RefusalError(400, f"limit: Input should be less than or equal to {_MOST}")
    page = Page(int(limit), query.get("after_id"), query.get("before_id"))
    if page.after is not None and page.before is not None:
        raise RefusalError(400, "Only one of after_id and before_id may be given")
    return page


class Shelf:
    """Keeps batches by workspace: none sees another's."""

    def __init__(self) -> None:
        self._batches: dict[str, Batch] = {}
        self._of: dict[str, list[Batch]] = {}

    def __iter__(self) -> Iterator[Batch]:
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

    def page(self, workspace: str, page: Page, shows: Callable[[Batch], bool]) -> tuple[Sequence[Batch], bool]:
        """Returns the batches on a page, newest first, and whether more follow in its direction.

        Raises RefusalError (404) when there is no such batch to begin at.
        """
        newest = list(reversed(self._of.get(workspace, ())))
        if (cursor := page.after or page.before) is not None:
            at = newest.index(self.get(cursor, workspace))
            newest = newest[at + 1 :] if page.after is not None else newest[:at]
        found = [batch for batch in newest if shows(batch) and not batch.deleted]
        if page.before is not None:
            return found[-page.limit :], len(found) > page.limit
        return found[: page.limit], len(found) > page.limit
