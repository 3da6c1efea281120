"""A run's report as tables on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .read import Report
from .rows import DEFINITIONS, Rows, all_rows, headline
from .units import plain

__all__ = ["tables"]


def tables(report: Report, files: Sequence[Report] = ()) -> Group:
    """The whole report, for rich to print. `files` are the reports that it puts together."""
    top = Text(f"{plain(report.output)}: ", style="bold")
    top.append(", ".join(f"{name} {value}" for name, value in headline(report, files)), style="not bold")
    return Group(top, *map(_table, all_rows(report, files)), Text("\n".join(DEFINITIONS), style="dim"))


def _table(rows: Rows) -> Table:
    table = Table(title=rows.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(rows.heads):
        table.add_column(Text(head), justify="right" if number else "left", overflow="fold")
    table.show_header = any(rows.heads)
    for cells in rows.cells:
        table.add_row(*map(Text, cells))
    return table
