"""The command `manystream plan` and its options."""

from typing import Annotated

import typer

from .group import exit_with
from .options import (
    BaseUrl,
    Concurrency,
    Epochs,
    IdColumn,
    InputFile,
    Limit,
    Limits,
    MaxTokens,
    Model,
    Param,
    PriceOption,
    PromptColumn,
    Provider,
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

__all__ = ["plan"]


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
        from ..engine.cli.input_options import InputOptions
        from ..engine.cli.plan import Asked, plan_file

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
