"""The command line: `manystream`, or `python -m manystream`."""

import os
import sys
from typing import Annotated

import typer

from . import __version__
from .commands.budget import budget
from .commands.completion import completion
from .commands.demo import demo
from .commands.export import export
from .commands.group import CommandGroup
from .commands.options import STATUS
from .commands.plan import plan
from .commands.report import report
from .commands.run import run
from .commands.serve import serve
from .commands.simulate import SCENARIO, simulate
from .commands.watch import watch

__all__ = ["app", "main"]

app = typer.Typer(
    name="manystream",
    cls=CommandGroup,
    help="Runs hundreds to thousands of Claude streams at once.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # which fills paragraphs anew
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"manystream {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback(invoke_without_command=True)
def manystream(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201
        raise typer.Exit(2)


app.command(epilog=STATUS)(demo)
app.command(epilog=STATUS)(run)
app.command()(plan)
app.command()(completion)
app.command()(export)
app.command()(report)
app.command()(watch)
app.command(epilog=SCENARIO)(simulate)
app.command()(serve)
app.command()(budget)


def main() -> None:
    """Runs the command and exits."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The parent process closed it. No file of ours may take its number, since output would go into it. It is
            # opened for reading only, so that writing to it fails.
            os.open(os.devnull, os.O_RDONLY)
    try:
        try:
            app(prog_name="manystream")
        finally:
            if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
                sys.stdout.flush()
    except OSError as exc:
        # Standard output can't be written to. What is left in it would be tried again, and told, at Python's end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        print(f"error: stdout: {(exc.strerror or str(exc)).lower()}", file=sys.stderr)  # noqa: T201
        sys.exit(3)


if __name__ == "__main__":
    main()
