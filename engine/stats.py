"""What an engine is doing at one moment: a frozen picture, for displays, and to find out why nothing moves."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import attrs

from .admission import Admission, Reason
from .admission.pool import Pool
from .api.http.connection_stats import ConnectionStats
from .budget.stats import BudgetStats
from .held import held_streams
from .supervisor import Supervisor

__all__ = ["BudgetStats", "ConnectionStats", "EngineStats", "LimitStats", "PoolStats", "WaitingRequest", "engine_stats"]


@attrs.frozen
class WaitingRequest:
    """A request that waits, and what it waits for."""

    stream_id: str
    custom_id: str | None
    group: str | None
    reason: Reason | Literal["backoff"]
    """As in `Reason`; or `backoff`: an attempt failed, and another follows after a while."""
    seconds: float | None
    """In how many seconds it may go on, if only time must pass; None when it waits for other requests."""


@attrs.frozen
class LimitStats:
    """A limit per minute, in the state that the engine believes it to be in."""

    per_minute: float
    remaining: float
    """What may be used now; of a shared limit, by this engine. The part of what runs is already set aside."""
    capacity: float
    """The most that can remain: a minute's worth, or less where the API has turned out to allow less at once."""


@attrs.frozen
class PoolStats:
    """A rate-limit pool."""

    name: str
    running: int
    concurrency: int
    """How many streams at once the API is believed to accept; of a shared pool, how many of them are this engine's."""
    pause: float
    """Seconds until anything is sent again; 0 when sending is not paused."""
    limits: Mapping[Reason, LimitStats]
    """The limits that were set by hand, or learnt from the API's headers so far."""
    paused_until: datetime | None = None
    """When the pause ends, in UTC; None when sending is not paused."""


@attrs.frozen
class EngineStats:
    """What an engine is doing."""

    running: int
    """Streams that hold a slot."""
    waiting: int
    """Requests that wait for a slot."""
    backoff: int
    """Requests that failed and are waiting for another attempt."""
    waits: tuple[WaitingRequest, ...]
    """Every request that waits, for a slot or for another attempt, and what it waits for."""
    pools: tuple[PoolStats, ...]
    spent: float | None
    """Dollars spent, when there is a spend cap; None otherwise. A stream counts once it has ended."""
    held_by_consumers: int = 0
    """Running streams that are not read, because a `Lossless` consumer is full. When they have all slots, and their
    consumers wait for a slot, nothing goes on."""
    held_seconds: float = 0.0
    """How long that has been so for the stream that is held back the longest; 0 when none is."""

    budget: BudgetStats | None = None
    """The engine's part in the budget that it shares with others; None when it shares none."""
    connections: tuple[ConnectionStats, ...] = ()
    """The open connections of manystream's own HTTP clients, which all engines of an event loop share."""

    @property
    def waiting_for(self) -> Mapping[str, int]:
        """How many requests wait for each reason."""
        return Counter(wait.reason for wait in self.waits)


def engine_stats(
    admission: Admission,
    supervisor: Supervisor,
    now: float,
    budget: BudgetStats | None = None,
    connections: tuple[ConnectionStats, ...] = (),
) -> EngineStats:
    """The picture at `now`, in seconds on the engine's clock."""
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
    backoffs = supervisor.backing_off()
    waits += [
        WaitingRequest(
            actor.stream_id,
            actor.request.custom_id,
            actor.request.group,
            "backoff",
            None if until is None else max(0.0, until - now),
        )
        for actor, until in backoffs
    ]
    return EngineStats(
        running=admission.running,
        waiting=admission.waiting,
        backoff=len(backoffs),
        waits=tuple(waits),
        pools=tuple(_pool_stats(pool, now) for pool in admission.pools),
        spent=None if admission.spend_cap is None else admission.spend_cap.spent,
        held_by_consumers=len(held),
        held_seconds=max(held, default=0.0),
        budget=budget,
        connections=connections,
    )


def _pool_stats(pool: Pool, now: float) -> PoolStats:
    pause = max(0.0, pool.throttle.paused_until - now)
    return PoolStats(
        name=pool.name,
        running=pool.running,
        concurrency=int(pool.throttle.size),
        pause=pause,
        limits={
            reason: LimitStats(bucket.limit, bucket.left(now), bucket.capacity)
            for reason, bucket in pool.buckets.items()
            if bucket.limit is not None
        },
        paused_until=_in(pause) if pause else None,
    )


def _in(seconds: float) -> datetime:
    try:
        return datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
