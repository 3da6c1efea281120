"""What an engine is doing: one frozen picture, for displays and for people who wonder why nothing moves."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import attrs

from ..actors.stream import State
from .admission import Admission, Reason
from .held import held_streams
from .supervisor import Supervisor

__all__ = ["EngineStats", "LimitStats", "PoolStats", "WaitingRequest", "engine_stats"]


@attrs.frozen
class WaitingRequest:
    """A request that waits, and what for."""

    stream_id: str
    custom_id: str | None
    group: str | None
    reason: Reason | Literal["backoff"]
    """As in `Reason`; or `backoff`: it failed, and is tried again after a while."""
    seconds: float | None
    """In how many seconds it may go on, if it only waits for time; None when it waits for others."""


@attrs.frozen
class LimitStats:
    """A limit per minute, as the engine believes it to stand."""

    per_minute: float
    remaining: float
    """What may be used now; what runs has its part set aside already."""
    capacity: float
    """The most that can remain: a minute's worth, or less where the API was seen to hold less at a time."""


@attrs.frozen
class PoolStats:
    """A rate-limit pool."""

    name: str
    running: int
    concurrency: int
    """How many the API is believed to bear at once."""
    pause: float
    """Seconds until anything is sent again; 0 when nothing stands in the way."""
    limits: Mapping[Reason, LimitStats]
    """The limits that were set, or learnt from the API's headers so far."""


@attrs.frozen
class EngineStats:
    """What an engine is doing."""

    running: int
    """Streams that hold a slot."""
    waiting: int
    """Requests that wait for one."""
    backoff: int
    """Requests that failed and are waiting for another attempt."""
    waits: tuple[WaitingRequest, ...]
    """Everyone who waits, in either way, and what for."""
    pools: tuple[PoolStats, ...]
    spent: float | None
    """Dollars, when there is a spend cap; what runs counts when it has ended."""
    held_by_consumers: int = 0
    """Running streams of which nothing is read, as a `Lossless` consumer of theirs is full. When they have all slots,
    and their consumers wait for one, nothing will go on."""
    held_seconds: float = 0.0
    """For how long that has been so for the stream that is held the longest; 0 when none is."""

    @property
    def waiting_for(self) -> Mapping[str, int]:
        """How many wait for what."""
        return Counter(wait.reason for wait in self.waits)


def engine_stats(admission: Admission, supervisor: Supervisor, now: float) -> EngineStats:
    """The picture at `now`, on the engine's clock."""
    waits = [
        WaitingRequest(
            ticket.stream_id,
            ticket.custom_id,
            ticket.group,
            reason,
            None if until is None else max(0.0, until - now),
        )
        for ticket, (reason, until) in admission.waits()
    ]
    held = [now - actor.watch.paused_since for actor in held_streams(supervisor)]
    backoffs = [actor for actor in supervisor if actor.life.state is State.BACKOFF]
    waits += [
        WaitingRequest(actor.stream_id, actor.request.custom_id, actor.request.group, "backoff", None)
        for actor in backoffs
    ]
    return EngineStats(
        running=admission.running,
        waiting=admission.waiting,
        backoff=len(backoffs),
        waits=tuple(waits),
        pools=tuple(
            PoolStats(
                name=pool.name,
                running=pool.running,
                concurrency=int(pool.window.size),
                pause=max(0.0, pool.window.paused_until - now),
                limits={
                    reason: LimitStats(bucket.limit, bucket.left(now), bucket.capacity)
                    for reason, bucket in pool.buckets.items()
                    if bucket.limit is not None
                },
            )
            for pool in admission.pools
        ),
        spent=None if admission.spend_cap is None else admission.spend_cap.spent,
        held_by_consumers=len(held),
        held_seconds=max(held, default=0.0),
    )
