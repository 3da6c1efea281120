"""`python -m benchmarks plan`: every scenario with several seeds, as many at a time as there are processors."""

import json
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated

import attrs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .scenarios import SCENARIOS, Scenario
from .trial import PILOT, Trial, run_trial

__all__ = ["command", "table_of"]

_TIGHT, _LOOSE, _DOLLARS = 0.05, 0.10, 0.05
_WIDTH = 140


def command(
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(one.name for one in SCENARIOS)}; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trials of each scenario.")] = 5,
    pilot: Annotated[int, typer.Option(min=5, help="How many requests are run before the plan.")] = PILOT,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """How near a plan comes to the truth, in time and in dollars.

    A pilot of the first requests is run, the rest is planned, and then run for the truth, all on virtual time.
    """
    notes = Console(stderr=True, highlight=False)
    chosen = [one for one in SCENARIOS if scenario is None or one.name in scenario]
    if unknown := set(scenario or ()).difference(one.name for one in chosen):
        notes.print(Text(f"no such scenario: {', '.join(sorted(unknown))}"))
        raise typer.Exit(2)
    found: dict[str, list[Trial]] = {one.name: [] for one in chosen}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context) as processes:
        futures = [processes.submit(_run, one.name, seed, pilot) for one in chosen for seed in range(1, seeds + 1)]
        for future in futures:
            trial = future.result()
            found[trial.scenario].append(trial)
            notes.print(
                Text(f"{trial.scenario} {trial.seed}: time {trial.time_ratio:.3f}, dollars {trial.dollar_ratio:.3f}")
            )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table_of(found))
    out.mkdir(parents=True, exist_ok=True)
    figures = {name: [attrs.asdict(trial) for trial in trials] for name, trials in found.items()}
    (out / "plan.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _run(name: str, seed: int, pilot: int) -> Trial:
    logging.disable(logging.WARNING)  # that a limit holds the run back is what is wanted here
    return run_trial(_named(name), seed, pilot)


def _named(name: str) -> Scenario:
    return next(one for one in SCENARIOS if one.name == name)


def table_of(found: dict[str, list[Trial]]) -> Table:
    """The ratios of planned to true, one scenario a row: the median of the trials, and the furthest off."""
    table = Table(title="planned / true", title_justify="left", title_style="bold")
    for name in ("scenario", "truth", "rests on", "time", "furthest", "goal", "dollars", "furthest", "in the range"):
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for name, trials in found.items():
        scenario = _named(name)
        times = [trial.time_ratio for trial in trials]
        dollars = [trial.dollar_ratio for trial in trials]
        goal = _TIGHT if scenario.tight else _LOOSE
        met = abs(median(times) - 1) <= goal and abs(median(dollars) - 1) <= _DOLLARS
        table.add_row(
            *map(
                Text,
                (
                    f"{name}: {scenario.title}",
                    f"{median(trial.seconds for trial in trials) / 60:.1f} min",
                    f"{median(trial.answers for trial in trials):.0f}",
                    f"{median(times):.3f}",
                    f"{_furthest(times):.3f}",
                    "met" if met else "missed",
                    f"{median(dollars):.3f}",
                    f"{_furthest(dollars):.3f}",
                    f"{sum(trial.inside for trial in trials)} of {len(trials)}",
                ),
            )
        )
    return table


def _furthest(ratios: list[float]) -> float:
    return max(ratios, key=lambda ratio: abs(ratio - 1))
