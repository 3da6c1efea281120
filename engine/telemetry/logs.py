"""Logs, a few for each request, with the ids bound: `stream.submitted` (debug), `stream.retrying` (warning) and
`stream.ended` (info when it is complete, else warning).

They go to structlog when the app has configured it. Else they go to the standard library's loggers `manystream` and
below, where warnings show as those of any library do, unless the app says otherwise; a cancelled stream is no warning
there, since that was wanted.

Of an error, the type, the status and the request id are logged. The message is not: a service may quote in it what it
was sent. Names that others chose (a model, a stop reason, a custom_id) are logged in one line, control characters
escaped.
"""

import contextvars
import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from ...actors.actor import StreamActor
from ...actors.wire import plain_text

__all__ = ["LogObserver", "StandardLog", "StructuredLog", "find_log", "warn"]

Level = Literal["debug", "info", "warning"]

_STREAMS = logging.getLogger("manystream.streams")
_ENGINE = logging.getLogger("manystream.engine")


class Log(Protocol):
    """Where the lines go."""

    cancelled: Level
    """The level at which the end of a cancelled stream is told."""

    def takes(self, level: Level) -> bool:
        """Whether a line of this level would go anywhere."""
        ...

    def write(self, level: Level, event: str, facts: Mapping[str, Any]) -> None:
        """Writes a line."""
        ...


class StructuredLog:
    """The structlog that the app has configured."""

    cancelled: Level = "warning"

    def __init__(self) -> None:
        import structlog

        self._log: Any = structlog.get_logger("manystream")

    def takes(self, level: Level) -> bool:
        return True

    def write(self, level: Level, event: str, facts: Mapping[str, Any]) -> None:
        getattr(self._log, level)(event, **facts)


class StandardLog:
    """A logger of the standard library."""

    cancelled: Level = "info"

    def __init__(self, log: logging.Logger = _STREAMS) -> None:
        self._log = log

    def takes(self, level: Level) -> bool:
        return self._log.isEnabledFor(_NUMBERS[level])

    def write(self, level: Level, event: str, facts: Mapping[str, Any]) -> None:
        told = (f"{name}={value}" for name, value in facts.items() if value is not None)
        self._log.log(_NUMBERS[level], "%s", " ".join((event, *told)))


_NUMBERS: dict[Level, int] = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def find_log(fallback: logging.Logger = _STREAMS) -> Log:
    """Where lines go now. What the app has not imported is not imported here either."""
    structlog = sys.modules.get("structlog")
    return StructuredLog() if structlog is not None and structlog.is_configured() else StandardLog(fallback)


def warn(event: str, **facts: Any) -> None:
    """A warning of the engine's own. It never raises: the app's logging may fail, and no stream with it."""
    try:
        find_log(_ENGINE).write("warning", event, facts)
    except Exception:
        return


class LogObserver:
    """An `Observer` that logs."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: str, context: contextvars.Context
    ) -> None:
        if self._log.takes("debug"):
            facts = {"group": _plain(actor.request.group)}
            self._log.write("debug", "stream.submitted", facts | _ids(actor, params.get("model")))

    def retrying(self, actor: StreamActor, delay: float) -> None:
        if not self._log.takes("warning"):
            return
        attempt = actor.attempts[-1]
        error = attempt.error
        facts = {
            "attempt": attempt.number,
            "delay": round(delay, 3),
            "error": error and _plain(error.type),
            "status": error and error.status,
        }
        ids = _ids(actor, actor.assembler.model_name, attempt.request_id)
        self._log.write("warning", "stream.retrying", facts | ids)

    def ended(self, actor: StreamActor) -> None:
        result = actor.result
        if result is None:
            return
        level: Level = "info" if result.state == "complete" else "warning"
        level = self._log.cancelled if result.state == "cancelled" else level
        if not self._log.takes(level):
            return
        error, timings, usage = result.error, result.timings, result.usage
        facts = {
            "state": result.state,
            "stop_reason": _plain(result.stop_reason),
            "error": error and _plain(error.type),
            "status": error and error.status,
            "cancelled_by": result.cancelled_by,
            "attempts": len(result.attempts),
            "input_tokens": usage.total_input_tokens,
            "output_tokens": usage.output_tokens,
            "ttft": None if timings.ttft is None else round(timings.ttft, 4),
            "seconds": round(timings.end, 4),
        }
        self._log.write(level, "stream.ended", facts | _ids(actor, result.model_name, result.request_id))


def _ids(actor: StreamActor, model: object, request_id: str | None = None) -> dict[str, Any]:
    return {
        "stream_id": actor.stream_id,
        "custom_id": _plain(actor.request.custom_id),
        "request_id": _plain(request_id),
        "model": _plain(model),
    }


def _plain(value: object) -> str | None:
    return None if value is None else plain_text(str(value))
