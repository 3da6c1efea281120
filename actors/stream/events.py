"""Part events: what a consumer of a stream receives. The names follow Pydantic AI's; ours add what it lacks.

Every event carries the stream it belongs to and the sequence numbers it covers, `first_seq` to `seq`: one number for an
event as it happened, more when several were merged for a consumer that lagged. To one consumer `first_seq` is always
the `seq` before plus one, so that a gap or a repeat would show.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import attrs

from ..message import EMPTY, Part, PartDelta, Usage
from .result import StreamResult

__all__ = [
    "PartDeltaEvent",
    "PartEndEvent",
    "PartEvent",
    "PartStartEvent",
    "RestartEvent",
    "SnapshotEvent",
    "StreamEndEvent",
    "StreamStartEvent",
    "TaggedEvent",
    "UnknownEvent",
    "UsageEvent",
]


@attrs.frozen(kw_only=True)
class _Event:
    """What every event has."""

    stream_id: str = ""
    first_seq: int = 0
    """The first sequence number this event covers."""
    seq: int = 0
    """The last sequence number this event covers."""


@attrs.frozen
class StreamStartEvent(_Event):
    """The API began to answer; or, when it comes again without a `RestartEvent` before it, to go on with an answer that
    was interrupted."""

    event_kind: ClassVar[Literal["stream_start"]] = "stream_start"
    message_id: str | None
    model_name: str | None
    """The model that serves the answer, which may not be the one that was asked for."""
    request_id: str | None = None


@attrs.frozen
class PartStartEvent(_Event):
    """A part begins; `part` is what is known of it so far. `index` is the block's index on the wire."""

    event_kind: ClassVar[Literal["part_start"]] = "part_start"
    index: int
    part: Part
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """Fields the API sent with the event that no attribute stands for."""


@attrs.frozen
class PartDeltaEvent(_Event):
    """The part at `index` grew."""

    event_kind: ClassVar[Literal["part_delta"]] = "part_delta"
    index: int
    delta: PartDelta
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """Fields the API sent with the event that no attribute stands for."""


@attrs.frozen
class PartEndEvent(_Event):
    """The part at `index` is over; `part` is all of it. `complete` is False when the stream died inside it."""

    event_kind: ClassVar[Literal["part_end"]] = "part_end"
    index: int
    part: Part
    extra: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)
    """Fields the API sent with the event that no attribute stands for."""

    @property
    def complete(self) -> bool:
        """Whether the API said that the part was over."""
        return self.part.complete


@attrs.frozen
class UsageEvent(_Event):
    """The token usage so far: totals, not increments. It comes when they changed."""

    event_kind: ClassVar[Literal["usage"]] = "usage"
    usage: Usage


@attrs.frozen
class SnapshotEvent(_Event):
    """All there is up to `seq`, for a consumer that joined late. Later events go on from here."""

    event_kind: ClassVar[Literal["snapshot"]] = "snapshot"
    parts: tuple[tuple[int, Part], ...]
    """The parts with their indexes; the open ones have `complete=False`."""
    usage: Usage
    message_id: str | None = None
    model_name: str | None = None
    request_id: str | None = None


@attrs.frozen
class RestartEvent(_Event):
    """The answer begins anew, in attempt number `attempt` (the first is 1): what came before is void."""

    event_kind: ClassVar[Literal["restart"]] = "restart"
    attempt: int


@attrs.frozen
class UnknownEvent(_Event):
    """Something the API sent that we don't know, as it was."""

    event_kind: ClassVar[Literal["unknown"]] = "unknown"
    raw: Any = attrs.field(repr=False)


@attrs.frozen
class StreamEndEvent(_Event):
    """The one terminal event of every stream. Nothing follows it."""

    event_kind: ClassVar[Literal["stream_end"]] = "stream_end"
    result: StreamResult


PartEvent = (
    StreamStartEvent
    | PartStartEvent
    | PartDeltaEvent
    | PartEndEvent
    | UsageEvent
    | SnapshotEvent
    | RestartEvent
    | UnknownEvent
    | StreamEndEvent
)


@attrs.frozen
class TaggedEvent:
    """An event of one stream among many."""

    custom_id: str | None
    """The request's own id, as its caller gave it."""
    event: PartEvent
