"""`python -m benchmarks budget`: every scenario in three ways, with several seeds; and what an exchange costs."""

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

from .cost import exchange_cost
from .scenarios import SCENARIOS, Scenario
from .trial import WAYS, Outcome, Way, run_trial

__all__ = ["command", "table_of"]

_PARTICIPANTS = 1, 4, 16, 64
_WIDTH = 140


def command(
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(one.name for one in SCENARIOS)}; may be repeated.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trials of each.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """Several engines with one key: with a budget and without, beside one engine that has all the work.

    The trials run on virtual time. The cost of an exchange is real time.
    """
    notes = Console(stderr=True, highlight=False)
    chosen = [one for one in SCENARIOS if scenario is None or one.name in scenario]
    if unknown := set(scenario or ()).difference(one.name for one in chosen):
        notes.print(Text(f"no such scenario: {', '.join(sorted(unknown))}"))
        raise typer.Exit(2)
    found: list[Outcome] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context) as processes:
        futures = [
            processes.submit(_run, one.name, way, seed)
            for one in chosen
            for way in WAYS
            for seed in range(1, seeds + 1)
        ]
        for future in futures:
            outcome = future.result()
            found.append(outcome)
            told = f"{outcome.scenario}, {outcome.way}: {outcome.seconds:.1f} s, {outcome.refused} refused"
            notes.print(Text(told))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table_of(found))
    costs = {participants: exchange_cost(participants) for participants in _PARTICIPANTS}
    told = ", ".join(f"{cost:.0f} µs with {participants}" for participants, cost in costs.items())
    console.print(Text(f"\nan exchange with the host's file: {told}"))
    out.mkdir(parents=True, exist_ok=True)
    figures = {"trials": [attrs.asdict(one) for one in found], "exchange_us": costs}
    (out / "budget.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _run(name: str, way: Way, seed: int) -> Outcome:
    logging.disable(logging.WARNING)  # that a limit holds the engines back is what is wanted here
    return run_trial(_named(name), way, seed)


def _named(name: str) -> Scenario:
    return next(one for one in SCENARIOS if one.name == name)


def table_of(found: list[Outcome]) -> Table:
    """The time until all is done and the refusals, one scenario a row: medians, and the spread of the shared runs."""
    table = Table(title="seconds / refused", title_justify="left", title_style="bold")
    for name in ("scenario", "one engine", "apart", "together", "spread", "together / one", "first done", "failed"):
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for name in dict.fromkeys(one.scenario for one in found):
        cells: dict[Way, list[Outcome]] = {
            way: [one for one in found if one.scenario == name and one.way == way] for way in WAYS
        }
        together = [one.seconds for one in cells["together"]]
        table.add_row(
            _named(name).title,
            *(_cell(cells[way]) for way in WAYS),
            f"{min(together):.1f} to {max(together):.1f}",
            f"{median(together) / median(one.seconds for one in cells['one']):.3f}",
            f"{median(one.first_done for one in cells['together']):.1f}",
            str(sum(one.failed for one in cells["together"])),
        )
    return table


def _cell(outcomes: list[Outcome]) -> str:
    return f"{median(one.seconds for one in outcomes):.1f} / {median(one.refused for one in outcomes):.0f}"
