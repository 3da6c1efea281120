"""Retry decisions: which failures may be tried again, when, and what the API's wishes count for."""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream import RetryPolicy
from manystream.actors.stream.retry import is_retryable, retry_after
from manystream.actors.wire.error_body import read_error_body

SPEND_LIMIT = "enforced_spend_limit_reached"


@pytest.mark.parametrize("status", range(400, 600))
def test_which_statuses_may_be_tried_again(status: int) -> None:
    assert is_retryable(status, {}) == (status in (408, 409, 429) or status >= 500)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 504, 529])
def test_x_should_retry_overrides_the_status(status: int) -> None:
    assert is_retryable(status, {"x-should-retry": "true"})
    assert not is_retryable(status, {"x-should-retry": "false"})
    assert is_retryable(status, {"x-should-retry": "perhaps"}) == is_retryable(status, {})


@pytest.mark.parametrize("headers", [{}, {"x-should-retry": "true"}, {"retry-after": "1"}])
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (429, SPEND_LIMIT, ""),
        (429, "contract_spend_limit_reached", ""),
        (400, "organization_on_hold", ""),
        (400, None, "You have reached your specified API usage limits. You will regain access on 2026-12-01."),
        (400, None, "You have reached your specified workspace API usage limits."),
        (402, "linked_organization_spend_limit_reached", ""),
    ],
)
def test_what_refuses_the_whole_account_is_never_tried_again(
    status: int, code: str | None, message: str, headers: dict[str, str]
) -> None:
    assert not is_retryable(status, headers, code, message)


def test_a_limit_of_speed_may_be_tried_again() -> None:
    assert is_retryable(429, {}, "ramp_limit_exceeded")
    assert is_retryable(429, {}, None, "Number of requests has exceeded your rate limit")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"details": {"error_code": SPEND_LIMIT}}, SPEND_LIMIT),
        ({"details": {"error_code": 7}}, None),
        ({"details": {}}, None),
        ({"details": "none"}, None),
        ({"details": None}, None),
        ({}, None),
    ],
)
def test_an_errors_own_code(error: dict[str, object], code: str | None) -> None:
    assert read_error_body({"error": error}).code == code


NOW = datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after-ms": "0", "retry-after": "9"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 09:28:30 +0200"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
    ],
)
def test_what_the_api_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


def test_a_date_counts_from_now() -> None:
    asked = retry_after({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)})
    assert asked is not None
    assert 50 < asked <= 60


@given(st.text(), st.text())
def test_garbage_is_no_wish(milliseconds: str, value: str) -> None:
    asked = retry_after({"retry-after-ms": milliseconds, "retry-after": value}, now=NOW)
    assert asked is None or asked >= 0


def longest(low: float, high: float) -> float:
    assert low == 0
    return high


def test_the_backoff_doubles_up_to_its_bound() -> None:
    policy = RetryPolicy(max_attempts=8, base_delay=0.5, max_delay=16)
    bounds = [policy.delay(attempt, retryable=True, asked=None, uniform=longest) for attempt in range(1, 9)]
    assert bounds == [0.5, 1, 2, 4, 8, 16, 16, None]


@given(st.integers(1, 10_000), st.none() | st.floats(0, 60))
def test_a_delay_is_full_jitter_on_top_of_what_was_asked(attempt: int, asked: float | None) -> None:
    policy = RetryPolicy(max_attempts=10_001)
    delay = policy.delay(attempt, retryable=True, asked=asked)
    assert delay is not None
    least = asked or 0.0
    assert least <= delay <= least + min(policy.max_delay, policy.base_delay * 2 ** min(attempt - 1, 10))
    assert policy.delay(attempt, retryable=True, asked=asked, uniform=lambda low, high: low) == least


def test_no_further_attempt() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert policy.delay(2, retryable=False, asked=None) is None
    assert policy.delay(3, retryable=True, asked=None) is None
    assert policy.delay(1, retryable=True, asked=601) is None  # nobody waits that long unseen
    assert policy.delay(1, retryable=True, asked=600) is not None
    assert RetryPolicy(max_attempts=1).delay(1, retryable=True, asked=None) is None


def test_the_longest_wait_is_a_matter_of_policy() -> None:
    assert RetryPolicy(longest_wait=5).delay(1, retryable=True, asked=6) is None
    assert RetryPolicy(longest_wait=math.inf).delay(1, retryable=True, asked=1e9) is not None


@pytest.mark.parametrize(
    ("asked", "until"),
    [(3600, "3,600 s, until 2026-10-21 08:28:00 UTC"), (0.5, "2026-10-21 07:28:01 UTC"), (1e12, "after the year 9999")],
)
def test_the_refusal_says_until_when(asked: float, until: str) -> None:
    text = RetryPolicy(longest_wait=0.1).refusal(asked, now=NOW)
    assert until in text
    assert "longest_wait of the RetryPolicy, 0.1 s" in text


def test_what_the_api_asks_for_does_not_grow() -> None:
    policy = RetryPolicy(max_attempts=8)
    delays = {policy.delay(attempt, retryable=True, asked=1, uniform=lambda _, high: high) for attempt in range(1, 8)}
    assert delays == {1.5}


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"base_delay": 0}, {"max_delay": -1}, {"longest_wait": 0}])
def test_a_policy_that_makes_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
