"""Traces and metrics by OpenTelemetry, with the names of its conventions for generative AI (semantic-conventions-genai,
as of November 2026; in development, so names may change).

Each request has one span, `chat {model}`, from its submission to its end. Its parent is the submitter's span, and it is
current while the request runs; failed attempts are events of it. Input tokens include cached ones, as the conventions
ask. Tokens are those of all attempts as far as anybody knows, as in `result.billed`: an estimate where one was cut.
A stream that was cut or failed has the status ERROR and its error's type. One that was cancelled has the `error.type`
`cancelled` and no status, since that was wanted. Nothing of a prompt or an answer is recorded, nor an error's message.
Names that others chose are made plain: half a surrogate pair would fail the exporter, and with it other spans.
"""

import contextvars
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace

from ...actors.actor import StreamActor
from ...actors.message import Usage
from ...actors.stream import StreamResult
from ...actors.wire import plain_text

__all__ = ["TraceObserver", "is_set_up"]

_TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_CHUNK_SECONDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5]
_REQUEST = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}


def is_set_up() -> bool:
    """Whether the app has set a provider of traces or of metrics. Until it does there are only stand-ins."""
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return not all("Proxy" in type(provider).__name__ for provider in providers)


@attrs.frozen
class _Watched:
    span: trace.Span
    common: dict[str, Any]
    """The attributes that the span and the metrics share."""
    began: float


class TraceObserver:
    """An `Observer` that makes spans and metrics, by the providers that the app has set."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("manystream")
        meter = metrics.get_meter("manystream")
        self._watched: dict[str, _Watched] = {}

        def histogram(name: str, unit: str, description: str, bounds: list[float] | list[int]) -> metrics.Histogram:
            return meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=[float(bound) for bound in bounds]
            )

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", "Tokens used, by type.", _TOKENS)
        self._duration = histogram(
            "gen_ai.client.operation.duration", "s", "From a request's submission to its end.", _SECONDS
        )
        self._first = histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "From sending to the first content.", _SECONDS
        )
        self._between = histogram(
            "gen_ai.client.operation.time_per_output_chunk", "s", "From one content to the next.", _CHUNK_SECONDS
        )

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: str, context: contextvars.Context
    ) -> None:
        model = plain_text(str(params.get("model")))
        common: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": model,
        }
        url = urlsplit(base_url)
        if url.hostname:
            common["server.address"] = url.hostname
            common["server.port"] = url.port or (443 if url.scheme == "https" else 80)
        attributes = dict(common)
        attributes["gen_ai.request.stream"] = True
        for name, attribute in _REQUEST.items():
            if isinstance(value := params.get(name), int | float):
                attributes[attribute] = value
        span = self._tracer.start_span(f"chat {model}", kind=trace.SpanKind.CLIENT, attributes=attributes)
        context.run(otel_context.attach, trace.set_span_in_context(span, context.run(otel_context.get_current)))
        self._watched[actor.stream_id] = _Watched(span, common, time.perf_counter())

    def retrying(self, actor: StreamActor, delay: float) -> None:
        watched = self._watched.get(actor.stream_id)
        attempt = actor.attempts[-1]
        if watched is not None:
            error = attempt.error
            watched.span.add_event(
                "manystream.retry",
                {
                    "manystream.attempt": attempt.number,
                    "manystream.delay": delay,
                    "error.type": plain_text(str(error.type)) if error else "unknown",
                },
            )

    def ended(self, actor: StreamActor) -> None:
        watched, result = self._watched.pop(actor.stream_id, None), actor.result
        if watched is None or result is None:
            return
        common = watched.common
        if result.model_name is not None:
            common["gen_ai.response.model"] = plain_text(str(result.model_name))
        usage = result.billed
        for kind, count in (("input", usage.total_input_tokens), ("output", usage.output_tokens)):
            if count:
                self._tokens.record(count, {**common, "gen_ai.token.type": kind})
        failed = _error_type(result)
        with_error = common if failed is None else {**common, "error.type": failed}
        self._duration.record(time.perf_counter() - watched.began, with_error)
        if result.timings.ttft is not None:
            self._first.record(result.timings.ttft, common)
        for gap in actor.watch.gaps:
            self._between.record(gap, common)
        _finish(watched.span, result, usage, failed)


def _finish(span: trace.Span, result: StreamResult, usage: Usage, failed: str | None) -> None:
    attributes: dict[str, Any] = {
        "gen_ai.usage.input_tokens": usage.total_input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_creation_input_tokens,
        "gen_ai.response.model": result.model_name,
        "gen_ai.response.id": result.message_id,
        "gen_ai.response.finish_reasons": [result.stop_reason] if result.stop_reason else None,
        "gen_ai.response.time_to_first_chunk": result.timings.ttft,
        "error.type": failed,
        "manystream.state": result.state,
        "manystream.attempts": len(result.attempts),
        "manystream.custom_id": result.custom_id,
        "manystream.stream_id": result.stream_id,
        "manystream.request_id": result.request_id,
    }
    span.set_attributes({name: _plain(value) for name, value in attributes.items() if value is not None})
    if failed is not None and result.state != "cancelled":
        span.set_status(trace.StatusCode.ERROR, failed)
    span.end()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return value if isinstance(value, bool | int | float) else plain_text(str(value))


def _error_type(result: StreamResult) -> str | None:
    if result.state == "complete":
        return None
    if result.state == "cancelled":
        return "cancelled"
    return plain_text(str(result.error.type)) if result.error is not None else "truncated"
