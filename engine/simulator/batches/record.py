"""A batch as tests read it: what it was asked, where it stands, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from ..answers import Usage
from .batch import BatchOutcome, Status

__all__ = ["RecordedBatch"]


@attrs.frozen(kw_only=True)
class RecordedBatch:
    """A batch that was accepted, and where it stood when `batches` was read.

    `requests` are the `custom_id`s in the order they were sent. `outcomes` has what became of each; it is empty before
    the batch has ended. Times are seconds since the epoch by the batches' clock.
    """

    id: str
    workspace_id: str
    requests: tuple[str, ...] = attrs.field(repr=False)
    processing_status: Status
    outcomes: Mapping[str, BatchOutcome] = attrs.field(repr=False)
    created_at: float
    ended_at: float | None
    deleted: bool
    _bill: Callable[[], Usage] = attrs.field(repr=False, eq=False, alias="_bill")

    @property
    def input_tokens(self) -> int:
        """What would be billed for the requests that succeeded, whether anybody read their results or not.

        Reading it makes all of the batch's answers.
        """
        return self._bill().input_tokens

    @property
    def output_tokens(self) -> int:
        """What would be billed for the answers; reading it makes all of them."""
        return self._bill().output_tokens
