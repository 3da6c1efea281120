"""What those who watch a run are told, as JSON: its live view as lines with styles, or its figures."""

import json
from collections.abc import Sequence
from typing import Any

import attrs
from rich.text import Text

from ..runs.figures import Figures
from ..runs.rates import Speed
from ..stats import EngineStats

__all__ = ["ENDED", "encode", "figures_now", "lines_from", "lines_to"]

ENDED = EngineStats(running=0, waiting=0, backoff=0, waits=(), pools=(), spent=None)
"""Of an engine that is closed."""


def figures_now(figures: Figures, speed: Speed, stats: EngineStats) -> dict[str, Any]:
    """The figures of a run at this moment. Counts, tokens and dollars cover all sessions, times in seconds this one."""
    return {
        "seconds": round(figures.seconds, 3),
        "remaining": speed.remaining,
        "stopping": figures.stopping,
        "trouble": figures.trouble,
        "total": figures.total,
        "done": figures.done,
        "succeeded": figures.succeeded,
        "failed": figures.failed,
        "running": stats.running,
        "waiting": dict(stats.waiting_for),
        "endings": dict(figures.endings),
        "errors": dict(figures.errors),
        "messages": [attrs.asdict(failure) for failure in figures.failures],
        "stop_reasons": dict(figures.stop_reasons),
        "retries": dict(figures.retries),
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "dollars": figures.dollars,
        "dollars_twice": figures.dollars_twice,
        "exact": not figures.estimated and not figures.unpriced,
        "requests_per_second": speed.requests,
        "events_per_second": speed.events,
        "output_tokens_per_second": speed.tokens,
        "first_content": _percentiles(figures.first_content()),
        "between_contents": _percentiles(figures.between_contents()),
        "pools": [
            {
                "name": pool.name,
                "running": pool.running,
                "concurrency": pool.concurrency,
                "pause": pool.pause,
                "limits": {reason: attrs.asdict(limit) for reason, limit in pool.limits.items()},
            }
            for pool in stats.pools
        ],
        "budget": None if stats.budget is None else attrs.asdict(stats.budget),
    }


def _percentiles(times: tuple[float, ...] | None) -> dict[str, float] | None:
    return None if times is None else dict(zip(("p50", "p90", "p99"), times, strict=True))


def lines_to(lines: Sequence[Text]) -> list[Any]:
    """The lines as data: the text of each, and where which style is."""
    return [[line.plain, [[span.start, span.end, str(span.style)] for span in line.spans]] for line in lines]


def lines_from(data: Any) -> list[Text]:
    """The lines again. Raises `ValueError`, `TypeError` or `KeyError` for other data."""
    lines: list[Text] = []
    for plain, spans in data:
        line = Text(str(plain))
        for start, end, style in spans:
            line.stylize(str(style), int(start), int(end))
        lines.append(line)
    return lines


def encode(message: dict[str, Any]) -> bytes:
    """A message, in one line. Raises `ValueError` for what JSON can't say."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
