"""The command `manystream serve` and its options."""

from typing import Annotated

import typer

from .group import exit_with
from .options import Budget, Limits, LogFormat, LogLevel, PriceOption

__all__ = ["serve"]


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8787,
    base_url: Annotated[
        str | None, typer.Option(help="The base URL of the API. [ANTHROPIC_BASE_URL, or Anthropic's own]")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file with a secret: only callers who send it are served.")
    ] = None,
    hold_key: Annotated[
        bool,
        typer.Option(
            "--hold-key",
            help="Hold the key from ANTHROPIC_API_KEY: callers send the token of --token-file as theirs.",
        ),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="With --hold-key, also this path and what is below it pass. Without it: messages, token counts and"
            " models. It may be given several times.",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which callers call the gateway. It may be given several times."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, envvar="MANYSTREAM_CONCURRENCY", help="How many requests run at a time.")
    ] = 100,
    limits: Limits = None,
    budget: Budget = None,
    spend_cap: Annotated[
        float | None,
        typer.Option(
            min=0.0001, help="In dollars, for each key, while the gateway runs. What might exceed it is a 402."
        ),
    ] = None,
    price: PriceOption = None,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long what runs may go on after Ctrl-C or SIGTERM.")
    ] = 30.0,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
) -> None:
    """Serve the Messages API on this machine, for programs in any language: with the engine's admission, attempts,
    deadlines and spend cap, and endings that are told as they are.

    Programs keep their own SDK and their own key; only their base URL changes. A retry before the first content is not
    seen by them. `/health`, `/stats` and the page at `/` say how it goes.
    """

    def command() -> int:
        from ..engine.cli.logs import write_logs
        from ..engine.cli.serve import serve

        write_logs(log_level, log_format)
        return serve(
            host=host,
            port=port,
            base_url=base_url,
            token_file=token_file,
            hold_key=hold_key,
            allow=allow or [],
            allowed_hosts=allowed_host or [],
            concurrency=concurrency,
            limits=limits or [],
            budget=budget,
            prices=price or [],
            spend_cap=spend_cap,
            grace=grace,
        )

    exit_with(command, "stopped", 0)
