"""The command `manystream report` and its options."""

from typing import Annotated

import typer

from .group import exit_with

__all__ = ["report"]


def report(
    results: Annotated[
        list[str], typer.Argument(help="The results files of one or more runs; each has its journal beside it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")] = False,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page with plots to this file. It needs no network.")
    ] = None,
) -> None:
    """Show the report of a run: answers and errors, tokens and dollars, times, retries, interruptions.

    It is read from the journal of a run that has ended, was interrupted or still goes on. Nothing is written beside it.
    Of several runs it shows a line each, and what they are together.
    """

    def command() -> int:
        from ..engine.cli.report import report

        return report(results, as_json=as_json, html=html)

    exit_with(command, "interrupted")
