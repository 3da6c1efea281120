"""The command `manystream completion`."""

from typing import Annotated, Literal

import typer

from .group import COMPLETION_VARIABLE

__all__ = ["completion"]


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.")],
) -> None:
    """Print the script that completes commands and options.

    For bash: manystream completion bash >> ~/.bashrc. For zsh: put it into a file `_manystream` in a folder of $fpath.
    For fish: into ~/.config/fish/completions/manystream.fish.
    """
    from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

    print(  # noqa: T201
        get_completion_script(prog_name="manystream", complete_var=COMPLETION_VARIABLE, shell=shell)
    )
