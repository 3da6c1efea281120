"""`manystream report`: the report of one or more runs, from their journals."""

import json
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from ..report import ReportError, figures, figures_of_several, page, read_report, tables, together
from .perform import Status
from .telling import fail

__all__ = ["report"]

_PAGE = b"<!DOCTYPE html>"
_COLUMNS = 120  # if the output is not a terminal


def report(outputs: Sequence[str], *, as_json: bool, html: str | None) -> Status:
    """Shows the report of the runs whose results are in `outputs`; returns the exit status.

    With `html` the report is written as a page to that path instead.
    """
    try:
        reports = [read_report(output) for output in outputs]
        files = reports if len(reports) > 1 else []
        found = together(files) if files else reports[0]
        if html is not None:
            _write(html, page(found, files))
    except ReportError as exc:
        fail(exc)
        return Status.UNUSABLE
    except OSError as exc:
        fail(f"{html}: {(exc.strerror or str(exc)).lower()}")
        return Status.UNWRITTEN
    if as_json:
        json.dump(figures_of_several(files, found) if files else figures(found), sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif html is None:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _COLUMNS
        console.print(tables(found, files))
    return Status.SUCCEEDED


def _write(path: str, text: str) -> None:
    """Writes the page. It replaces an earlier page, and no other file."""
    if os.path.isfile(path):
        with open(path, "rb") as there:
            if there.read(len(_PAGE)) not in (_PAGE, b""):
                raise ReportError(f"{path}: exists already and is not a page; name another file for --html")
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
