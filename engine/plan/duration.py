"""How long a run takes: rehearsed as a whole if it is small, else extrapolated from a rehearsal of a part.

At first only the engine's own concurrency holds a run back, since the limits' buckets are full. Once they are empty,
what refills sets the pace. Which of the two decides depends on how many requests there are; the longer time counts.
"""

from collections.abc import Mapping, Sequence

import attrs

from ..admission import Limits, Reason
from .rehearsal import Rehearsal

__all__ = ["Needs", "extrapolated", "part_of", "rehearsed_count", "tightest"]

_MOST = 2000  # requests that are rehearsed, unless more than a third of them would run at once
_ROUNDS = 6  # as many times the concurrency as a rehearsal needs to settle
_BLOCKS = 20


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


def tightest(limits: Mapping[str, Limits], needs: Mapping[str, Needs]) -> tuple[Reason | None, float]:
    """The limit that lets the fewest requests of the run through, and how many a minute that are."""
    reason: Reason | None = None
    fewest = float("inf")
    for pool, limit in limits.items():
        if pool not in needs:
            continue
        for name in ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"):
            allowed, needed = getattr(limit, name), getattr(needs[pool], name)
            if allowed is not None and needed > 0 and allowed / needed < fewest:
                reason, fewest = name, allowed / needed
    return reason, fewest


def extrapolated(count: int, rehearsal: Rehearsal, *, concurrency: int, a_minute: float) -> float:
    """The seconds that `count` requests take, by a rehearsal of some of them, or of all. `a_minute` is how many
    requests the tightest limit lets through in a minute, and so what the full buckets hold at first; infinite without
    limits."""
    ends, emptied = rehearsal.ends, rehearsal.emptied
    rehearsed = len(ends)
    if count <= rehearsed or emptied is None:
        return rehearsal.seconds * count / max(1, rehearsed)
    settled = max(rehearsed // 4, min(2 * concurrency, 2 * rehearsed // 5))
    last = rehearsed - max(concurrency, rehearsed // 20)
    tail = ends[-1] - ends[last]
    more = count - last - (rehearsed - last)
    if a_minute == float("inf"):
        return ends[-1] + more * (ends[last] - ends[settled]) / (last - settled)
    free = (ends[emptied] - ends[settled]) / (emptied - settled)
    again = emptied + max(rehearsed // 10, concurrency)
    again = min(again, last - rehearsed // 10)
    steady = (ends[last] - ends[again]) / (last - again)
    at_first = ends[emptied] + (count - emptied - (rehearsed - last)) * free + tail
    in_the_long_run = (count - a_minute - (rehearsed - last)) * steady + tail
    return max(at_first, in_the_long_run)
