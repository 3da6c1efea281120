"""What was measured, as tables for people, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.table import Table
from rich.text import Text

from .attempt import Attempt
from .cases import CASES
from .contestants import CONTESTANTS, lines_written

__all__ = ["markdown", "table", "write"]

_Cell = Callable[[Attempt], str]


def _of_allowed(attempt: Attempt) -> str:
    return "-" if attempt.allowed_seconds is None else f"{attempt.seconds / attempt.allowed_seconds:.2f}"


def _dollars(attempt: Attempt) -> str:
    needed = attempt.tally.dollars_needed
    return f"{attempt.tally.dollars / needed:.3f}" if needed else "-"


_TIME: Mapping[str, _Cell] = {"seconds": lambda attempt: f"{attempt.seconds:.1f}"}
_AGAINST_THE_LIMIT: Mapping[str, _Cell] = {
    "time ÷ allowed": _of_allowed,
    "429s": lambda attempt: f"{attempt.tally.refused:,}",
}
_MONEY: Mapping[str, _Cell] = {"dollars ÷ needed": _dollars}
_ROWS: Mapping[str, _Cell] = {
    "lost": lambda attempt: f"{attempt.tally.lost:,}",
    "doubled": lambda attempt: f"{attempt.tally.doubled:,}",
    "errored": lambda attempt: f"{attempt.tally.errored:,}",
    "wrong": lambda attempt: f"{attempt.tally.wrong:,}",
}
_PROGRAM: Mapping[str, _Cell] = {
    "lines written": lambda attempt: str(lines_written(CONTESTANTS[attempt.contestant].program)),
    "CPU s": lambda attempt: f"{attempt.cpu_seconds:.1f}",
    "peak MB": lambda attempt: f"{attempt.peak_mb:.0f}",
}
_LEDGER: Mapping[str, _Cell] = {
    "answers": lambda attempt: f"{attempt.tally.answers:,}",
    "529s": lambda attempt: f"{attempt.tally.overloaded:,}",
    "cut": lambda attempt: f"{attempt.tally.cut:,}",
    "given up": lambda attempt: f"{attempt.tally.abandoned:,}",
    "load": lambda attempt: f"{attempt.load:.1f}",
}


def _columns(case_name: str, *, ledger: bool) -> Mapping[str, _Cell]:
    limited = CASES[case_name].limits.requests_per_minute is not None
    columns = {**_TIME, **(_AGAINST_THE_LIMIT if limited else {}), **_MONEY, **_ROWS, **_PROGRAM}
    return {**columns, **_LEDGER} if ledger else columns


def _title(case_name: str, attempts: Sequence[Attempt]) -> str:
    first = attempts[0]
    allowed = "" if first.allowed_seconds is None else f"; the limit allows {first.allowed_seconds:.1f} s"
    return f"{case_name}: {first.tally.rows:,} rows, {CASES[case_name].title}{allowed}"


def table(case_name: str, attempts: Sequence[Attempt]) -> Table:
    """A case's table, a contestant a row, with what the ledger says besides."""
    columns = _columns(case_name, ledger=True)
    made = Table(title=_title(case_name, attempts), title_justify="left", title_style="bold")
    made.add_column("contestant", no_wrap=True)
    for name in columns:
        made.add_column(name, justify="right")
    for attempt in attempts:
        ours = attempt.contestant == "manystream"
        cells = [CONTESTANTS[attempt.contestant].title, *(cell(attempt) for cell in columns.values())]
        made.add_row(*map(Text, cells), style="bold" if ours else None)
    return made


def markdown(case_name: str, attempts: Sequence[Attempt]) -> str:
    """The same, shorter, for a page of documentation."""
    columns = _columns(case_name, ledger=False)
    lines = [
        _title(case_name, attempts),
        "",
        f"| | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
        *(
            f"| {CONTESTANTS[attempt.contestant].title} | {' | '.join(cell(attempt) for cell in columns.values())} |"
            for attempt in attempts
        ),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, attempts: Sequence[Attempt], **about: Any) -> None:
    """Writes everything that was measured to `jobs.json`, and the tables to `jobs.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {**about, "attempts": [{"seconds": one.seconds, **attrs.asdict(one)} for one in attempts]}
    (folder / "jobs.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    names = dict.fromkeys(one.case for one in attempts)
    tables = (markdown(name, [one for one in attempts if one.case == name]) for name in names)
    (folder / "jobs.md").write_text("\n".join(tables), encoding="utf-8")
