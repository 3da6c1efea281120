"""`python -m benchmarks relay`: what an event costs to be told, each way beside the others in one run."""

import gc
import json
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..speed.machine import describe
from .encoding import BASE, PEERS, WAYS, Way, pieces_of

__all__ = ["command", "measure", "table_of"]

_WIDTH = 140


def command(
    events: Annotated[int, typer.Option(min=1, help="How many events are told in each round.")] = 4000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way takes its turn.")] = 9,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """What it costs to write the events that browsers are told, in microseconds of one event of text.

    Other libraries take part where they are installed.
    """
    notes = Console(stderr=True, highlight=False)
    ways = [way for way in WAYS if find_spec(way.package) is not None]
    if missing := sorted({way.package for way in WAYS} - {way.package for way in ways}):
        notes.print(Text(f"not installed, and left out: {', '.join(missing)}"))
    found = measure(ways, events, rounds)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table_of(ways, found))
    out.mkdir(parents=True, exist_ok=True)
    figures = {"machine": describe(), "microseconds": found}
    (out / "relay.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(ways: Sequence[Way], events: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds an event, by way and round. The ways take turns, for the machine is not the same at all times."""
    pieces = pieces_of(events)
    writes = [(way.name, way.ready(pieces)) for way in ways]
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for name, write in writes:
            gc.collect()
            began = time.perf_counter()
            write()
            found[name].append((time.perf_counter() - began) / events * 1e6)
    return found


def table_of(ways: Sequence[Way], found: dict[str, list[float]]) -> Table:
    """The best and the median of each, and the median of its ratios to others within a round."""
    peers = [name for name in (BASE, *PEERS) if name in found]
    table = Table(title="An event of text as bytes: µs, best and median, and times others")
    table.add_column("")
    table.add_column("best", justify="right")
    table.add_column("median", justify="right")
    for name in peers:
        table.add_column(f"x {name}", justify="right")
    for way in ways:
        times = found[way.name]
        ratios = [median(a / b for a, b in zip(times, found[name], strict=True)) for name in peers]
        cells = [f"{min(times):.2f}", f"{median(times):.2f}", *(f"{ratio:.3f}" for ratio in ratios)]
        table.add_row(way.name, *cells, style="bold" if way.is_ours else None)
    return table
