"""The command: `manystream`, or `python -m manystream`.

What a command does is imported when it runs, so that `--help` is quick.
"""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "main"]

_STATUS = """
Exit status: 0 all requests succeeded; 1 some failed, or one failure stopped the run; 2 the command line, the input or
the credentials were wrong, and nothing was sent but what came through a pipe before; 3 the results could not be
written (or their journal, or the events: a full disk, a lock), what was answered before is kept, and the same command
goes on; 130 interrupted.
"""

_SCENARIO = """
A scenario says what the service is like, in TOML; everything may be left out:

  seed = 7

  tokens_per_second = 80

  recordings = "folder"  # of .sse files, to replay instead of generated answers

  script = [529, "hello", {cut = {after = 3, how = "reset"}}]  # what the first requests get

  limits = {requests_per_minute = 60, output_tokens_per_minute = 8000}

  overload = {probability = 0.01, outages = [[10, 20]]}  # seconds

  faults = {close = 0.02, error = 0.01}  # probabilities
"""

app = typer.Typer(
    name="manystream",
    help="Runs hundreds to thousands of Claude streams at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Backend = Annotated[Literal["asyncio", "trio"], typer.Option(hidden=True)]
Concurrency = Annotated[int, typer.Option(min=1, help="How many requests run at a time.")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(help="Log to standard error what is of this level or above; nothing unless it is given."),
]
LogFormat = Annotated[Literal["console", "json"], typer.Option(help="How logs are written.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same prompts and answers.")]


def _exit(command: "Callable[[], int]") -> None:
    try:
        status = command()
    except KeyboardInterrupt:
        print("interrupted: nothing was sent", file=sys.stderr)  # noqa: T201
        status = 130
    raise typer.Exit(status)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"manystream {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def manystream(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog=_STATUS)
def demo(
    requests: Annotated[int, typer.Option(min=1, help="How many prompts.")] = 200,
    concurrency: Concurrency = 50,
    seed: Seed = 0,
    output: Annotated[
        str, typer.Option("-o", "--output", help="The results file; `-` is standard output.")
    ] = "manystream-demo.jsonl",
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Run prompts against a simulator inside this process: no key, no network.

    An earlier demo's results file is overwritten.
    """

    def command() -> int:
        from .engine.cli.demo import demo
        from .engine.cli.logs import write_logs

        write_logs(log_level, log_format)
        return demo(requests=requests, concurrency=concurrency, seed=seed, output=output, backend=backend)

    _exit(command)


@app.command(epilog=_STATUS)
def run(
    file: Annotated[
        str,
        typer.Argument(
            help="Requests, one JSON object a line: a Message Batches request {custom_id, params}, or {prompt}. Or one"
            " Message Batches body {requests: [...]}. `-` is standard input."
        ),
    ],
    output: Annotated[
        str,
        typer.Option("-o", "--output", help="The results file, as Message Batches have it; `-` is standard output."),
    ],
    model: Annotated[str | None, typer.Option(help="The model of requests that name none.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="For requests that don't say. [4096]")] = None,
    system: Annotated[str | None, typer.Option(help="The system prompt of requests without one.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where the API is, if not at Anthropic's. On this machine no key is needed.")
    ] = None,
    concurrency: Concurrency = 50,
    limit: Annotated[int | None, typer.Option(min=1, help="Run the first few only.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew: replace the output file, and its journal.")
    ] = False,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Write the results in the input's order; those that are ahead wait.")
    ] = False,
    retry_errored: Annotated[
        bool,
        typer.Option("--retry-errored", help="Run those again that errored or expired; replace their results."),
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Pass over lines of the input that are no requests.")
    ] = False,
    stream_events: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|-",
            help="Write the events as they come, as JSON Lines: a file a request, or all to standard output.",
        ),
    ] = None,
    recovery: Annotated[
        Literal["fail", "restart", "continue"],
        typer.Option(help="What becomes of an answer that breaks off: it fails, begins anew, or is continued."),
    ] = "fail",
    spend_cap: Annotated[
        float | None, typer.Option(min=0.0001, help="Dollars: what would go beyond is not begun.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show errors and the last line only.")] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Run a file of requests and write their results as they come.

    All of the input is checked before anything is sent; what comes through a pipe is checked as it comes. The key is
    read from ANTHROPIC_API_KEY. A request that fails doesn't stop the others; a failure that would fail them all, such
    as a wrong key, stops the run. Ctrl-C (or SIGTERM) lets running requests finish and begins no more; a second one
    cancels them.

    The same command again goes on where it stopped, however it stopped: by the journal beside the output file, each
    request is in the results once.
    """

    def command() -> int:
        from .engine.cli.file_run import run_file
        from .engine.cli.logs import write_logs

        write_logs(log_level, log_format)
        defaults: dict[str, Any] = {"max_tokens": max_tokens, "system": system}
        return run_file(
            file,
            output,
            model=model,
            defaults={name: value for name, value in defaults.items() if value is not None},
            base_url=base_url,
            concurrency=concurrency,
            limit=limit,
            overwrite=overwrite,
            ordered=ordered,
            retry_errored=retry_errored,
            skip_invalid=skip_invalid,
            stream_events=stream_events,
            recovery=recovery,
            spend_cap=spend_cap,
            quiet=quiet,
            backend=backend,
        )

    _exit(command)


@app.command()
def report(
    output: Annotated[str, typer.Argument(help="The results file of a run; its journal is beside it.")],
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, on standard output.")] = False,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="A page with plots in one file; it needs no network.")
    ] = None,
) -> None:
    """Show what a run was: answers and errors, tokens and dollars, times, retries, interruptions.

    It is read from the run's journal, when the run has ended or was interrupted. Nothing is changed.
    """

    def command() -> int:
        from .engine.cli.report import report

        return report(output, as_json=as_json, html=html)

    _exit(command)


@app.command(epilog=_SCENARIO)
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")] = 8765,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https, by a certificate made on the spot; needs the extra tls.")
    ] = False,
    scenario: Annotated[
        str | None, typer.Option(help="A TOML file of settings, as below; the options here go before it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same answers. [0]")] = None,
    time_to_first_token: Annotated[float | None, typer.Option(min=0, help="Seconds. [0, at once]")] = None,
    tokens_per_second: Annotated[float | None, typer.Option(min=0, help="[0, as fast as possible]")] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Serve a simulated Messages API until Ctrl-C."""

    def command() -> int:
        from .engine.cli.logs import write_logs
        from .engine.cli.simulate import simulate

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

    _exit(command)


def main() -> None:
    """Runs the command and exits."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by who started us. A file that we open must not take its number: it would be written into. Reading
            # alone, so that what should have gone there fails.
            os.open(os.devnull, os.O_RDONLY)
    app()


if __name__ == "__main__":
    main()
