"""Logs by structlog, a few for each request: `stream.submitted` (debug), `stream.retrying` (warning) and `stream.ended`
(info when it is complete, else warning), with the ids bound.

Of an error, the type, the status and the request id are logged. The message is not: a service may quote in it what it
was sent. Names that others chose (a model, a stop reason, a custom_id) are logged in one line, control characters
escaped.
"""

import contextvars
from collections.abc import Mapping
from typing import Any

import structlog

from ...actors.actor import StreamActor
from ...actors.wire import plain_text

__all__ = ["LogObserver"]


class LogObserver:
    """An `Observer` that logs, by the structlog that the app has configured."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger("manystream")

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: str, context: contextvars.Context
    ) -> None:
        self._of(actor, params.get("model")).debug("stream.submitted", group=_plain(actor.request.group))

    def retrying(self, actor: StreamActor, delay: float) -> None:
        attempt = actor.attempts[-1]
        error = attempt.error
        self._of(actor, actor.assembler.model_name, attempt.request_id).warning(
            "stream.retrying",
            attempt=attempt.number,
            delay=round(delay, 3),
            error=error and _plain(error.type),
            status=error and error.status,
        )

    def ended(self, actor: StreamActor) -> None:
        result = actor.result
        if result is None:
            return
        log = self._of(actor, result.model_name, result.request_id)
        error, timings, usage = result.error, result.timings, result.usage
        (log.info if result.state == "complete" else log.warning)(
            "stream.ended",
            state=result.state,
            stop_reason=_plain(result.stop_reason),
            error=error and _plain(error.type),
            status=error and error.status,
            cancelled_by=result.cancelled_by,
            attempts=len(result.attempts),
            input_tokens=usage.total_input_tokens,
            output_tokens=usage.output_tokens,
            ttft=None if timings.ttft is None else round(timings.ttft, 4),
            seconds=round(timings.end, 4),
        )

    def _of(self, actor: StreamActor, model: object, request_id: str | None = None) -> Any:
        return self._log.bind(
            stream_id=actor.stream_id,
            custom_id=_plain(actor.request.custom_id),
            request_id=_plain(request_id),
            model=_plain(model),
        )


def _plain(value: object) -> str | None:
    return None if value is None else plain_text(str(value))
