"""What was measured, as tables for people and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from rich.table import Table
from rich.text import Text

from .goals import GOALS, Goal, Measured
from .kinds import KINDS

__all__ = ["figures_tables", "goals_table", "medians", "write_json"]

_TITLES = {
    "burst": "burst: 50 answers at a time, as fast as they are read",
    "steady": "steady: live streams at 20 events a second",
    "tls": "steady, over TLS",
    "tls-memory": "memory, over TLS: per further live stream",
    "tls-life": "life, over TLS: CPU to open 1,000 streams, to let all go, and to open them again",
    "capacity": "capacity: the most live streams at 20 events a second with p99 ≤ 50 ms",
    "requests": "requests: answers of one delta, 50 at a time",
    "memory": "memory: per further live stream",
    "growth": "growth: burst with 50 and with 2,000 answers at a time",
    "many": "many: live streams at 2 events a second",
    "startup": "startup",
}


def medians(measured: Sequence[Measured], mode: str, kind: str) -> dict[str, float]:
    """Each figure's median over the turns."""
    turns = [one.figures for one in measured if one.mode == mode and one.kind == kind]
    names = dict.fromkeys(name for figures in turns for name in figures)
    return {name: median(figures[name] for figures in turns if name in figures) for name in names}


def figures_tables(measured: Sequence[Measured]) -> list[Table]:
    """One table a mode, one kind a row."""
    tables: list[Table] = []
    for mode in dict.fromkeys(one.mode for one in measured):
        rows = {kind: found for kind in KINDS if (found := medians(measured, mode, kind))}
        names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
        table = Table(title=_TITLES[mode], title_justify="left", title_style="bold")
        table.add_column("kind", no_wrap=True)
        for name in names:
            table.add_column(name.replace("_", " "), justify="right")
        for kind, figures in rows.items():
            cells = [f"{figures[name]:,.3g}" if name in figures else "-" for name in names]
            table.add_row(*map(Text, [kind, *cells]), style="bold" if kind.startswith("manystream") else None)
        tables.append(table)
    return tables


def goals_table(measured: Sequence[Measured]) -> Table:
    """The goals of the modes that were measured, what was reached, and whether that is enough."""
    table = Table(title="goals: medians over the turns", title_justify="left", title_style="bold")
    for name in ("figure", "kind", "goal"):
        table.add_column(name)
    table.add_column("reached", justify="right")
    table.add_column("")
    modes = {one.mode for one in measured}
    for goal in GOALS:
        if goal.mode not in modes:
            continue
        verdict = goal.judge(measured)
        reached = "-" if verdict.reached is None else _amount(goal, verdict.reached)
        said = {True: Text("met", "green"), False: Text("missed", "red"), None: Text("not measured", "dim")}
        aim = f"{'≤' if goal.sense == 'at most' else '≥'} {_amount(goal, goal.limit)}"
        aim += f" times {goal.reference}" if goal.reference else ""
        table.add_row(Text(goal.title), goal.kind, aim, reached, said[verdict.met])
    return table


def _amount(goal: Goal, amount: float) -> str:
    if goal.reference and goal.limit < 1 and goal.sense == "at most":
        return f"1/{1 / amount:.3g}"
    return f"{amount:.3g}{' ' + goal.unit if goal.unit else ''}"


def write_json(path: Path, measured: Sequence[Measured], **about: Any) -> None:
    """Writes everything that was measured to a file, with the goals."""
    verdicts = [goal.judge(measured) for goal in GOALS]
    modes = dict.fromkeys(one.mode for one in measured)
    kinds = dict.fromkeys(one.kind for one in measured)
    data = {
        **about,
        "goals": [
            {**attrs.asdict(verdict.goal), "reached": verdict.reached, "met": verdict.met} for verdict in verdicts
        ],
        "medians": {
            mode: {kind: found for kind in kinds if (found := medians(measured, mode, kind))} for mode in modes
        },
        "measured": [attrs.asdict(one) for one in measured],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
