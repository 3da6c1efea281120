"""`python -m benchmarks speed`: all modes and kinds in turns, the tables, the figures as JSON, and a picture."""

import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from .goals import Measured, kinds_of_goals
from .kinds import KINDS
from .machine import describe
from .plots import plot
from .report import figures_tables, goals_table, write_json
from .turns import MODES, in_turns, measure, replay_server
from .work import Plan

__all__ = ["command"]

_WIDTH = 150  # where nobody says how wide the terminal is
_FULL = Plan()
_QUICK = Plan(burst_requests=200, request_requests=300, seconds=1.5, settle=0.4, capacity_halvings=1)
_ROUNDS = {
    "burst": 3,
    "steady": 3,
    "tls": 5,
    "tls-memory": 5,
    "tls-life": 5,
    "requests": 3,
}  # the others: once
_NOT_QUICK = "growth", "many", "tls-memory", "tls-life"  # unless they are asked for
_QUICK_CAPACITY = "bytes-aiohttp", "manystream"


def command(
    quick: Annotated[bool, typer.Option("--quick", help="One short turn: two minutes instead of fifteen.")] = False,
    kinds: Annotated[str, typer.Option(help=f"Kinds, with commas: {', '.join(KINDS)}.")] = ",".join(KINDS),
    modes: Annotated[str, typer.Option(help=f"Modes, with commas: {', '.join(MODES)}.")] = "",
    out: Annotated[Path, typer.Option(help="The folder for the figures and the picture.")] = Path("benchmarks/out"),
) -> None:
    """What a live stream costs, beside reading bytes with aiohttp, the SDK and Pydantic AI.

    Each kind runs in a process of its own against a local replay server, one after the other.
    """
    notes = Console(stderr=True, highlight=False)
    chosen_modes, chosen_kinds = (
        _chosen(modes or _usual_modes(quick, notes), MODES, notes),
        _chosen(kinds, KINDS, notes),
    )
    if find_spec("matplotlib") is None:
        notes.print(Text("the picture needs matplotlib: pip install 'manystream[bench]'"))
        raise typer.Exit(2)
    for name in list(chosen_kinds):
        if missing := KINDS[name].missing():
            notes.print(Text(f"{name} is left out: {', '.join(missing)} is not installed"))
            chosen_kinds.remove(name)
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    measured: list[Measured] = []
    rounds = {mode: 1 if quick else _ROUNDS.get(mode, 1) for mode in chosen_modes}
    with replay_server() as server:
        if server.tls_port is None and any(mode.startswith("tls") for mode in chosen_modes):
            notes.print(Text("what is measured over TLS is left out: trustme is not installed"))
            chosen_modes = [mode for mode in chosen_modes if not mode.startswith("tls")]
        for turn, mode, kind in in_turns(chosen_modes, chosen_kinds, rounds):
            if quick and kind not in (_QUICK_CAPACITY if mode == "capacity" else kinds_of_goals(mode)):
                continue
            one = measure(server, mode, kind, turn, _QUICK if quick else _FULL)
            measured.append(one)
            figures = ", ".join(f"{name} {value:,.3g}" for name, value in one.figures.items())
            notes.print(Text(f"{time.monotonic() - began:4.0f} s  {mode}, {kind}: {figures}"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    for table in (*figures_tables(measured), goals_table(measured)):
        console.print(table)
    write_json(out / "speed.json", measured, quick=quick, **describe())
    plot(measured, out / "speed.png")
    console.print(Text(f"figures and picture: {out / 'speed'}.json, .png"))


def _usual_modes(quick: bool, notes: Console) -> str:
    if quick:
        notes.print(Text(f"left out, as they take long: {', '.join(_NOT_QUICK)}"))
    return ",".join(mode for mode in MODES if not (quick and mode in _NOT_QUICK))


def _chosen(text: str, known: Iterable[str], notes: Console) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    there_are = list(known)
    if unknown := [name for name in names if name not in there_are]:
        notes.print(Text(f"no such name: {', '.join(unknown)}; there are {', '.join(there_are)}"))
        raise typer.Exit(2)
    return names
