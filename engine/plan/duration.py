"""How long a run takes: rehearsed as a whole if it is small, else extrapolated from a rehearsal of a part.

At first only the engine's own concurrency holds a run back, since the limits' buckets are full. Once they are empty,
what refills sets the pace. Which of the two decides depends on how many requests there are; the longer time counts.
"""

from collections.abc import Mapping, Sequence

import attrs

from ..admission import Limits, Reason
from .rehearsal import Rehearsal

__all__ = ["Needs", "Tightest", "extrapolated", "part_of", "rehearsed_count", "tightest"]

_MOST = 2000  # requests that are rehearsed, unless more than a third of them would run at once
_ROUNDS = 6  # as many times the concurrency as a rehearsal needs to settle
_BLOCKS = 20
_REASONS: tuple[Reason, ...] = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")


@attrs.frozen(kw_only=True)
class Needs:
    """What an average request of the run takes from the limits of one pool, counted over all requests."""

    requests_per_minute: float = 0.0
    input_tokens_per_minute: float = 0.0
    output_tokens_per_minute: float = 0.0


def rehearsed_count(count: int, concurrency: int) -> int:
    """How many of so many requests are rehearsed."""
    return min(count, max(_MOST, _ROUNDS * min(concurrency, count)))


def part_of(count: int, rehearsed: int) -> Sequence[int]:
    """Which requests are rehearsed, by their numbers from 0: blocks at even distances, so that neighbours that share
    their prompt stay together."""
    if rehearsed >= count:
        return range(count)
    block = rehearsed // _BLOCKS
    return [first * (count - block) // (_BLOCKS - 1) + n for first in range(_BLOCKS) for n in range(block)]


@attrs.frozen(kw_only=True)
class Tightest:
    """The limit that lets the fewest requests of a run through."""

    pool: str
    reason: Reason
    needed: float
    """What a request of the run takes from it, on average."""
    a_minute: float
    """How many requests of the run it lets through in a minute."""


def tightest(limits: Mapping[str, Limits], needs: Mapping[str, Needs]) -> Tightest | None:
    """That limit; None when none counts."""
    found: Tightest | None = None
    for pool, limit in limits.items():
        for reason in _REASONS:
            allowed: float | None = getattr(limit, reason)
            needed: float = getattr(needs[pool], reason) if pool in needs else 0.0
            if allowed is not None and needed > 0 and (found is None or allowed / needed < found.a_minute):
                found = Tightest(pool=pool, reason=reason, needed=needed, a_minute=allowed / needed)
    return found


def extrapolated(
    count: int, rehearsal: Rehearsal, *, concurrency: int, latency: float, limit: Tightest | None
) -> float:
    """The seconds that `count` requests take, by a rehearsal of some of them, or of all. `latency` is how long a
    request takes that nothing holds back, and `limit` the tightest one."""
    ends, emptied = rehearsal.ends, rehearsal.emptied
    rehearsed = len(ends)
    if count <= rehearsed or emptied is None:
        return rehearsal.seconds * count / max(1, rehearsed)
    settled = max(rehearsed // 4, min(2 * concurrency, 2 * rehearsed // 5))
    last = rehearsed - max(concurrency, rehearsed // 20)
    at_the_end = rehearsed - last - 1
    tail = ends[-1] - ends[last]
    if limit is None:
        each = (ends[last] - ends[settled]) / (last - settled)
        return ends[-1] + (count - rehearsed) * each
    free = (ends[emptied] - ends[settled]) / (emptied - settled)
    again = min(emptied + max(rehearsed // 10, concurrency), last - rehearsed // 10)
    steady = (ends[last] - ends[again]) / (last - again)
    at_first = ends[emptied] + (count - emptied - at_the_end) * free + tail
    # What runs when the buckets are emptied, and what they held, comes through as fast as it can.
    ahead = rehearsal.running + rehearsal.left.get((limit.pool, limit.reason), 0.0) / limit.needed
    in_the_long_run = ends[emptied] + latency + (count - emptied - ahead - at_the_end) * steady + tail
    return max(at_first, in_the_long_run)
