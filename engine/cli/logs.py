"""The logs of the commands, on standard error: none by default, else lines for people or JSON."""

import logging
import sys
from typing import Literal

import structlog

__all__ = ["LogFormat", "LogLevel", "write_logs"]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


def write_logs(level: LogLevel | None, style: LogFormat) -> None:
    """Makes structlog write what is of this level or above. Nothing is written for None, and when standard error is
    closed: structlog would use standard output instead, which is for results."""
    # Else warnings that have no handler would go to standard error, into the live display.
    logging.getLogger("manystream").addHandler(logging.NullHandler())
    if level is None or sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    render = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up each time, since the live display replaces standard error.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
