"""Scripted answers and misbehaviour, as the responder gives them. No event loop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.responder import a_body, a_request, a_responder, assembled, body_of, events_of, generated, json_of
from tests.support.scripted import deltas_of, steps_of

from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Cut, Fail, Script, Stall
from manystream.engine.simulator.service.steps import Abort, Close, Send, Wait


def test_each_request_takes_a_step_then_answers_are_generated_again() -> None:
    responder = a_responder(529, "hello")
    responses = [responder.respond(a_request(a_body())) for _ in range(3)]
    assert [response.status for response in responses] == [529, 200, 200]
    assert json_of(responses[0])["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert json_of(responses[1])["content"] == [{"type": "text", "text": "hello"}]
    assert json_of(responses[2])["content"] == generated(a_body())["content"]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 429, 500, 504, 529, 418, 503])
def test_a_status_is_the_apis_error(status: int) -> None:
    error = json_of(a_responder(status).respond(a_request(a_body(stream=True))))["error"]
    assert error["message"]
    assert error["type"].endswith("_error") or error["type"] == "request_too_large"


def test_a_failure_says_what_it_was_told_to() -> None:
    failure = Fail(429, type="rate_limit_error", message="slow down", headers={"Retry-After": "7"})
    response = a_responder(failure).respond(a_request(a_body()))
    assert response.status == 429
    assert dict(response.headers)["retry-after"] == "7"
    assert json_of(response)["error"] == {"type": "rate_limit_error", "message": "slow down"}


@pytest.mark.parametrize("text", ["", "x", "naïve 🌊\n\nline", "word " * 500])
def test_a_text_is_answered_to_the_letter(text: str) -> None:
    message = assembled(events_of(steps_of(text)))
    assert message["content"] == [{"type": "text", "text": text}]
    assert message["stop_reason"] == "end_turn"


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_bytes_are_replayed_as_they_are(end: str) -> None:
    recording = f"event: a{end}data: \xff{end}: comment{end}data: unfinished".encode("latin-1")
    steps = steps_of(recording, stream=False)
    assert [step.data for step in steps if isinstance(step, Send)] == [
        part + end.encode() for part in recording.split(end.encode())[:-1]
    ] + [b"data: unfinished"]


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("how", ["end", "close", "reset", "garbage", Fail(529)], ids=str)
def test_a_cut_comes_after_so_many_deltas(after: int, how: Any) -> None:
    steps = steps_of(Cut(after=after, how=how, text="word " * 50))
    if how == "garbage":
        garbage = steps.pop()
        assert isinstance(garbage, Send)
        with pytest.raises(json.JSONDecodeError):
            events_of([garbage])
    last = {"close": Close(), "reset": Abort()}.get(str(how))
    if last is not None:
        assert steps.pop() == last
    events = events_of(steps)
    if isinstance(how, Fail):
        error = events.pop()
        assert (error["type"], error["error"]["type"]) == ("error", "overloaded_error")
    assert deltas_of(steps) == after
    assert events[-1]["type"] == ("content_block_delta" if after else "ping")


def test_a_cut_after_more_deltas_than_there_are_takes_the_last_event() -> None:
    events = events_of(steps_of(Cut(after=1_000, how="end", text="short")))
    assert events[-1]["type"] == "message_delta"


def test_a_cut_can_come_before_everything_or_after_the_head() -> None:
    slow = Tempo(5.0)
    assert steps_of(Cut(after="nothing", how="reset"), pace=slow) == [Abort()]
    wait, head, end = steps_of(Cut(after="head", how="close"), pace=slow)
    assert isinstance(wait, Wait)
    assert (head, end) == (Send(b""), Close())
    assert steps_of(Cut(after="head", how="end")) == [Send(b"")]


def test_a_failure_before_anything_is_an_ordinary_error() -> None:
    response = a_responder(Cut(after="nothing", how=Fail(500))).respond(a_request(a_body(stream=True)))
    assert response.status == 500


def test_a_stall_waits_for_ever() -> None:
    assert steps_of(Stall(after="nothing")) == [Wait(math.inf)]
    assert steps_of(Stall(after="head")) == [Send(b""), Wait(math.inf)]
    steps = steps_of(Stall(after=2))
    assert deltas_of(steps) == 2
    assert steps[-1] == Wait(math.inf)


def test_a_stall_may_ping() -> None:
    steps = steps_of(Stall(after=2, pings=1.5))
    ping = next(step for step in reversed(steps) if isinstance(step, Send))
    assert events_of([ping]) == [{"type": "ping"}]
    assert steps[-6:].count(Wait(1.5)) == steps[-6:].count(ping) == 3


@pytest.mark.parametrize("step", [Cut(after=0, how="reset"), Cut(after="head", how="close"), Stall(after=3)], ids=str)
def test_what_isnt_streamed_breaks_off_in_the_middle(step: Cut | Stall) -> None:
    whole = body_of(a_responder().respond(a_request(a_body())))
    response = a_responder(step).respond(a_request(a_body()))
    assert dict(response.headers)["content-length"] == str(len(whole))
    half, end = response.steps
    assert half == Send(whole[: len(whole) // 2])
    assert end in (Abort(), Close(), Wait(math.inf))


def test_half_a_message_can_end_in_good_order() -> None:
    response = a_responder(Cut(after=0, how="end")).respond(a_request(a_body()))
    with pytest.raises(json.JSONDecodeError):
        json_of(response)


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ("hello", TypeError),
        (b"hello", TypeError),
        (["ok", None], TypeError),
        ([True], TypeError),
        ([200], ValueError),
        ([600], ValueError),
    ],
)
def test_a_script_refuses_what_is_no_step_and_takes_nothing_of_it(steps: Any, error: type[Exception]) -> None:
    script = Script()
    with pytest.raises(error):
        script.extend(steps)
    assert script.take() is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cut(after=-1, how="end"), "after must be"),
        (lambda: Cut(after="somewhere", how="end"), "after must be"),  # pyright: ignore[reportArgumentType]
        (lambda: Cut(after=0, how="explode"), "how must be"),  # pyright: ignore[reportArgumentType]
        (lambda: Cut(after="nothing", how="end"), "before the response has begun"),
        (lambda: Stall(after="nothing", pings=1), "pings need"),
        (lambda: Stall(after=0, pings=0), "pings must be"),
    ],
)
def test_impossible_misbehaviour_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
