"""What a gateway has done so far, counted, and what it does now, as its page and `/stats` show it.

Nothing of a request is in it but its group and its own id: no prompt, no answer, no key.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs

from ...actors.stream import StreamResult
from ...actors.wire import plain_text
from ..stats import EngineStats
from .callers import Caller

__all__ = ["Tally", "shown"]

_LONGEST = 100  # requests that wait, and callers, that are shown


@attrs.define
class Tally:
    """Counts since the gateway began."""

    began: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    messages: int = 0
    """Requests for a message that were run."""
    passed: int = 0
    """Other requests, which were passed on."""
    refused: int = 0
    """Requests that the gateway did not take."""
    attempts: int = 0
    endings: Counter[str] = attrs.field(factory=Counter[str])
    errors: Counter[str] = attrs.field(factory=Counter[str])
    tokens_in: int = 0
    tokens_out: int = 0

    def ended(self, result: StreamResult) -> None:
        """Counts the end of a request for a message."""
        self.attempts += len(result.attempts)
        self.endings[result.state] += 1
        if result.error is not None:
            self.errors[plain_text(result.error.type)[:60]] += 1
        used = result.billed
        self.tokens_in += used.input_tokens + used.cache_creation_input_tokens + used.cache_read_input_tokens
        self.tokens_out += used.output_tokens


def shown(
    tally: Tally, stats: EngineStats, callers: Iterable[Caller], *, connections: int, draining: bool
) -> dict[str, Any]:
    """What `/stats` tells, as JSON takes it. Times are in seconds, money in dollars."""
    return {
        "began": tally.began.isoformat(timespec="seconds"),
        "draining": draining,
        "connections": connections,
        "requests": {"messages": tally.messages, "passed": tally.passed, "refused": tally.refused},
        "endings": dict(tally.endings),
        "errors": dict(tally.errors.most_common(20)),
        "attempts": tally.attempts,
        "tokens": {"in": tally.tokens_in, "out": tally.tokens_out},
        "running": stats.running,
        "waiting": stats.waiting,
        "backoff": stats.backoff,
        "waiting_for": dict(stats.waiting_for),
        "waits": [
            {
                "stream_id": wait.stream_id,
                "custom_id": None if wait.custom_id is None else plain_text(wait.custom_id)[:100],
                "group": None if wait.group is None else plain_text(wait.group)[:100],
                "reason": wait.reason,
                "seconds": None if wait.seconds is None else round(wait.seconds, 1),
            }
            for wait in stats.waits[:_LONGEST]
        ],
        "pools": [
            {
                "name": pool.name,
                "running": pool.running,
                "concurrency": pool.concurrency,
                "pause": round(pool.pause, 1),
                "limits": {
                    name: {"per_minute": limit.per_minute, "remaining": round(limit.remaining)}
                    for name, limit in pool.limits.items()
                },
            }
            for pool in stats.pools
        ],
        "budget": None
        if (budget := stats.budget) is None
        else {
            "participants": budget.participants,
            "share": round(budget.share, 3),
            "age": round(budget.age, 1),
            "alone": budget.alone,
        },
        "callers": [
            {
                "name": caller.name,
                "running": caller.running,
                "spent": None if caller.cap is None else round(caller.cap.spent, 6),
                "cap": None if caller.cap is None else caller.cap.dollars,
            }
            for caller in list(callers)[-_LONGEST:]
        ],
    }
