"""The command `manystream budget` and its options."""

from typing import Annotated, Literal

import typer

from .group import exit_with

__all__ = ["budget"]


def budget(
    what: Annotated[Literal["show", "reset"], typer.Argument(help="Show what was spent, or begin anew.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that engines give their budget.")],
    carrier: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="host|redis://…", help="Where the budget is: on this host, or a Redis server."
        ),
    ] = None,
) -> None:
    """Show or reset the dollars that all engines spent whose budget has this name and a spend cap.

    They count from one run to the next, until they are reset. What runs meanwhile goes on: what it spends from now on
    counts.
    """

    def command() -> int:
        from ..engine.cli.budget import budget

        return budget(what, name, carrier=carrier)

    exit_with(command)
