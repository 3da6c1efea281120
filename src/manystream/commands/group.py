"""How commands end, and how they say that they were used wrongly: in one line, as everything else that is wrong."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["COMPLETION_VARIABLE", "CommandGroup", "exit_with"]

COMPLETION_VARIABLE = "_MANYSTREAM_COMPLETE"
"""A shell that completes the command says in it what it wants to know."""

_MISUSED = 2


class CommandGroup(TyperGroup):
    """The commands. A wrong option or argument is told in one line on standard error, and the status is 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command that `args` name, and exits; without `standalone_mode` it returns or raises instead."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        if COMPLETION_VARIABLE in os.environ:
            # Typer knows its shells from the start only if it adds two options of its own to the command.
            from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

            completion_init()
        try:
            # Typer frames what is wrong in a box of several lines, unless it is asked to raise it.
            sys.exit(super().main(args, prog_name, complete_var, False, windows_expand_args, **extra))
        except Exception as exc:
            message = getattr(exc, "format_message", None)  # a class of Typer's own that has no public name
            if message is None:
                raise
            context: Any = getattr(exc, "ctx", None)
            path = "manystream" if context is None else context.command_path
            print(f"error: {_one_line(message())}; see {path} --help", file=sys.stderr)  # noqa: T201
            sys.exit(_MISUSED)


def _one_line(text: str) -> str:
    text = " ".join(text.split()).removesuffix(".").replace("Value error, ", "")  # the last is pydantic's
    return text[:1].lower() + text[1:]


def exit_with(
    command: Callable[[], int], interrupted: str = "interrupted: nothing was sent", status: int = 130
) -> None:
    """Exits with the command's status. Ctrl-C may come while it is imported: then `interrupted` is said, and `status`
    is the status."""
    try:
        status = command()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)  # noqa: T201
    raise typer.Exit(status)
