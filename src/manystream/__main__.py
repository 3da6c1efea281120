"""The command line: `manystream`, or `python -m manystream`.

The modules behind a command are imported when it runs, so that `--help` is quick.
"""

import os
import sys
from typing import Annotated, Literal

import typer

from . import __version__
from .budget_command import budget
from .command_group import COMPLETION_VARIABLE, CommandGroup, exit_with
from .options import (
    STATUS,
    Backend,
    BaseUrl,
    Budget,
    Concurrency,
    Epochs,
    IdColumn,
    InputFile,
    Limit,
    Limits,
    LogFormat,
    LogLevel,
    MaxTokens,
    Model,
    Param,
    PriceOption,
    PromptColumn,
    Provider,
    Quiet,
    RowSeed,
    Sample,
    Schema,
    SchemaVia,
    Seed,
    Shuffle,
    SkipInvalid,
    System,
    TemplateFile,
)
from .serve_command import serve
from .settings import ConfigFile, EnvFile

__all__ = ["app", "main"]

_SCENARIO = """
A scenario describes the service, in TOML. Every setting may be left out:

  seed = 7

  tokens_per_second = 80

  recordings = "folder"  # of .sse files, to replay instead of generated answers

  script = [529, "hello", {cut = {after = 3, how = "reset"}}]  # the answers to the first requests

  limits = {requests_per_minute = 60, output_tokens_per_minute = 8000}

  overload = {probability = 0.01, outages = [[10, 20]]}  # seconds

  faults = {close = 0.02, error = 0.01}  # probabilities
"""

app = typer.Typer(
    name="manystream",
    cls=CommandGroup,
    help="Runs hundreds to thousands of Claude streams at once.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # which fills paragraphs anew
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _names(said: str | None) -> tuple[str, ...]:
    return tuple(name for name in map(str.strip, (said or "").split(",")) if name)


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


@app.command(epilog=STATUS)
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
        from .engine.cli.demo import demo
        from .engine.cli.logs import write_logs

        write_logs(log_level, log_format)
        return demo(requests=limit, concurrency=concurrency, seed=seed, output=output, quiet=quiet, backend=backend)

    exit_with(command)


@app.command(epilog=STATUS)
def run(
    file: InputFile,
    output: Annotated[
        str,
        typer.Option("-o", "--output", help="The results file, as Message Batches have it; `-` is standard output."),
    ],
    model: Model = None,
    max_tokens: MaxTokens = None,
    system: System = None,
    param: Param = None,
    template: TemplateFile = None,
    prompt_column: PromptColumn = None,
    id_column: IdColumn = None,
    epochs: Epochs = 1,
    sample: Sample = None,
    shuffle: Shuffle = False,
    seed: RowSeed = None,
    provider: Provider = "anthropic",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 50,
    limit: Limit = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="How long a request may take in all, from when it is drawn to its end, waits and retries included.",
        ),
    ] = None,
    price: PriceOption = None,
    config: ConfigFile = None,
    env_file: EnvFile = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew: replace the output file and its journal.")
    ] = False,
    ordered: Annotated[bool, typer.Option("--ordered", help="Write the results in the order of the input.")] = False,
    retry_errored: Annotated[
        bool,
        typer.Option(
            "--retry-errored",
            help="Run all requests again that errored or expired, and replace their results. Without it, those whose"
            " error passes by itself: a lost connection, an overloaded service.",
        ),
    ] = False,
    retry_only: Annotated[
        str | None,
        typer.Option(metavar="KIND[,KIND]", help="Run again only requests with these errors, such as api_error."),
    ] = None,
    retry_stopped: Annotated[
        str | None,
        typer.Option(
            metavar="REASON[,REASON]",
            help="Run requests again whose answer stopped for this reason, such as max_tokens. They may have other"
            " parameters then.",
        ),
    ] = None,
    max_attempts: Annotated[
        int,
        typer.Option(min=1, help="Attempts of a request, retries and restarts together, each time it is started."),
    ] = 4,
    max_failures: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%", help="Stop when so many answers are failures; or such a share of them, once 50 have come."
        ),
    ] = None,
    skip_invalid: SkipInvalid = False,
    limits: Limits = None,
    budget: Budget = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only show what the run would cost and how long it would take, as `manystream plan` does."
        ),
    ] = False,
    stream_events: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|-",
            help="Write events as they come, as JSON Lines: one file per request, or all to standard output.",
        ),
    ] = None,
    schema: Schema = None,
    schema_via: SchemaVia = None,
    recovery: Annotated[
        Literal["fail", "restart", "continue"],
        typer.Option(help="What happens to an answer that breaks off: it fails, starts anew, or is continued."),
    ] = "restart",
    spend_cap: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            envvar="MANYSTREAM_SPEND_CAP",
            help="In dollars, over all sessions of the run. A request that might exceed it is not begun.",
        ),
    ] = None,
    quiet: Quiet = False,
    log_level: LogLevel = None,
    log_format: LogFormat = "console",
    backend: Backend = "asyncio",
) -> None:
    """Run a file of requests and write their results as they come.

    The whole input is checked before anything is sent; a pipe is checked as its requests come. The key is read from
    ANTHROPIC_API_KEY. A request that fails doesn't stop the others. A failure that would fail all of them, such as a
    wrong key, stops the run. Ctrl-C (or SIGTERM) lets running requests finish and begins no more; a second one cancels
    them.

    The same command continues a run that stopped, however it stopped. The journal beside the output file makes sure
    that each request is in the results once.
    """

    def command() -> int:
        from .engine.cli.file_run import run_file
        from .engine.cli.input_options import InputOptions
        from .engine.cli.logs import write_logs

        write_logs(log_level, log_format)
        options = InputOptions(
            model=model,
            max_tokens=max_tokens,
            system=system,
            params=param or [],
            template=template,
            prompt_column=prompt_column,
            id_column=id_column,
            epochs=epochs,
            sample=sample,
            shuffle=shuffle,
            seed=seed,
            skip_invalid=skip_invalid,
        )
        return run_file(
            file,
            output,
            options=options,
            provider=provider,
            base_url=base_url,
            concurrency=concurrency,
            limit=limit,
            timeout=timeout,
            prices=price or [],
            overwrite=overwrite,
            ordered=ordered,
            retry_errored=retry_errored,
            retry_only=_names(retry_only),
            retry_stopped=_names(retry_stopped),
            max_attempts=max_attempts,
            max_failures=max_failures,
            limits=limits or [],
            budget=budget,
            dry_run=dry_run,
            stream_events=stream_events,
            schema=schema,
            schema_via=schema_via,
            recovery=recovery,
            spend_cap=spend_cap,
            quiet=quiet,
            backend=backend,
        )

    exit_with(command)


@app.command()
def plan(
    file: InputFile,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="The results file of the run. What it and its journal hold is used for the estimate."
        ),
    ] = None,
    model: Model = None,
    max_tokens: MaxTokens = None,
    system: System = None,
    param: Param = None,
    template: TemplateFile = None,
    prompt_column: PromptColumn = None,
    id_column: IdColumn = None,
    epochs: Epochs = 1,
    sample: Sample = None,
    shuffle: Shuffle = False,
    seed: RowSeed = None,
    provider: Provider = "anthropic",
    base_url: BaseUrl = None,
    concurrency: Concurrency = 50,
    limit: Limit = None,
    limits: Limits = None,
    ask_limits: Annotated[
        bool, typer.Option("--ask-limits", help="Ask the API for your limits, with the key in ANTHROPIC_ADMIN_KEY.")
    ] = False,
    count_tokens: Annotated[
        bool,
        typer.Option("--count-tokens", help="Ask the API how many tokens a sample of the requests has, which is free."),
    ] = False,
    price: PriceOption = None,
    schema: Schema = None,
    schema_via: SchemaVia = None,
    config: ConfigFile = None,
    env_file: EnvFile = None,
    skip_invalid: SkipInvalid = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a run will cost and how long it will take, before it runs.

    No request for a message is sent, and nothing is written. With the results of a few requests (run --limit 30) the
    plan rests on their answers; without any it is a range. The time is rehearsed: the engine runs on a clock that does
    not wait, against a model of the API with your limits.

    Exit status: 0, or 2 when the command line, the input or the results can't be used.
    """

    def command() -> int:
        from .engine.cli.input_options import InputOptions
        from .engine.cli.plan import Asked, plan_file

        options = InputOptions(
            model=model,
            max_tokens=max_tokens,
            system=system,
            params=param or [],
            template=template,
            prompt_column=prompt_column,
            id_column=id_column,
            epochs=epochs,
            sample=sample,
            shuffle=shuffle,
            seed=seed,
            skip_invalid=skip_invalid,
        )
        return plan_file(
            file,
            output,
            options=options,
            provider=provider,
            base_url=base_url,
            concurrency=concurrency,
            limit=limit,
            limits=limits or [],
            asked=Asked(limits=ask_limits, tokens=count_tokens),
            prices=price or [],
            schema=schema,
            schema_via=schema_via,
            as_json=as_json,
        )

    exit_with(command, "interrupted")


@app.command()
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


@app.command()
def export(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results files of runs, also while they go on, or downloaded from the Message Batches API. `-` is"
            " standard input."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.{csv|tsv|parquet|jsonl}",
            help="The file to write, in the format that its name ends with. It replaces an earlier export, and no other"
            " file. `-` is standard output, as CSV.",
        ),
    ],
    format: Annotated[
        Literal["csv", "tsv", "parquet", "jsonl"] | None,
        typer.Option("--format", help="The format, whatever the file's name is."),
    ] = None,
    column_prefix: Annotated[
        str,
        typer.Option(
            metavar="PREFIX", help="Put this before the names of your columns, so that none has the name of ours."
        ),
    ] = "",
    keep_formulas: Annotated[
        bool,
        typer.Option(
            "--keep-formulas",
            help="In CSV and TSV, put no apostrophe before texts that a spreadsheet takes for formulas: those that"
            " begin with = + - @, a tab or a carriage return, and are no numbers.",
        ),
    ] = False,
    price: PriceOption = None,
) -> None:
    """Write results as rows, one an answer: its text, what it used and cost, its error, and your own columns.

    The columns are custom_id, epoch, state, text, output, stop_reason, model, input_tokens, cache_read_tokens,
    cache_write_tokens, output_tokens, cost_usd, error_type, error_message, and then yours. What a run has counted in
    dollars stays as it was; `--price` is for answers whose price was unknown then.
    """

    def command() -> int:
        from .engine.cli.export import export

        return export(
            results,
            output,
            format=format,
            column_prefix=column_prefix,
            keep_formulas=keep_formulas,
            prices=price or (),
        )

    exit_with(command, "interrupted")


@app.command()
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
        from .engine.cli.report import report

        return report(results, as_json=as_json, html=html)

    exit_with(command, "interrupted")


@app.command()
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
        from .engine.cli.watch import watch

        return watch(output, as_json=as_json)

    exit_with(command)


@app.command(epilog=_SCENARIO)
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

    exit_with(command, "stopped", 0)


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
