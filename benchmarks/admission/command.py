"""`python -m benchmarks admission`: all scenarios, every strategy in a process of its own, as many at a time as there
are processors."""

import multiprocessing
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .flaky import FLAKY, SEEDS, STRATEGIES, Flaky, FlakyComparison, Trial, flaky_table, run_trial
from .outcome import Outcome
from .plots import can_plot, plot
from .report import Comparison, write_json
from .scenarios import SCENARIOS, Scenario
from .strategies import ADAPTIVE, run_strategy, strategies_for

__all__ = ["command", "compare", "compare_flaky"]

_WIDTH = 160  # where nobody says how wide the terminal is
_NAMES = ", ".join(known.name for known in (*SCENARIOS, *FLAKY))


def command(
    minutes: Annotated[int, typer.Option(min=1, help="Simulated minutes.")] = 10,
    scenario: Annotated[list[str] | None, typer.Option(help=f"One of {_NAMES}; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the figures and the pictures.")] = Path("benchmarks/out"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    sdk: Annotated[
        bool, typer.Option("--sdk", help="Also run the SDK's client itself, which takes many minutes.")
    ] = False,
) -> None:
    """How much of what the API would take gets through, and how often it is refused.

    Fixed concurrency, the adaptive engine and the ideal, against simulated limits, an outage and a ramp. And how long
    the engine takes, beside the SDK's client, where a service without limits refuses by chance.
    """
    notes = Console(stderr=True, highlight=False)
    wanted = scenario or [known.name for known in (*SCENARIOS, *FLAKY)]
    chosen = [known for known in SCENARIOS if known.name in wanted]
    flaky = [known for known in FLAKY if known.name in wanted]
    if unknown := set(wanted).difference(known.name for known in (*chosen, *flaky)):
        notes.print(Text(f"no such scenario: {', '.join(sorted(unknown))}; there are {_NAMES}"))
        raise typer.Exit(2)
    if not can_plot():
        notes.print(Text("the pictures need matplotlib: pip install 'manystream[bench]'"))
        raise typer.Exit(2)
    out.mkdir(parents=True, exist_ok=True)
    comparisons = compare(chosen, minutes, seed, notes, sdk=sdk) if chosen else []
    flaky_comparisons = compare_flaky(flaky, seed, notes) if flaky else []
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    _show(comparisons, console)
    _show_flaky(flaky_comparisons, console)
    write_json(out / "admission.json", comparisons, flaky_comparisons, minutes=minutes, seed=seed)
    for comparison in comparisons:
        plot(comparison, out / f"admission-{comparison.scenario.name}.png")
    console.print(Text(f"figures and pictures: {out / 'admission'}*"))


def compare(
    scenarios: Iterable[Scenario], minutes: int, seed: int, notes: Console, *, sdk: bool = False
) -> list[Comparison]:
    """Runs every strategy in every scenario; tells `notes` what is done."""
    scenarios = list(scenarios)
    tasks = [(scenario, strategy) for scenario in scenarios for strategy in strategies_for(scenario, sdk=sdk)]
    tasks.sort(key=lambda task: (not task[1].startswith("sdk"), task[1] != ADAPTIVE))  # the longest first
    found: dict[tuple[str, str], Outcome] = {}
    began = time.monotonic()
    # Spawned, not forked: each process begins with nothing of ours.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(tasks), os.cpu_count() or 1), mp_context=context) as processes:
        futures = [processes.submit(_run, scenario.name, strategy, minutes, seed) for scenario, strategy in tasks]
        for number, future in enumerate(as_completed(futures), 1):
            outcome = future.result()
            found[outcome.scenario, outcome.strategy] = outcome
            elapsed = time.monotonic() - began
            line = f"{number}/{len(tasks)} {outcome.scenario}, {outcome.strategy}: {outcome.total:,} completed"
            notes.print(Text(f"{line} ({elapsed:.0f} s)"))
    return [
        Comparison(
            scenario,
            minutes,
            {strategy: found[scenario.name, strategy] for strategy in strategies_for(scenario, sdk=sdk)},
        )
        for scenario in scenarios
    ]


def _run(scenario_name: str, strategy: str, minutes: int, seed: int) -> Outcome:
    # By name: what makes a scenario's conditions can't be sent to another process.
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == scenario_name)
    return run_strategy(scenario, strategy, minutes, seed)


def compare_flaky(services: list[Flaky], seed: int, notes: Console) -> list[FlakyComparison]:
    """Runs both strategies against each service, with ten seeds from `seed` on; tells `notes` what is done."""
    seeds = range(seed, seed + SEEDS)
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    comparisons: list[FlakyComparison] = []
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context) as processes:
        for service in services:
            trials = {
                strategy: list(processes.map(_try, [service.name] * SEEDS, [strategy] * SEEDS, seeds))
                for strategy in STRATEGIES
            }
            comparisons.append(FlakyComparison(service, trials))
            notes.print(Text(f"{service.name}: {SEEDS} seeds ({time.monotonic() - began:.0f} s)"))
    return comparisons


def _try(name: str, strategy: str, seed: int) -> Trial:
    return run_trial(next(service for service in FLAKY if service.name == name), strategy, seed)


def _show_flaky(comparisons: list[FlakyComparison], console: Console) -> None:
    if comparisons:
        console.print(flaky_table(comparisons))
    for comparison in comparisons:
        met, line = comparison.verdict()
        console.print(Text(f"{'met   ' if met else 'missed'} {comparison.flaky.name}: {line}"))


def _show(comparisons: list[Comparison], console: Console) -> None:
    goals = [comparison for comparison in comparisons if comparison.scenario.goal]
    beyond = [comparison for comparison in comparisons if not comparison.scenario.goal]
    for comparison in goals:
        console.print(comparison.table())
    for comparison in goals:
        met, line = comparison.verdict()
        console.print(Text(f"{'met   ' if met else 'missed'} {comparison.scenario.name}: {line}"))
    if beyond:
        console.print(Text("\nbeyond the goal"))
    for comparison in beyond:
        console.print(comparison.table())
