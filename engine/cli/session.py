"""A run from the command line: the engine, the progress, Ctrl-C, the summary and the exit status.

The first Ctrl-C drains, the second cancels, the third ends the process on the spot.
"""

import ipaddress
import signal
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import contextmanager
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit

import anyio
import attrs
from anyio.abc import TaskGroup
from rich.console import Console

from ...actors.request import StreamRequest
from ..engine import Engine
from ..model import AnthropicModel, MissingCredentialsError
from ..runs.input import InputError, RequestFile
from ..runs.output import OutputError
from ..runs.run import Run, RunStopped, open_run
from .display import Display, LineDisplay, LiveDisplay, summary

__all__ = ["Job", "Status", "fail", "perform"]


class Status(IntEnum):
    """What the process exits with."""

    SUCCEEDED = 0
    FAILED = 1
    """Some requests failed, or the run was stopped by a failure that concerned them all."""
    UNUSABLE = 2
    """Nothing was sent: the command line, the input or the credentials were wrong."""
    UNWRITTEN = 3
    """The results could not be written."""
    INTERRUPTED = 130
    """Ctrl-C left requests without an answer."""


def fail(message: object) -> None:
    """Says on standard error what is wrong, in one line."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr, flush=True)  # noqa: T201


@attrs.frozen(kw_only=True)
class Job:
    """What to run."""

    model_name: str
    source: RequestFile | list[StreamRequest]
    output: str
    concurrency: int
    limit: int | None = None
    overwrite: bool = False
    defaults: dict[str, Any] = attrs.field(factory=dict[str, Any])
    api_key: str | None = None
    base_url: str | None = None

    def engine(self) -> Engine:
        """The engine that will run it."""
        return Engine(self._model(self.api_key), max_concurrency=self.concurrency)
