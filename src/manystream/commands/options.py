"""The options that several commands have: one spelling, one meaning, one variable of the environment."""

from typing import Annotated, Literal

import typer

__all__ = [
    "STATUS",
    "Backend",
    "BaseUrl",
    "Budget",
    "Concurrency",
    "Epochs",
    "IdColumn",
    "InputFile",
    "Limit",
    "Limits",
    "LogFormat",
    "LogLevel",
    "MaxTokens",
    "Model",
    "Param",
    "PriceOption",
    "PromptColumn",
    "Provider",
    "Quiet",
    "RowSeed",
    "Sample",
    "Schema",
    "SchemaVia",
    "Seed",
    "Shuffle",
    "SkipInvalid",
    "System",
    "TemplateFile",
]

STATUS = """
Exit status: 0 all requests succeeded; 1 all were run, and some failed; 2 the command line, the input or the
credentials were wrong: nothing was sent, except requests that came through a pipe before; 3 the results, their journal
or the events could not be written (a full disk, a lock): earlier answers are kept, and the same command continues the
run; 4 something stopped the run and would stop it again (a spend cap or limit, the key, --max-failures, nobody
reached); 129, 130, 143 interrupted by SIGHUP, Ctrl-C, SIGTERM: the same command continues the run.
"""

Backend = Annotated[Literal["asyncio", "trio"], typer.Option(hidden=True)]
BaseUrl = Annotated[
    str | None, typer.Option(help="The base URL, if not the provider's. A server on this machine needs no key.")
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="host|off|redis://…",
        envvar="MANYSTREAM_BUDGET",
        help="Share the API's limits with your other runs and engines on this host, so that together they stay within"
        " them; with the URL of a Redis server, on many machines. [host; off for a server on this machine]",
    ),
]
Concurrency = Annotated[
    int, typer.Option(min=1, envvar="MANYSTREAM_CONCURRENCY", help="How many requests run at a time.")
]
InputFile = Annotated[
    str,
    typer.Argument(
        help="Requests or rows. JSON Lines or an array of Message Batches requests {custom_id, params}, a Message"
        " Batches body {requests: [...]}; or rows, each with its prompt: CSV or TSV with a header, JSON objects,"
        " Parquet. gzip and Zstandard are undone. `-` is standard input."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("-n", "--limit", min=1, help="Run only the first N requests. With --epochs a row is several of them."),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(
        envvar="MANYSTREAM_LOG_LEVEL",
        help="Log what is of this level or above to standard error. Nothing is logged by default.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[MODEL:]requests=N,input=N,output=N",
        help="Your limits per minute: requests, uncached input tokens, output tokens, or some of them. Those of one"
        " model have its name before them. It may be given several times. Otherwise they are learnt from the API's"
        " headers.",
    ),
]
LogFormat = Annotated[Literal["console", "json"], typer.Option(help="The format of the logs.")]
PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL=IN,OUT",
        help="What a model costs, in dollars per million input and output tokens. It may be given several times.",
    ),
]
Provider = Annotated[
    Literal["anthropic", "bedrock", "vertex", "foundry"],
    typer.Option(
        envvar="MANYSTREAM_PROVIDER",
        help="Who serves the model. The credentials are read from the variables that Anthropic's SDK reads.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show only errors and the last line.")]
Schema = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json|MODULE:TYPE",
        help="What each answer is to be: a JSON Schema, or a type in a Python module. An answer that doesn't fit is"
        " asked for once more. The answers stand as `output` beside the results.",
    ),
]
SchemaVia = Annotated[
    Literal["format", "tool"] | None,
    typer.Option(
        help="How the schema is asked for: as the answer's format, or as the arguments of a tool `give_answer`, which"
        " takes schemas that the format refuses. [format]",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same prompts and answers.")]

# What the input is, and what is asked of all of it.
Model = Annotated[
    str | None, typer.Option("-m", "--model", envvar="MANYSTREAM_MODEL", help="The model of all requests.")
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="The max_tokens of all requests. Otherwise those without their own get as much as their model gives: "
        "128000 or 64000, and 4096 for a model that is not known.",
    ),
]
System = Annotated[
    str | None,
    typer.Option(metavar="TEXT|@FILE", help="The system prompt of all requests: a text, or a file behind an @."),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A parameter of the API for all requests, such as temperature=0.2. The value is read as JSON, else as"
        " text. It may be given several times.",
    ),
]
TemplateFile = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="FILE",
        help="Make the prompts of the rows by this Jinja template, in which the columns have their names.",
    ),
]
PromptColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column with the prompts, if it is not `prompt`.")
]
IdColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The column with the rows' ids: any texts or whole numbers, each once."),
]
Epochs = Annotated[int, typer.Option(min=1, metavar="N", help="Answer each row N times: ids end in __1, __2 …")]
Sample = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take N rows by chance.")]
Shuffle = Annotated[bool, typer.Option("--shuffle", help="Take the rows in an order by chance.")]
RowSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="The same seed takes the same rows, in the same order. A run that goes on keeps its seed.",
    ),
]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Skip entries of the input that are not valid requests.")
]
