"""The command `manystream simulate` and its options."""

from typing import Annotated

import typer

from .group import exit_with
from .options import Backend, LogFormat, LogLevel

__all__ = ["SCENARIO", "simulate"]

SCENARIO = """
A scenario describes the service, in TOML. Every setting may be left out:

  seed = 7

  tokens_per_second = 80

  recordings = "folder"  # of .sse files, to replay instead of generated answers

  script = [529, "hello", {cut = {after = 3, how = "reset"}}]  # the answers to the first requests

  limits = {requests_per_minute = 60, output_tokens_per_minute = 8000}

  overload = {probability = 0.01, outages = [[10, 20]]}  # seconds

  faults = {close = 0.02, error = 0.01}  # probabilities
"""
"""The epilogue of the command's help."""


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https with a new certificate. Needs the extra tls.")
    ] = False,
    scenario: Annotated[
        str | None, typer.Option(help="A TOML file of settings, see below. Options given here replace them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answers. [0]")] = None,
    time_to_first_token: Annotated[float | None, typer.Option(min=0, help="In seconds. [0]")] = None,
    tokens_per_second: Annotated[float | None, typer.Option(min=0, help="0 is as fast as possible. [0]")] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Serve a simulated Messages API until Ctrl-C."""

    def command() -> int:
        from ..engine.cli.logs import write_logs
        from ..engine.cli.simulate import simulate

        write_logs(log_level, log_format)
        settings = {
            "seed": seed,
            "time_to_first_token": time_to_first_token,
            "tokens_per_second": tokens_per_second,
        }
        return simulate(
            host=host,
            port=port,
            tls=tls,
            scenario_file=scenario,
            overrides={name: value for name, value in settings.items() if value is not None},
            backend=backend,
        )

    exit_with(command, "stopped", 0)
