"""The simulator's responder without an event loop: requests in, responses out, as plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.responder import (
    NOW,
    WEATHER,
    a_body,
    a_request,
    a_responder,
    assembled,
    body_of,
    events_of,
    generated,
    json_of,
)

from manystream.engine.simulator import Conditions, ServiceLimits
from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Wait


def test_a_stream_has_its_events_in_order() -> None:
    response = a_responder().respond(a_request(a_body(stream=True)))
    kinds = [event["type"] for event in events_of(response.steps)]
    assert response.status == 200
    assert dict(response.headers)["content-type"] == "text/event-stream; charset=utf-8"
    assert kinds[:4] == ["message_start", "content_block_start", "ping", "content_block_delta"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[3:-3]) == {"content_block_delta"}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_tokens": 3},
        {"max_tokens": 0},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
        {"tools": [WEATHER], "tool_choice": {"type": "any"}},
        {"tools": [WEATHER], "thinking": {"type": "adaptive"}},
        {"stop_sequences": ["river", "zebra"]},
    ],
    ids=str,
)
def test_a_stream_assembled_is_the_message_that_is_not_streamed(params: dict[str, Any]) -> None:
    body = a_body("What's the weather?", **params)
    events = events_of(a_responder().respond(a_request({**body, "stream": True})).steps)
    assert assembled(events) == generated(body)


def test_the_same_seed_and_requests_make_the_same_bytes() -> None:
    body = a_body("the weather", stream=True, tools=[WEATHER], thinking={"type": "adaptive"})

    def answers(seed: int) -> list[bytes]:
        responder = a_responder(seed=seed)
        return [body_of(responder.respond(a_request(body))) for _ in range(2)]

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_an_answer_depends_on_its_request_not_on_the_ones_before() -> None:
    alone = body_of(a_responder().respond(a_request(a_body("second"))))
    responder = a_responder()
    responder.respond(a_request(a_body("first")))
    assert body_of(responder.respond(a_request(a_body("second")))) == alone


def test_the_pace_has_no_influence_on_what_is_said() -> None:
    request = a_request(a_body(stream=True))
    slow = a_responder(pace=Tempo(1.0, 10.0)).respond(request)
    assert body_of(slow) == body_of(a_responder().respond(request))


def test_repeated_questions_get_the_same_answer_under_other_ids() -> None:
    responder = a_responder()
    request = a_request(a_body("the weather", tools=[WEATHER]))
    first, second = responder.respond(request), responder.respond(request)
    assert dict(first.headers)["request-id"] != dict(second.headers)["request-id"]
    one, other = json_of(first), json_of(second)
    assert one["id"] != other["id"]
    assert one["content"][1].pop("id") != other["content"][1].pop("id")
    assert one["content"] == other["content"]


@pytest.mark.parametrize("max_tokens", [1, 2, 17, 300])
def test_max_tokens_bounds_the_answer(max_tokens: int) -> None:
    seen: set[str] = set()
    for seed in range(150):
        message = generated(a_body(max_tokens=max_tokens), seed)
        assert 1 <= message["usage"]["output_tokens"] <= max_tokens
        assert message["content"][0]["text"]
        seen.add(message["stop_reason"])
        if message["stop_reason"] == "max_tokens":
            assert message["usage"]["output_tokens"] == max_tokens
    if max_tokens > 2:
        assert seen == {"end_turn", "max_tokens"}


def test_stop_sequences_end_an_answer_and_are_not_part_of_it() -> None:
    for seed in range(20):
        message = generated(a_body(stop_sequences=["river", "e", "qq"], max_tokens=500), seed)
        assert message["stop_reason"] == "stop_sequence"
        assert message["stop_sequence"] in ("river", "e", "qq")
        assert message["stop_sequence"] not in message["content"][0]["text"]


def test_thinking_comes_first_with_a_signature_and_counts() -> None:
    message = generated(a_body(thinking={"type": "adaptive"}))
    thinking, text = message["content"]
    assert thinking["type"] == "thinking"
    assert thinking["thinking"]
    assert len(thinking["signature"]) > 100
    assert text["type"] == "text"
    details = message["usage"]["output_tokens_details"]
    assert 0 < details["thinking_tokens"] < message["usage"]["output_tokens"]


def test_a_tool_is_called_when_forced_or_spoken_of_and_not_otherwise() -> None:
    def kinds(content: Any, **params: Any) -> list[str]:
        message = generated(a_body(content, tools=[WEATHER], **params))
        called = "tool_use" in [block["type"] for block in message["content"]]
        assert (message["stop_reason"] == "tool_use") == called
        return [block["type"] for block in message["content"]]

    assert kinds("How is the weather?") == ["text", "tool_use"]
    assert kinds("A haiku") == ["text"]
    assert kinds("A haiku", tool_choice={"type": "any"}) == ["tool_use"]
    assert kinds("A haiku", tool_choice={"type": "tool", "name": "get_weather"}) == ["tool_use"]
    assert kinds("How is the weather?", tool_choice={"type": "none"}) == ["text"]


def test_tool_calls_may_be_parallel_unless_that_is_disabled() -> None:
    tools = [WEATHER, {"name": "book_flight", "input_schema": {"type": "object"}}]
    body = a_body("weather, then a flight", tools=tools)
    assert [block["type"] for block in generated(body)["content"]] == ["text", "tool_use", "tool_use"]
    body["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    assert [block["type"] for block in generated(body)["content"]] == ["text", "tool_use"]


def test_a_tool_result_is_answered_with_text() -> None:
    body = a_body("the weather", tools=[WEATHER])
    message = generated(body)
    result = {"type": "tool_result", "tool_use_id": message["content"][1]["id"], "content": "weather: rain"}
    body["messages"] += [
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": [result]},
    ]
    answer = generated(body)
    assert [block["type"] for block in answer["content"]] == ["text"]


def test_tool_json_streams_in_pieces_the_first_one_empty() -> None:
    body = a_body(tools=[WEATHER], tool_choice={"type": "any"}, stream=True)
    events = events_of(a_responder().respond(a_request(body)).steps)
    pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert pieces[0] == ""
    assert len(pieces) > 2
    assert set(json.loads("".join(pieces))) == {"city", "days"}


def test_max_tokens_can_cut_tool_json_short() -> None:
    body = a_body(tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=4, stream=True)
    events = events_of(a_responder().respond(a_request(body)).steps)
    text = "".join(event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta")
    assert text.startswith("{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_usage_counts_what_the_request_holds() -> None:
    short, long = generated(a_body("x")), generated(a_body("x" * 4_000))
    assert 1_000 <= long["usage"]["input_tokens"] - short["usage"]["input_tokens"] + 1 <= 1_001
    counted = a_responder().respond(a_request(a_body("x" * 4_000), target="/v1/messages/count_tokens"))
    assert json_of(counted) == {"input_tokens": long["usage"]["input_tokens"]}


def test_the_pace_makes_the_expected_waits() -> None:
    response = a_responder("word " * 400, pace=Tempo(2.0, 50.0)).respond(a_request(a_body(stream=True)))
    steps = list(response.steps)
    waits = [step.seconds for step in steps if isinstance(step, Wait)]
    assert isinstance(steps[0], Wait)
    assert 1.0 <= waits[0] <= 3.0
    assert len(set(waits)) > len(waits) / 2
    assert 7.0 < sum(waits[1:]) < 9.0  # 401 tokens


def test_without_a_pace_nothing_waits() -> None:
    steps = a_responder().respond(a_request(a_body(stream=True))).steps
    assert not [step for step in steps if isinstance(step, Wait)]


@pytest.mark.parametrize("pace", [(-1.0, 0.0), (0.0, -1.0)])
def test_a_pace_is_not_negative(pace: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Tempo(*pace)


def test_rate_limit_headers_go_down_and_refill_within_the_minute() -> None:
    now = NOW
    limits = ServiceLimits(requests_per_minute=4_000, input_tokens_per_minute=400_000, output_tokens_per_minute=80_000)
    responder = Responder(Script(), Tempo(), conditions=Conditions(limits=limits), clock=lambda: now)

    def headers() -> dict[str, str]:
        return dict(responder.respond(a_request(a_body())).headers)

    def remaining() -> int:
        return int(headers()["anthropic-ratelimit-requests-remaining"])

    first = headers()
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert int(first[f"anthropic-ratelimit-{name}-limit"]) > 0
        assert first[f"anthropic-ratelimit-{name}-reset"].startswith("2027-01-15T08:00:0")
        assert first[f"anthropic-ratelimit-{name}-reset"].endswith("Z")
    assert int(first["anthropic-ratelimit-output-tokens-remaining"]) % 1_000 == 0
    assert remaining() == 3_998
    for _ in range(97):
        headers()
    assert remaining() == 3_900
    now += 60
    assert remaining() == 3_999


def test_every_response_names_request_and_organisation() -> None:
    for request in (a_request(a_body()), a_request({}), a_request(method="GET", target="/v1/models")):
        headers = dict(a_responder().respond(request).headers)
        assert headers["request-id"].startswith("req_01")
        assert len(headers["anthropic-organization-id"]) == 36


def test_repeats_are_counted_for_the_newest_questions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manystream.engine.simulator.served.responder._REMEMBERED", 3)
    responder = a_responder()

    def request_id(content: str) -> str:
        return dict(responder.respond(a_request(a_body(content))).headers)["request-id"]

    first = request_id("first")
    assert len({first, request_id("first"), request_id("second"), request_id("first")}) == 4
    for other in ("third", "fourth", "fifth"):
        request_id(other)
    assert request_id("first") == first  # forgotten, and so the first of its kind again
