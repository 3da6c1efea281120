"""`manystream report`: the report of a run, from its journal."""

import json
import os
import sys

from rich.console import Console

from ..report import ReportError, figures, page, read_report, tables
from .perform import Status
from .telling import fail

__all__ = ["report"]

_PAGE = b"<!DOCTYPE html>"
_COLUMNS = 120  # if the output is not a terminal


def report(output: str, *, as_json: bool, html: str | None) -> Status:
    """Shows the report of the run whose results are in `output`; returns the exit status.

    With `html` the report is written as a page to that path instead.
    """
    try:
        found = read_report(output)
        if html is not None:
            _write(html, page(found))
    except ReportError as exc:
        fail(exc)
        return Status.UNUSABLE
    except OSError as exc:
        fail(f"{html}: {(exc.strerror or str(exc)).lower()}")
        return Status.UNWRITTEN
    if as_json:
        json.dump(figures(found), sys.stdout, indent=2, allow_nan=False)
        sys.stdout.write("\n")
    elif html is None:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = _COLUMNS
        console.print(tables(found))
    return Status.SUCCEEDED


def _write(path: str, text: str) -> None:
    """Writes the page. It replaces an earlier page, and no other file."""
    if os.path.isfile(path):
        with open(path, "rb") as there:
            if there.read(len(_PAGE)) not in (_PAGE, b""):
                raise ReportError(f"{path}: exists already and is not a page; name another file for --html")
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
