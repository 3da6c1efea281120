"""The command `manystream export` and its options."""

from typing import Annotated, Literal

import typer

from .group import exit_with
from .options import PriceOption

__all__ = ["export"]


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
    dollars stays as it was; `--price` is for answers whose price was unknown then. Its MODEL is the name in the column
    model or, where the run's journal lies beside the results, the name that was asked for.
    """

    def command() -> int:
        from ..engine.cli.export import export

        return export(
            results,
            output,
            format=format,
            column_prefix=column_prefix,
            keep_formulas=keep_formulas,
            prices=price or (),
        )

    exit_with(command, "interrupted")
