"""The options that several commands have: one spelling, one meaning, one variable of the environment."""

from typing import Annotated, Literal

import typer

__all__ = [
    "STATUS",
    "Backend",
    "BaseUrl",
    "Concurrency",
    "InputFile",
    "Limit",
    "Limits",
    "LogFormat",
    "LogLevel",
    "MaxTokens",
    "Model",
    "PriceOption",
    "Provider",
    "Quiet",
    "Seed",
    "SkipInvalid",
    "System",
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
Concurrency = Annotated[
    int, typer.Option(min=1, envvar="MANYSTREAM_CONCURRENCY", help="How many requests run at a time.")
]
InputFile = Annotated[
    str,
    typer.Argument(
        help="Requests, one JSON object per line: a Message Batches request {custom_id, params}, or {prompt}."
        " Or one document: an array of these, or a Message Batches body {requests: [...]}. gzip and Zstandard are"
        " undone. `-` is standard input."
    ),
]
Limit = Annotated[int | None, typer.Option("-n", "--limit", min=1, help="Run only the first N requests.")]
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
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="The max_tokens of all requests. Otherwise those without their own get as much as their model gives: "
        "128000 or 64000, and 4096 for a model that is not known.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("-m", "--model", envvar="MANYSTREAM_MODEL", help="The model of all requests."),
]
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
Seed = Annotated[int, typer.Option(help="The same seed gives the same prompts and answers.")]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Skip entries of the input that are not valid requests.")
]
System = Annotated[str | None, typer.Option(help="The system prompt of all requests.")]
