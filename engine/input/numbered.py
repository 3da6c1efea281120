"""A request of an input with its place, and what stands beside its result: the user's own id, and the row's columns."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from ...actors.stream import StreamRequest

__all__ = ["Beside", "Numbered", "shown_id"]


@attrs.frozen(kw_only=True)
class Beside:
    """What is known of a request and is not sent. It goes into the line of its result."""

    id: str | None = None
    """The user's own id, where the `custom_id` had to be made."""
    epoch: int | None = None
    """Which of several answers to the same row it is, from 1; None if there is to be one."""
    row: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The columns that were not the prompt; None if there are none."""

    def members(self) -> dict[str, Any]:
        """The members that a line of results has behind the result."""
        members = {"id": self.id, "epoch": self.epoch, "row": self.row}
        return {name: value for name, value in members.items() if value is not None}


class Numbered(NamedTuple):
    """A request of an input."""

    number: int
    """Its place among the requests: later ones have higher numbers."""
    request: StreamRequest
    beside: Beside | None = None


def shown_id(request: StreamRequest, beside: Beside | None) -> str:
    """What the user knows a request by."""
    return str(request.custom_id) if beside is None or beside.id is None else beside.id
