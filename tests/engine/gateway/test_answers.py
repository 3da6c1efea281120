"""How an ending is told: as a status, an event or an exception, and never as something better than it is."""

import json
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
import pytest

from manystream import AnswerFailed, AnswerTimedOut, ErrorInfo, StreamResult
from manystream.engine.gateway.answers import Refusal, answer_of, error_event, last_answer, stream_head
from manystream.engine.gateway.endings import ending_of

HEAD = [(b"request-id", b"r"), (b"Content-Encoding", b"gzip"), (b"content-length", b"9"), (b"Connection", b"close")]
REFUSAL = Refusal(429, [*HEAD, (b"x-should-retry", b"true"), (b"retry-after", b"9")], b"as it came")


def ended(state: Any, error: ErrorInfo | None = None, **more: Any) -> StreamResult:
    return StreamResult(state=state, stream_id="s", timestamp=datetime.now(UTC), error=error, **more)


LATE = ErrorInfo("deadline_exceeded", "the deadline idle of 3 s passed", deadline="idle")
CUT = ErrorInfo("truncated", "the line broke", retryable=True)
CAP = ErrorInfo("spend_cap_reached", "the spend cap is reached")
OVERLOADED = ErrorInfo("overloaded_error", "too much", status=529, request_id="r")
CANCELLED = ended("cancelled", cancelled_by="engine", cancel_reason="the engine shut down")


def test_a_head_is_the_api_s_but_for_the_connection_s() -> None:
    kind = (b"Content-Type", b"text/event-stream")
    own = [(b"manystream-stream-id", b"s"), (b"manystream-attempts", b"2")]
    assert stream_head([*HEAD, kind], "s", 2) == [(b"request-id", b"r"), kind, *own]
    assert dict(stream_head([(b"content-type", b"application/json")], "s", 1))[b"content-type"].startswith(b"text/eve")


def test_a_whole_message() -> None:
    answer = answer_of(ended("complete", message={"id": "m", "text": "é \ud83d"}), HEAD, None)
    assert answer is not None
    assert answer.status == 200
    assert json.loads(answer.body) == {"id": "m", "text": "é \ud83d"}
    assert (b"content-type", b"application/json") in answer.headers


def test_a_refusal_is_the_api_s_own_and_is_not_to_be_tried_again() -> None:
    info = ErrorInfo("rate_limit_error", "slow down", status=429)
    answer = answer_of(ended("failed", info), (), REFUSAL)
    assert answer is not None
    assert (answer.status, answer.body) == (429, b"as it came")
    assert [value for name, value in answer.headers if name == b"x-should-retry"] == [b"false"]
    assert dict(answer.headers)[b"retry-after"] == b"9"
    assert b"Content-Encoding" not in dict(answer.headers)


@pytest.mark.parametrize(
    ("result", "status", "kind"),
    [
        (ended("failed", CAP), 402, "billing_error"),
        (ended("failed", OVERLOADED), 529, "overloaded_error"),
        (ended("failed", LATE), 504, "timeout_error"),
        (ended("truncated", CUT), 502, "api_error"),
        (ended("failed", ErrorInfo("protocol_error", "a web page", status=200)), 502, "api_error"),
        (CANCELLED, 503, "api_error"),
    ],
)
def test_other_endings(result: StreamResult, status: int, kind: str) -> None:
    own = answer_of(result, (), None)
    assert (own is None) == (status in (502, 503, 504))
    answer = own or last_answer(result)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["type"] == kind
    assert (b"x-should-retry", b"false") in answer.headers


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        (ended("truncated", CUT), "api_error", "the answer broke off: the line broke"),
        (ended("failed", LATE), "timeout_error", "the deadline idle of 3 s passed"),
        (ended("failed", OVERLOADED), "overloaded_error", "too much"),
        (CANCELLED, "api_error", "the request was cancelled by the engine: the engine shut down"),
    ],
)
def test_an_event_at_the_end_of_what_broke_off(result: StreamResult, kind: str, words: str) -> None:
    event = error_event(result)
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"}\n\n")
    assert json.loads(event[19:])["error"] == {"type": kind, "message": words}


def test_exceptions_are_the_sdk_s_kinds() -> None:
    request = httpx2.Request("POST", "http://up/v1/messages", headers={"x-api-key": "secret"}, content=b"a prompt")
    cut, late = ending_of(ended("truncated", CUT), request), ending_of(ended("failed", LATE), request)
    assert type(cut) is AnswerFailed
    assert isinstance(cut, anthropic.APIConnectionError)
    assert not isinstance(cut, anthropic.APITimeoutError)
    assert type(late) is AnswerTimedOut
    assert isinstance(late, AnswerFailed)
    assert isinstance(late, anthropic.APITimeoutError)
    assert str(late) == "the deadline idle of 3 s passed"
    assert not cut.request.content
    assert "secret" not in str(cut.request.headers)
