"""Which models share one rate limit, and limits that are set by their names."""

from __future__ import annotations

from typing import NoReturn

import httpx2
import pytest

from manystream import AnthropicModel, Deadlines, Limits, RetryPolicy, StreamRequest
from manystream.engine.admission import Admission
from manystream.engine.admission.model_groups import limits_by_pool, model_group
from manystream.engine.submission import Defaults, Submission, Way

SIX = Limits(requests_per_minute=6)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("claude-opus-4-8", "claude-opus-4.x"),
        ("claude-opus-4-5-20251101", "claude-opus-4.x"),
        ("claude-opus-4-5@20251101", "claude-opus-4.x"),
        ("claude-opus-5", "claude-opus-5"),
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("claude-sonnet-4-6", "claude-sonnet-4.x"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4.x"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("claude-fable-5", "claude-fable-5.x"),
        ("claude-fable-5-2", "claude-fable-5.x"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-haiku-4-5", "claude-haiku-4-5"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("anthropic.claude-opus-4-8-v1:0", "anthropic.claude-opus-4-8-v1:0"),
        ("my-gateway/claude", "my-gateway/claude"),
        ("another-20251101", "another-20251101"),
        ("", ""),
    ],
)
def test_the_group_of_a_model(name: str, group: str) -> None:
    assert model_group(name) == group
    assert model_group(group) == group


def test_limits_by_a_model_s_name_hold_for_its_group() -> None:
    assert limits_by_pool({"claude-opus-4-8": SIX, "claude-opus-4-6": SIX})["claude-opus-4.x"] == SIX
    assert limits_by_pool({"claude-opus-4.x": SIX, "mine": SIX}) == {"claude-opus-4.x": SIX, "mine": SIX}
    assert limits_by_pool({"claude-opus-4-8 (fast)": SIX})["claude-opus-4.x (fast)"] == SIX
    message = "'claude-opus-4-8' and 'claude-opus-4-6' share one rate limit, that of 'claude-opus-4.x', but differ"
    with pytest.raises(ValueError, match=message):
        limits_by_pool({"claude-opus-4-8": SIX, "claude-opus-4-6": Limits(requests_per_minute=7)})


async def unused(*_: object) -> NoReturn:
    raise AssertionError("nothing is sent")


def test_the_pool_of_a_request() -> None:
    admission = Admission(10, clock=lambda: 0.0, woken=lambda: None)
    defaults = Defaults(AnthropicModel("claude-opus-4-8", api_key="k"), Deadlines(), RetryPolicy(), "fail")

    def pool_of(request: StreamRequest, credentials: str = "k") -> str:
        submission = Submission.of(request, defaults)
        way = Way(submission.opening(unused), credentials, httpx2.URL("http://api"))
        return submission.ticket(admission, way).pool.name

    assert pool_of(StreamRequest("hi")) == "claude-opus-4.x"
    assert pool_of(StreamRequest({"messages": [], "model": "claude-opus-4-6"})) == "claude-opus-4.x"
    assert pool_of(StreamRequest("hi", extra_body={"model": "claude-opus-5"})) == "claude-opus-5"
    assert pool_of(StreamRequest("hi", extra_body={"speed": "fast"})) == "claude-opus-4.x (fast)"
    mine = AnthropicModel("claude-opus-4-8", api_key="k", limits_pool="mine", defaults={"speed": "fast"})
    assert pool_of(StreamRequest("hi", model=mine)) == "mine (fast)"
    assert len(admission.pools) == 4
    pool_of(StreamRequest("hi"), "another key")
    assert len(admission.pools) == 5


@pytest.mark.parametrize("name", ["mine", "claude-opus-4-8", "claude-haiku-4-5-20251001", "tenant-20260101"])
def test_limits_of_a_pool_of_the_caller_s_own_hold_whatever_its_name(name: str) -> None:
    limits = {name: SIX, "tenant-20260102": Limits(requests_per_minute=7)}
    admission = Admission(10, clock=lambda: 0.0, woken=lambda: None, limits=limits)
    for fast in (False, True):
        bucket = admission.pool("k", "claude-opus-5", own=name, fast=fast).buckets["requests_per_minute"]
        assert bucket.limit == (None if fast else 6)
