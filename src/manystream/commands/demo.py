"""The command `manystream demo` and its options."""

from typing import Annotated

import typer

from .group import exit_with
from .options import Backend, Concurrency, LogFormat, LogLevel, Quiet, Seed

__all__ = ["demo"]


def demo(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many prompts.")] = 200,
    concurrency: Concurrency = 50,
    seed: Seed = 0,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="The results file; `-` is standard output. [a file in a new folder]"),
    ] = None,
    quiet: Quiet = False,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Run prompts against a simulator inside this process: no key, no network.

    The results are in a new temporary folder, unless you name a file. It overwrites the results of an earlier demo.
    """

    def command() -> int:
        from ..engine.cli.demo import demo
        from ..engine.cli.logs import write_logs

        write_logs(log_level, log_format)
        return demo(requests=limit, concurrency=concurrency, seed=seed, output=output, quiet=quiet, backend=backend)

    exit_with(command)
