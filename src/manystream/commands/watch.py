"""The command `manystream watch` and its options."""

from typing import Annotated

import typer

from .group import exit_with

__all__ = ["watch"]


def watch(
    output: Annotated[str, typer.Argument(help="The results file of a run that goes on.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON, a line a second, on standard output.")
    ] = False,
) -> None:
    """Show how a run goes that was started in another terminal, until it ends.

    It only looks: Ctrl-C ends the watching, not the run. It exits with the run's exit status when the run ends, and
    with 2 when no run goes on.
    """

    def command() -> int:
        from ..engine.cli.watch import watch

        return watch(output, as_json=as_json)

    exit_with(command)
