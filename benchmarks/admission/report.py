"""What the outcomes say: tables for people, whether the goals are met, and the same as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from rich.table import Table
from rich.text import Text

from .flaky import FlakyComparison
from .outcome import INTERVAL, Outcome
from .scenarios import SETTLED_FROM, Scenario
from .strategies import ADAPTIVE, IDEAL

__all__ = ["Comparison", "write_json"]

_GOAL_SHARE = 0.90
_GOAL_REFUSED = 0.02


@attrs.frozen
class Comparison:
    """One scenario, and the outcomes of all strategies in it."""

    scenario: Scenario
    minutes: int
    outcomes: Mapping[str, Outcome]

    def of_ideal(self, strategy: str, ideal: str = IDEAL) -> float:
        """How much of the ideal a strategy completed; 1 is all of it."""
        return self.outcomes[strategy].total / max(1, self.outcomes[ideal].total)

    def verdict(self) -> tuple[bool, str]:
        """Whether the engine meets the goals, with the figures in a line."""
        ours = self.outcomes[ADAPTIVE]
        completed, refused = self.of_ideal(ADAPTIVE), ours.share(429, self.scenario.settled_from)
        met = completed >= _GOAL_SHARE and (refused or 0.0) < _GOAL_REFUSED
        others = "".join(
            f", {_percent(self.of_ideal(ADAPTIVE, name))} of the {name}"
            for name in self.outcomes
            if name.startswith(IDEAL) and name != IDEAL
        )
        line = f"{_percent(completed)} of the ideal{others}; once settled {_percent(refused)} answered 429"
        return met, f"{line} (goals: {_GOAL_SHARE:.0%} or more, less than {_GOAL_REFUSED:.0%})"

    def table(self) -> Table:
        """All strategies, one a row."""
        scenario = self.scenario
        since = {scenario.settled_from, SETTLED_FROM}
        table = Table(title=f"{scenario.name}: {scenario.title}", title_justify="left", title_style="bold")
        table.caption = Text(scenario.remark) if scenario.remark else None
        table.caption_justify = "left"
        table.add_column("strategy", no_wrap=True)
        for name in ("completed", "of ideal", "429", "529"):
            table.add_column(name, justify="right")
        for seconds in sorted(since):
            table.add_column(f"429 from {_clock(seconds)}", justify="right")
            table.add_column(f"529 from {_clock(seconds)}", justify="right")
        table.add_column("lost", justify="right")
        table.add_column("completed in each minute", no_wrap=True)
        for strategy, outcome in self.outcomes.items():
            cells = [strategy, f"{outcome.total:,}", _percent(self.of_ideal(strategy))]
            for seconds in (0.0, *sorted(since)):
                cells += [_percent(outcome.share(429, seconds)), _percent(outcome.share(529, seconds))]
            cells += [f"{outcome.lost:,}", " ".join(f"{count:3}" for count in outcome.per_minute)]
            table.add_row(*map(Text, cells), style="bold" if strategy == ADAPTIVE else None)
        return table

    def as_json(self) -> dict[str, Any]:
        """All figures, as plain data."""
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "goal": self.scenario.goal,
            "settled_from_seconds": self.scenario.settled_from,
            "strategies": {name: self._figures(outcome) for name, outcome in self.outcomes.items()},
        }

    def _figures(self, outcome: Outcome) -> dict[str, Any]:
        def shares(status: int) -> dict[str, float | None]:
            return {
                "all": outcome.share(status),
                "settled": outcome.share(status, self.scenario.settled_from),
                "from_minute_three": outcome.share(status, SETTLED_FROM),
            }

        return {
            "completed": outcome.total,
            "of_ideal": self.of_ideal(outcome.strategy),
            "share_429": shares(429),
            "share_529": shares(529),
            "lost": outcome.lost,
            "attempts": sum(outcome.answered),
            "refused_by": dict(outcome.refused_by),
            "completed_per_minute": outcome.per_minute,
            "interval_seconds": INTERVAL,
            "completed_per_interval": outcome.completed,
            "attempts_per_interval": outcome.answered,
            "refused_per_interval": {str(status): counts for status, counts in outcome.refused.items()},
        }


def write_json(
    path: Path, comparisons: list[Comparison], flaky: list[FlakyComparison], *, minutes: int, seed: int
) -> None:
    """Writes all figures to a file."""
    data = {
        "minutes": minutes,
        "seed": seed,
        "scenarios": [comparison.as_json() for comparison in comparisons],
        "flaky": [comparison.as_json() for comparison in flaky],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"
