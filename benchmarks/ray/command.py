"""`python -m benchmarks ray`: rows answered on a local Ray cluster, in each way, several times."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated

import attrs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .trial import LIMITED, SMALL, Outcome, Way, Work, cluster, run_trial

__all__ = ["command", "table_of"]

_TRIALS: tuple[tuple[Work, Way], ...] = (
    (SMALL, "manystream"),
    (SMALL, "ray.data.llm"),
    (LIMITED, "manystream"),
    (LIMITED, "manystream, no budget"),
)
_WIDTH = 140


def command(
    runs: Annotated[int, typer.Option(min=1, help="How many trials of each.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """Rows of a Ray Dataset answered: by manystream with a budget and without, and by Ray's own HTTP stage.

    It needs the extra ray, and for Ray's own stage aiohttp. The workers' start is told apart.
    """
    notes = Console(stderr=True, highlight=False)
    if find_spec("ray") is None:
        notes.print(Text("Ray is not installed: pip install 'manystream[ray]'"))
        raise typer.Exit(2)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    found: list[Outcome] = []
    with cluster() as ray:
        for _ in range(runs):
            for work, way in _TRIALS:
                if way == "ray.data.llm" and find_spec("aiohttp") is None:
                    continue
                found.append(one := run_trial(ray, work, way))
                notes.print(Text(f"{one.work}, {one.way}: {one.seconds:.2f} s, {one.refused} refused"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(table_of(found))
    out.mkdir(parents=True, exist_ok=True)
    (out / "ray.json").write_text(json.dumps([attrs.asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")


def table_of(found: list[Outcome]) -> Table:
    """Medians, and the spread of the seconds."""
    table = Table(title="rows of a Ray Dataset", title_justify="left", title_style="bold")
    for name in ("work", "way", "first request to last answer", "spread", "whole Dataset", "refused", "answered"):
        table.add_column(name, justify="left" if name in ("work", "way") else "right")
    for work, way in dict.fromkeys((one.work, one.way) for one in found):
        ones = [one for one in found if (one.work, one.way) == (work, way)]
        seconds = [one.seconds for one in ones]
        table.add_row(
            work,
            way,
            f"{median(seconds):.2f} s",
            f"{min(seconds):.2f} to {max(seconds):.2f}",
            f"{median(one.whole for one in ones):.1f} s",
            f"{median(one.refused for one in ones):.0f}",
            f"{median(one.answered for one in ones):.0f}",
        )
    return table
