"""Logs of the commands, on standard error: off unless asked for, as lines for people or as JSON."""

import sys
from typing import Literal

import structlog

__all__ = ["LogFormat", "LogLevel", "write_logs"]

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


def write_logs(level: LogLevel | None, style: LogFormat) -> None:
    """Has structlog write what is of this level or above; None writes nothing, and so does a standard error that was
    closed: in its place structlog would take standard output, which is for results."""
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
        # Looked up each time: what shows a run's figures takes the place of standard error.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
