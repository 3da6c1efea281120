"""`python -m benchmarks typed`: each way of reading an answer as values, at several sizes, in one table."""

import gc
import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..speed.machine import describe
from .contestants import BASE, CONTESTANTS
from .documents import pieces_of, text_of

__all__ = ["command", "measure", "table_of"]

_SIZES = (1_000, 100_000, 1_000_000)
_ENOUGH = 2.0  # seconds, after which a way is not tried once more
_WIDTH = 140

Found = dict[str, dict[int, float | None]]


def command(
    size: Annotated[list[int] | None, typer.Option(min=100, help="Characters of the answer; may be repeated.")] = None,
    piece: Annotated[int, typer.Option(min=1, help="Characters of a delta.")] = 40,
    tries: Annotated[int, typer.Option(min=1, help="The best of so many tries counts.")] = 5,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """What it costs to read a streamed answer as values of a type, whole and while it grows.

    Other libraries take part where they are installed. Where the work of one grows with the square of the answer, it
    does not take part in the largest.
    """
    notes = Console(stderr=True, highlight=False)
    sizes = tuple(size or _SIZES)
    missing = sorted({one.package for one in CONTESTANTS if find_spec(one.package) is None})
    if missing:
        notes.print(Text(f"not installed, and left out: {', '.join(missing)}"))
    found = measure(sizes, piece, tries, lambda name: notes.print(Text(name)))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table_of(found, sizes, piece))
    out.mkdir(parents=True, exist_ok=True)
    figures = {"machine": describe(), "piece": piece, "seconds": found}
    (out / "typed.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(sizes: tuple[int, ...], piece: int, tries: int, began: Callable[[str], object]) -> Found:
    """The seconds that each way takes for an answer of each size; None where it does not take part."""
    found: Found = {}
    for one in CONTESTANTS:
        if find_spec(one.package) is None:
            continue
        began(one.name)
        found[one.name] = {}
        for size in sizes:
            seconds = None
            if size <= one.longest:
                seconds = _best(one.read(pieces_of(text_of(size), piece)), tries)
            found[one.name][size] = seconds
    return found


def _best(read: Callable[[], Any], tries: int) -> float:
    best, spent = float("inf"), 0.0
    for _ in range(tries):
        gc.collect()
        began = time.perf_counter()
        read()
        seconds = time.perf_counter() - began
        best, spent = min(best, seconds), spent + seconds
        if spent > _ENOUGH:
            break
    return best


def table_of(found: Found, sizes: tuple[int, ...], piece: int) -> Table:
    """Milliseconds, microseconds a delta, and how many times the parser alone."""
    table = Table(title=f"An answer in deltas of {piece} characters: ms, µs a delta, and times the parser alone")
    table.add_column("")
    for size in sizes:
        table.add_column(f"{size:,} characters", justify="right")
    for name, row in found.items():
        cells: list[str] = []
        for size in sizes:
            seconds, base = row[size], found[BASE][size]
            if seconds is None or base is None:
                cells.append("")
                continue
            deltas = len(pieces_of(text_of(size), piece))
            cells.append(f"{seconds * 1e3:,.2f}  {seconds / deltas * 1e6:,.1f}  x {seconds / base:,.2f}")
        table.add_row(name, *cells)
    return table
