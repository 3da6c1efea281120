"""What is aimed at: ratios to a reference measured in the same turn, and a few figures by themselves."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

import attrs

__all__ = ["GOALS", "Goal", "Measured", "Verdict", "kinds_of_goals"]


@attrs.frozen
class Measured:
    """One measurement: the figures of a kind in a mode, in one turn."""

    mode: str
    kind: str
    turn: int
    figures: dict[str, float]


@attrs.frozen
class Verdict:
    """A goal, and the figure that was reached; None when it was not measured."""

    goal: "Goal"
    reached: float | None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met."""
        if self.reached is None:
            return None
        limit = self.goal.limit
        return self.reached <= limit if self.goal.sense == "at most" else self.reached >= limit


@attrs.frozen
class Goal:
    """A kind's figure in a mode is `sense` `limit`, times the reference's figure if there is one."""

    title: str
    mode: str
    kind: str
    figure: str
    sense: Literal["at most", "at least"]
    limit: float
    reference: str | None = None
    unit: str = ""

    def judge(self, measured: Sequence[Measured]) -> Verdict:
        """The median over the turns."""
        of_kind = self._by_turn(measured, self.kind)
        if self.reference is None:
            return Verdict(self, median(of_kind.values()) if of_kind else None)
        references = self._by_turn(measured, self.reference)
        ratios = [value / references[turn] for turn, value in of_kind.items() if references.get(turn)]
        return Verdict(self, median(ratios) if ratios else None)

    def _by_turn(self, measured: Sequence[Measured], kind: str) -> dict[int, float]:
        return {
            one.turn: one.figures[self.figure]
            for one in measured
            if one.mode == self.mode and one.kind == kind and self.figure in one.figures
        }


_FLOOR, _OURS, _TRIO = "bytes-aiohttp", "manystream", "manystream-trio"
_STEADY, _TLS = "steady: CPU per event", "steady over TLS: CPU per event"
_CAPACITY, _BURST = "capacity: streams at p99 ≤ 50 ms", "burst: CPU per event"
_REQUESTS, _MEMORY = "CPU per request", "memory per further stream"
_GROWTH, _MANY = "burst, 50 to 2,000 streams: CPU per event grows", "5,000 streams at 2 events/s"

GOALS = (
    Goal(_STEADY, "steady", _OURS, "cpu_us_per_event", "at most", 1.4, _FLOOR),
    Goal(_STEADY, "steady", _TRIO, "cpu_us_per_event", "at most", 2.2, _FLOOR),
    Goal(_TLS, "tls", _OURS, "cpu_us_per_event", "at most", 1.4, _FLOOR),
    Goal(_TLS, "tls", _TRIO, "cpu_us_per_event", "at most", 2.2, _FLOOR),
    *(
        Goal(title, mode, f"{kind}-http2", figure, "at most", limit, kind)
        for kind, event in ((_OURS, 0.72), ("manystream-uvloop", 0.72), (_TRIO, 0.75))
        for title, mode, figure, limit in (
            (_TLS, "tls", "cpu_us_per_event", event),
            ("steady over TLS: p99", "tls", "p99_ms", 1.0),
            ("memory over TLS", "tls-memory", "kb_per_stream", 0.45),
            ("opening 1,000 over TLS", "tls-life", "open_cpu_ms", 0.4),
            ("opening 1,000 again", "tls-life", "again_cpu_ms", 0.45),
            ("cancelling 1,000", "tls-life", "cancel_cpu_ms", 0.8),
        )
    ),
    Goal(_TLS, "tls", f"{_OURS}-http2", "cpu_us_per_event", "at most", 0.3, "sdk"),
    Goal(_CAPACITY, "capacity", _OURS, "streams", "at least", 0.75, _FLOOR),
    Goal(_CAPACITY, "capacity", _OURS, "streams", "at least", 6, "sdk"),
    Goal(_CAPACITY, "capacity", _OURS, "streams", "at least", 8, "pydantic-ai"),
    Goal(_CAPACITY, "capacity", _TRIO, "streams", "at least", 4, "sdk-trio"),
    Goal(_BURST, "burst", _OURS, "cpu_us_per_event", "at most", 1.8, _FLOOR),
    Goal(_BURST, "burst", _OURS, "cpu_us_per_event", "at most", 1 / 7, "sdk"),
    Goal(_BURST, "burst", _OURS, "cpu_us_per_event", "at most", 1 / 18, "pydantic-ai"),
    Goal(_BURST, "burst", _TRIO, "cpu_us_per_event", "at most", 1 / 5, "sdk-trio"),
    Goal(_REQUESTS, "requests", _OURS, "cpu_ms_per_request", "at most", 1 / 3, "sdk"),
    Goal(_REQUESTS, "requests", _TRIO, "cpu_ms_per_request", "at most", 1 / 2, "sdk-trio"),
    Goal(_MEMORY, "memory", _OURS, "kb_per_stream", "at most", 40, unit="KB"),
    Goal(_MEMORY, "memory", _TRIO, "kb_per_stream", "at most", 40, unit="KB"),
    Goal(_GROWTH, "growth", _OURS, "growth", "at most", 1.3, unit="times"),
    Goal(_GROWTH, "growth", _TRIO, "growth", "at most", 1.3, unit="times"),
    Goal(f"{_MANY}: p99", "many", _OURS, "p99_ms", "at most", 100, unit="ms"),
    Goal(f"{_MANY}: memory", "many", _OURS, "rss_mb", "at most", 400, unit="MB"),
    Goal(f"{_MANY}: p99", "many", _TRIO, "p99_ms", "at most", 200, unit="ms"),
    Goal("`manystream --help`", "startup", _OURS, "help_seconds", "at most", 0.35, unit="s"),
    Goal("`import manystream.actors`", "startup", _OURS, "import_seconds", "at most", 0.15, unit="s"),
)


def kinds_of_goals(mode: str) -> set[str]:
    """The kinds that the mode's goals speak of."""
    return {kind for goal in GOALS if goal.mode == mode for kind in (goal.kind, goal.reference) if kind}
