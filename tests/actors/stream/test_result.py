"""What a result says of the prompt cache, whatever the API put there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from manystream import CacheMiss, StreamResult


def result(message: dict[str, Any] | None) -> StreamResult:
    return StreamResult(state="complete", stream_id="s", message=message, timestamp=datetime.now(UTC))


@pytest.mark.parametrize(
    ("reason", "miss"),
    [
        ({"type": "tools_changed", "cache_missed_input_tokens": 7_000}, CacheMiss("tools_changed", 7_000)),
        ({"type": "unavailable"}, CacheMiss("unavailable")),
        ({"type": "newer_reason", "cache_missed_input_tokens": "many"}, CacheMiss("newer_reason")),
        ({"type": "model_changed", "cache_missed_input_tokens": -1}, CacheMiss("model_changed")),
        ({"type": "model_changed", "cache_missed_input_tokens": True}, CacheMiss("model_changed")),
        ({"type": "model_changed", "cache_missed_input_tokens": 10**400}, CacheMiss("model_changed")),
        ({"type": 7}, None),
        ({}, None),
        (None, None),  # the API does not know yet
        ("tools_changed", None),
    ],
)
def test_why_the_cache_was_missed(reason: object, miss: CacheMiss | None) -> None:
    assert result({"diagnostics": {"cache_miss_reason": reason}}).cache_miss == miss


@pytest.mark.parametrize("message", [None, {}, {"diagnostics": None}, {"diagnostics": 7}])
def test_nothing_is_said_unless_it_was_asked(message: dict[str, Any] | None) -> None:
    assert result(message).cache_miss is None
