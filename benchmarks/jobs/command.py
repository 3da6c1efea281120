"""`python -m benchmarks jobs`: each contestant in each case, one after the other, and the tables."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from tests.clients.environments import InstallError

from ..speed.machine import describe
from .attempt import Attempt, attempt
from .cases import CASES
from .contestants import CONTESTANTS, Installed
from .report import table, write

__all__ = ["command"]

_WIDTH = 180  # where nobody says how wide the terminal is


def command(
    rows: Annotated[int, typer.Option(min=10, max=4_000, help="How many rows the job has.")] = 2_000,
    contestants: Annotated[str, typer.Option(help=f"With commas: {', '.join(CONTESTANTS)}.")] = ",".join(CONTESTANTS),
    cases: Annotated[str, typer.Option(help=f"With commas: {', '.join(CASES)}.")] = ",".join(CASES),
    into: Annotated[
        Path | None, typer.Option(help="Where to make the environments; what is there already is used again.")
    ] = None,
    uv: Annotated[str, typer.Option(help="The uv to make them with.")] = shutil.which("uv") or "uv",
    out: Annotated[Path, typer.Option(help="The folder for the figures and the programs' files.")] = Path(
        "benchmarks/out"
    ),
) -> None:
    """A table of prompts through a model, with faults and a kill -9: time, money, and what became of the rows.

    manystream run, inspect_ai, a LiteLLM Router, and the SDK with tenacity, each in an environment of its own, which
    needs uv and a package registry. It takes about 25 minutes.
    """
    notes = Console(stderr=True, highlight=False)
    if sys.platform == "win32":
        notes.print(Text("this needs Linux or macOS: on Windows there is no kill -9"))
        raise typer.Exit(2)
    chosen_cases, chosen = _chosen(cases, CASES, notes), _chosen(contestants, CONTESTANTS, notes)
    began = time.monotonic()
    measured: list[Attempt] = []
    with tempfile.TemporaryDirectory() as folder:
        environments = (into or Path(folder)).resolve()
        environments.mkdir(parents=True, exist_ok=True)
        installed = _installed(chosen, environments, uv, notes)
        work = out.resolve() / "jobs"
        shutil.rmtree(work, ignore_errors=True)
        for case_name in chosen_cases:
            for name, there in installed.items():
                if case_name not in CONTESTANTS[name].cases:
                    continue
                one = attempt(CASES[case_name], there, rows, work / f"{case_name}-{name}")
                measured.append(one)
                write(out, measured, **describe())  # each time: what is there is kept when the next one fails
                ended = ", ".join(str(session.status) for session in one.sessions)
                said = f"{case_name}, {name}: {one.seconds:.1f} s, {one.tally.answers:,} answers (status {ended})"
                notes.print(Text(f"{time.monotonic() - began:4.0f} s  {said}"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    for case_name in chosen_cases:
        if of_case := [one for one in measured if one.case == case_name]:
            console.print(table(case_name, of_case))
    console.print(Text(f"figures and tables: {out / 'jobs'}.json, .md; what the programs wrote and said: {work}"))


def _installed(names: Iterable[str], environments: Path, uv: str, notes: Console) -> dict[str, Installed]:
    made: dict[str, Installed] = {}
    for name in names:
        try:
            made[name] = CONTESTANTS[name].install(environments, uv)
        except InstallError as error:
            notes.print(Text(f"{name} is left out, as it can't be installed: {error}"))
        else:
            notes.print(Text(f"{name}: {made[name].versions}"))
    if not made:
        raise typer.Exit(2)
    return made


def _chosen(text: str, known: Iterable[str], notes: Console) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    there_are = list(known)
    if unknown := [name for name in names if name not in there_are]:
        notes.print(Text(f"no such name: {', '.join(unknown)}; there are {', '.join(there_are)}"))
        raise typer.Exit(2)
    return names
