"""Which failures pass by themselves: the table, row by row, and the same from a line of the results alone."""

from __future__ import annotations

import pytest

from manystream import ErrorInfo
from manystream.engine.runs.again import Again
from manystream.engine.runs.transient import FAILURES, failure_name, line_passes, passes


def deadline(name: str, *, retryable: bool = True) -> ErrorInfo:
    return ErrorInfo("deadline_exceeded", f"the deadline {name} of 3 s passed", retryable=retryable, deadline=name)


@pytest.mark.parametrize(
    ("info", "passing"),
    [
        (ErrorInfo("connection_error", "refused", retryable=True), True),
        (ErrorInfo("connection_error", "the certificate is not trusted"), False),
        (ErrorInfo("truncated", "cut", retryable=True), True),
        (ErrorInfo("truncated", "cut in a thread that ran"), False),
        (ErrorInfo("protocol_error", "not JSON", retryable=True), True),
        (ErrorInfo("protocol_error", "a page"), False),
        (ErrorInfo("rate_limit_error", "slow down", 429, retryable=True), True),
        (ErrorInfo("rate_limit_error", "no more", 429, code="enforced_spend_limit_reached"), False),
        (ErrorInfo("overloaded_error", "Overloaded", 529, retryable=True), True),
        (ErrorInfo("api_error", "oops", 500, retryable=True), True),
        (ErrorInfo("api_error", "a bad gateway", 502), True),
        (ErrorInfo("timeout_error", "too long", 504, retryable=True), True),
        (ErrorInfo("timeout_error", "too long", 408, retryable=True), True),
        (ErrorInfo("conflict_error", "busy", 409, retryable=True), False),
        (ErrorInfo("a_new_error", "in a stream", retryable=True), True),
        (ErrorInfo("a_new_error", "in a stream"), False),
        (ErrorInfo("invalid_request_error", "bad", 400), False),
        (ErrorInfo("request_too_large", "big", 413), False),
        (ErrorInfo("not_found_error", "no file", 404), False),
        (ErrorInfo("invalid_request_error", "You have reached your specified API usage limits.", 400), False),
        (ErrorInfo("request_error", "not JSON"), False),
        (ErrorInfo("internal_error", "KeyError"), False),
        (ErrorInfo("engine_error", "the engine crashed"), True),
        *((deadline(name), True) for name in ("connect", "silence", "first_event")),
        *((deadline(name), False) for name in ("first_content", "idle", "total", "queued")),
        (deadline("silence", retryable=False), False),
    ],
)
def test_what_passes(info: ErrorInfo, passing: bool) -> None:
    assert passes(info) is passing
    assert failure_name(info) in FAILURES or info.type == "a_new_error"


@pytest.mark.parametrize(
    ("type", "message", "passing"),
    [
        ("api_error", "oops", True),
        ("overloaded_error", "Overloaded", True),
        ("rate_limit_error", "slow down", True),
        ("timeout_error", "the deadline silence of 120 s passed", True),
        ("timeout_error", "the deadline connect of 10 s passed: api.example:443 did not answer in time", True),
        ("timeout_error", "the deadline idle of 20 s passed", False),
        ("timeout_error", "the upstream took too long", True),
        ("invalid_request_error", "bad", False),
        ("authentication_error", None, False),
        (None, None, False),
    ],
)
def test_what_passes_by_its_line_alone(type: str | None, message: str | None, passing: bool) -> None:
    assert line_passes(type, message) is passing


def test_what_is_run_again_is_named_right() -> None:
    Again(only=frozenset({"api_error", "connection_error", "deadline_idle", "expired"}))
    with pytest.raises(
        ValueError, match=r"^no error is called 'overload'; there are api_error, authentication_error, "
    ):
        Again(only=frozenset({"overload", "api_error"}))
    with pytest.raises(ValueError, match="give one of the two"):
        Again(errored=True, only=frozenset({"api_error"}))
