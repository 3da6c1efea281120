"""What the simulated API refuses, in the words of the real one. No event loop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.responder import WEATHER, a_body, a_request, a_responder, json_of

from manystream.engine.simulator.service.steps import Request


def refusal(request: Request) -> tuple[int, str, str]:
    responder = a_responder("unused")
    response = responder.respond(request)
    error = json_of(response)
    assert error["type"] == "error"
    assert error["request_id"] == dict(response.headers)["request-id"]
    taken = json_of(responder.respond(a_request(a_body())))
    assert taken["content"][0]["text"] == "unused"  # what is refused takes no step
    return response.status, error["error"]["type"], error["error"]["message"]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in a_body().items() if key != name}


INVALID: list[tuple[Any, str]] = [
    (without("model"), "model: Field required"),
    (without("max_tokens"), "max_tokens: Field required"),
    (without("messages"), "messages: Field required"),
    (a_body(max_tokens="many"), "max_tokens: Input should be a valid integer"),
    (a_body(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
    (a_body(stream="yes"), "stream: Input should be a valid boolean"),
    (a_body(temperature=2), "temperature: range: 0..1"),
    (a_body(messages=[]), "messages: at least one message is required"),
    (a_body(messages="hello"), "messages: Input should be a valid list"),
    (a_body(messages=[{"role": "user"}]), "messages.0.content: Field required"),
    (a_body(messages=[{"content": "x"}]), "messages.0.role: Field required"),
    (a_body(messages=[{"role": "assistant", "content": "x"}]), 'first message must use the "user" role'),
    (a_body([{"text": "x"}]), "messages.0.content.0.type: Field required"),
    (
        a_body([{"type": "tool_result", "tool_use_id": "t"}]),
        "unexpected `tool_use_id` found in `tool_result` blocks: t",
    ),
    (a_body([{"type": "poem"}]), "messages.0.content.0: Input tag 'poem' found using 'type' does not match"),
    (a_body([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
    (a_body([{"type": "text", "text": 1}]), "messages.0.content.0.text.text: Input should be a valid string"),
    (a_body([{"type": "image"}]), "messages.0.content.0.image.source: Field required"),
    (a_body([{"type": "tool_use", "id": "t", "name": "t", "input": {}}]), "can only be in `assistant` messages"),
    (a_body(messages=[{"role": "robot", "content": "x"}]), "messages.0.role: Input should be 'user', 'assistant'"),
    (a_body(tools=[{"name": "t"}]), "tools.0.custom.input_schema: Field required"),
    (a_body(tools=[{"name": "t", "type": None}]), "tools.0.custom.input_schema: Field required"),
    (a_body(tools=[{"type": "bash_20250124"}]), "tools.0.bash_20250124.name: Field required"),
    (
        a_body(tools=[{"type": "memory_20250818", "name": 1}]),
        "tools.0.memory_20250818.name: Input should be a valid string",
    ),
    (a_body(tools=[WEATHER, WEATHER]), "Tool names must be unique"),
    (a_body(tools=[WEATHER], tool_choice={"type": "tool", "name": "t"}), "Tool 't' not found in provided tools"),
    (a_body(tool_choice={"type": "any"}), "may only be specified while providing tools"),
    (a_body(stop_sequences=[" "]), "each stop sequence must contain non-whitespace"),
    (a_body(thinking={"type": "enabled", "budget_tokens": 9}), "greater than or equal to 1024"),
    (a_body(thinking={"type": "enabled", "budget_tokens": 2000}), "must be greater than `thinking.budget_tokens`"),
    (
        a_body(
            model="claude-opus-" + "9" * 5_000,
            messages=[{"role": "user", "content": "x"}, {"role": "assistant", "content": "x "}],
        ),
        "final assistant content cannot end with trailing whitespace",
    ),
    (b"{not json", "not valid JSON"),
    (b"[" * 100_000, "The request body is not valid JSON"),
    ([], "valid dictionary"),
]


@pytest.mark.parametrize(("body", "message"), INVALID, ids=[message for _, message in INVALID])
def test_an_invalid_body_is_refused_in_the_apis_words(body: Any, message: str) -> None:
    status, kind, said = refusal(a_request(body))
    assert (status, kind) == (400, "invalid_request_error")
    assert message in said


def test_a_call_without_its_result_is_refused() -> None:
    call: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}
    body = a_body()
    body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": "well?"}]
    assert "`tool_use` ids were found without `tool_result` blocks immediately after: t1" in refusal(a_request(body))[2]


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("claude-haiku-4-5", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-6", True),
        ("claude-opus-5", True),
    ],
)
def test_newer_models_refuse_to_go_on_with_an_answer(model: str, refused: bool) -> None:
    body = a_body(model=model)
    body["messages"].append({"role": "assistant", "content": "It was a dark"})
    response = a_responder().respond(a_request(body))
    assert (response.status == 400) == refused


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x_api_key": ""}, "x-api-key header is required"),
        ({"x_api_key": "invalid"}, "invalid x-api-key"),
        ({"x_api_key": "", "authorization": "Bearer "}, "x-api-key header is required"),
        ({"x_api_key": "", "authorization": "Bearer invalid"}, "Invalid bearer token"),
    ],
)
def test_who_gives_no_key_or_a_wrong_one_is_turned_away(headers: dict[str, str], message: str) -> None:
    assert refusal(a_request(a_body(), **headers)) == (401, "authentication_error", message)


def test_a_bearer_token_will_do() -> None:
    request = a_request(a_body(), x_api_key="", authorization="Bearer t")
    assert a_responder().respond(request).status == 200


def test_the_version_header_is_required() -> None:
    assert refusal(a_request(a_body(), anthropic_version=""))[2] == "anthropic-version: header is required"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (a_request(a_body(model="gpt-1")), (404, "not_found_error", "model: gpt-1")),
        (a_request(a_body(), target="/v1/complete"), (404, "not_found_error", "Not found")),
        (a_request(method="GET", target="/v1/models/gpt-1"), (404, "not_found_error", "model: gpt-1")),
        (a_request(method="GET"), (405, "invalid_request_error", "Method Not Allowed")),
    ],
)
def test_what_isnt_there_is_not_found(request_: Request, expected: tuple[int, str, str]) -> None:
    assert refusal(request_) == expected


def test_the_models_are_listed() -> None:
    page = json_of(a_responder().respond(a_request(method="GET", target="/v1/models?limit=20")))
    names = [model["id"] for model in page["data"]]
    assert "claude-opus-5-5" in names
    assert (page["first_id"], page["last_id"], page["has_more"]) == (names[0], names[-1], False)
    one = a_responder().respond(a_request(method="GET", target=f"/v1/models/{names[0]}"))
    assert json_of(one) == page["data"][0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "text", "name", "input_schema", "id"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "max_tokens",
                "messages",
                "tools",
                "tool_choice",
                "thinking",
                "system",
                "stream",
                "stop_sequences",
                "temperature",
            ]
        ),
        JSON,
    )
)
@settings(max_examples=80)
def test_no_json_whatever_breaks_the_responder(changed: dict[str, Any]) -> None:
    response = a_responder().respond(a_request({**a_body(max_tokens=5), **changed}))
    assert response.status in (200, 400, 404)
    assert list(response.steps)
