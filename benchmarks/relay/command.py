"""`python -m benchmarks relay`: what an event costs to be told and to be served, and what a browser loses that comes
back."""

import gc
import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from attrs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..speed.machine import describe
from .comeback import SCENARIOS, lost
from .encoding import BASE, PEERS, WAYS, Way, pieces_of
from .serving import MANY, Load, Measured, measure_serving, serving_table
from .serving import WAYS as SERVED_WAYS
from .stacks import STACKS, TEXT

__all__ = ["command", "measure", "table_of", "table_of_losses"]

_WIDTH = 140
_PARTS = ("encoding", "serving", "many", "comeback")


def command(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"What to try: {', '.join(_PARTS)}; all unless given.")
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="How many events are told in each round.")] = 4000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way takes its turn.")] = 9,
    streams: Annotated[int, typer.Option(min=1, help="How many streams are served.")] = 100,
    tabs: Annotated[int, typer.Option(min=1, help="How many tabs read each.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each way is served.")] = 5.0,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
    into: Annotated[
        Path | None, typer.Option(help="Where Node's packages are installed; what is there is used again.")
    ] = None,
) -> None:
    """What it costs to write the events that browsers are told and to serve them, and what a browser loses that comes
    back.

    `encoding` tells microseconds of one event of text; other libraries take part where they are installed, and so they
    do in `serving`, where uvicorn serves many tabs, and in `many`, with ten times as many streams. `comeback` reloads,
    opens a second tab and kills a worker in mid-answer, and counts the characters that are lost; the AI SDK's stack
    takes part where there are Node and redis-server.
    """
    notes = Console(stderr=True, highlight=False)
    if unknown := set(parts or ()) - set(_PARTS):
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}")
    figures: dict[str, Any] = {"machine": describe()}
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    if "encoding" in (parts or _PARTS):
        figures["microseconds"] = _encoding(console, notes, events, rounds)
    if "serving" in (parts or _PARTS):
        served = _serving(console, Load(streams, tabs, seconds), SERVED_WAYS)
        figures |= {"load": [streams, tabs, seconds], "served": {name: asdict(one) for name, one in served.items()}}
    if "many" in (parts or _PARTS):
        served = _serving(console, Load(10 * streams, tabs, seconds), MANY)
        figures["many"] = {name: asdict(one) for name, one in served.items()}
    if "comeback" in (parts or _PARTS):
        with tempfile.TemporaryDirectory() as folder:
            figures["lost"] = losses = lost((into or Path(folder)).resolve(), lambda text: notes.print(Text(str(text))))
        console.print(table_of_losses(losses))
    out.mkdir(parents=True, exist_ok=True)
    (out / "relay.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _encoding(console: Console, notes: Console, events: int, rounds: int) -> dict[str, list[float]]:
    ways = [way for way in WAYS if find_spec(way.package) is not None]
    if missing := sorted({way.package for way in WAYS} - {way.package for way in ways}):
        notes.print(Text(f"not installed, and left out: {', '.join(missing)}"))
    found = measure(ways, events, rounds)
    console.print(table_of(ways, found))
    return found


def _serving(console: Console, load: Load, ways: Iterable[str]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for name in ways:
        if (one := measure_serving(name, load)) is not None:
            found[name] = one
    console.print(serving_table(load, found))
    return found


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


def table_of_losses(losses: dict[str, dict[str, int]]) -> Table:
    """Characters lost, by stack and by what happened, and what has to run beside the app."""
    table = Table(title=f"Lost of an answer of {len(TEXT):,} characters when a browser comes back")
    for name in ("", *SCENARIOS, "servers", "workers"):
        table.add_column(name, justify="left" if name in ("", "servers") else "right")
    for stack in STACKS:
        if (found := losses.get(stack.name)) is not None:
            table.add_row(stack.name, *(f"{found[name]:,}" for name in SCENARIOS), stack.servers, str(stack.workers))
    return table
