"""What a request is refused for by its model and by its version of the API. No event loop."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.responder import WEATHER, a_body, a_request, a_responder, json_of

OLD, NEW = "2023-06-01", "2026-10-21"
BUDGET = {"type": "enabled", "budget_tokens": 1_024}


def answer(body: dict[str, Any], version: str = NEW, target: str = "/v1/messages", **headers: str) -> tuple[int, str]:
    request = a_request(body, target=target, anthropic_version=version, **headers)
    response = a_responder().respond(request)
    return response.status, json_of(response).get("error", {}).get("message", "")


def thinking(model: str, **config: Any) -> dict[str, Any]:
    return a_body(model=model, max_tokens=4_000, thinking=config)


def forced(model: str, **params: Any) -> dict[str, Any]:
    return a_body(model=model, tools=[WEATHER], tool_choice={"type": "any"}, **params)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (a_body(temperature=1.0), NEW, "temperature: Extra inputs are not permitted"),
    (a_body(top_p=0.9), NEW, "top_p: Extra inputs are not permitted"),
    (a_body(top_k=4), NEW, "top_k: Extra inputs are not permitted"),
    (a_body(model="claude-opus-5-5", temperature=0.2), OLD, "`temperature` is deprecated for this model."),
    (a_body(model="claude-opus-4-7", top_p=0.9), OLD, "`top_p` is deprecated for this model."),
    (a_body(model="claude-haiku-5-5", top_k=4), OLD, "`top_k` is deprecated for this model."),
    (
        {**thinking("claude-opus-4-6", type="adaptive"), "temperature": 0.2},
        OLD,
        "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.",
    ),
    (thinking("claude-opus-5-5", **BUDGET), NEW, '"thinking.type.enabled" is not supported for this model. Use'),
    (
        thinking("claude-opus-5-5", type="disabled"),
        NEW,
        '"thinking.type.disabled" is not supported for this model. Use',
    ),
    (thinking("claude-sonnet-5-5", type="disabled"), NEW, 'send "thinking": {"type": "between_tools"}'),
    (thinking("claude-haiku-4-5", type="adaptive"), NEW, "adaptive thinking is not supported on this model"),
    (thinking("claude-haiku-4-5-20251001", type="adaptive"), NEW, "adaptive thinking is not supported on this model"),
    (
        {**thinking("claude-opus-5", type="disabled"), "output_config": {"effort": "max"}},
        NEW,
        "may not be disabled on this model when `output_config.effort` is 'max'",
    ),
    (forced("claude-opus-5-5"), NEW, "forced tool use is not supported for this model"),
    (forced("claude-opus-4-6", thinking={"type": "adaptive"}), NEW, "Thinking may not be enabled when tool_choice"),
    (a_body(model="claude-opus-5-5", max_tokens=128_001), NEW, "max_tokens: 128001 > 128000, which is the maximum"),
    (a_body(model="claude-haiku-4-5", max_tokens=64_001), NEW, "number of output tokens for claude-haiku-4-5"),
    (a_body(novelty=1), NEW, "novelty: Extra inputs are not permitted"),
    (a_body(mcp_servers=[]), NEW, "mcp_servers: Extra inputs are not permitted"),
    (a_body(output_config={"effort": "huge"}), NEW, "output_config.effort: Input should be 'low', 'medium', 'high',"),
    (a_body(output_config={"novelty": 1}), NEW, "output_config.novelty: Extra inputs are not permitted"),
    (a_body(system=[{"type": "image"}]), NEW, "system.0.type: Input should be 'text'"),
    (
        a_body([{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]),
        NEW,
        "messages.0.content.0.citations: not allowed",
    ),
    (
        a_body(
            messages=[
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [{"type": "document", "source": {}}]},
                {"role": "user", "content": "y"},
            ]
        ),
        NEW,
        "messages.1.content.0: `document` blocks are not allowed in `assistant` messages",
    ),
]


@pytest.mark.parametrize(("body", "version", "message"), REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_what_the_model_or_the_version_does_not_take_is_refused(
    body: dict[str, Any], version: str, message: str
) -> None:
    status, said = answer(body, version)
    assert status == 400
    assert message in said


TAKEN: list[tuple[dict[str, Any], str]] = [
    (a_body(model="claude-opus-5-5", temperature=1, top_p=1), OLD),
    (a_body(model="claude-opus-4-6", temperature=0.2, top_k=4), OLD),
    (a_body(model="claude-not-listed", temperature=0.2, max_tokens=900_000), OLD),
    (forced("claude-not-listed"), NEW),
    (forced("claude-haiku-4-5"), NEW),
    (forced("claude-sonnet-5-5", thinking={"type": "between_tools"}), NEW),
    (thinking("claude-not-listed", **BUDGET), NEW),
    (thinking("claude-sonnet-4-5", **BUDGET), NEW),
    (thinking("claude-opus-5-5", type="adaptive", display="omitted"), NEW),
    (thinking("claude-opus-5", type="disabled"), NEW),
    (a_body(model="claude-opus-5-5", max_tokens=128_000, speed="fast", service_tier="auto"), NEW),
    (a_body([{"type": "text", "text": "x", "citations": None}]), NEW),
]


@pytest.mark.parametrize(("body", "version"), TAKEN, ids=str)
def test_what_it_does_take_is_answered(body: dict[str, Any], version: str) -> None:
    assert answer(body, version) == (200, "")


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages/count_tokens"])
def test_fields_of_betas_are_for_those_who_ask_for_betas(target: str) -> None:
    body = a_body(mcp_servers=[], context_management={"edits": []})
    assert answer(body, target=target)[0] == 400
    assert answer(body, target=f"{target}?beta=true") == (200, "")
    assert answer(body, target=target, anthropic_beta="mcp-client-2025-11-20") == (200, "")


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_message_threads_are_refused_by_their_code(thread: dict[str, Any]) -> None:
    request = a_request(a_body(thread=thread), anthropic_beta="message-threads-2026-08-12")
    response = a_responder().respond(request)
    error = json_of(response)["error"]
    assert (response.status, error["type"]) == (400, "invalid_request_error")
    assert error["details"] == {"error_code": "thread_unsupported_request"}
