"""The command `manystream run` and its options."""

from typing import Annotated, Literal

import typer

from .group import exit_with
from .options import (
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
    Shuffle,
    SkipInvalid,
    System,
    TemplateFile,
)
from .settings import ConfigFile, EnvFile

__all__ = ["run"]


def _names(said: str | None) -> tuple[str, ...]:
    return tuple(name for name in map(str.strip, (said or "").split(",")) if name)


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
        from ..engine.cli.file_run import run_file
        from ..engine.cli.input_options import InputOptions
        from ..engine.cli.logs import write_logs

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
