"""How long an answer each model gives at most, and who says otherwise."""

import pytest

from manystream import AnthropicModel, StreamRequest
from manystream.engine.api.output_limits import output_limit


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-haiku-5-5-20261001", 128_000),
        ("claude-sonnet-5", 128_000),
        ("claude-opus-4-8", 128_000),
        ("claude-sonnet-4-6", 128_000),
        ("claude-opus-4-5-20251101", 64_000),
        ("claude-haiku-4-5", 64_000),
        ("anthropic.claude-opus-5-5-v1:0", 128_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 64_000),
        ("claude-haiku-4-5@20251001", 64_000),
        ("claude-opus-6", None),
        ("claude-opus-5-5-turbo", None),
        ("my-model", None),
    ],
)
def test_limits(name: str, tokens: int | None) -> None:
    assert output_limit(name) == tokens


def test_the_simulator_agrees() -> None:
    from manystream.engine.simulator.service.models import model_page

    listed = model_page({"limit": ["100"]})["data"]
    assert len(listed) > 10
    for model in listed:
        assert output_limit(model["id"]) == model["max_tokens"]


def test_who_says_otherwise() -> None:
    model = AnthropicModel("claude-opus-5-5")
    assert model.with_longest_answer(StreamRequest("Hello")).params["max_tokens"] == 128_000
    for request in (
        StreamRequest({"messages": [], "max_tokens": 5}),
        StreamRequest("Hello", extra_body={"max_tokens": 5}),
        StreamRequest({"messages": [], "model": "my-model"}),
    ):
        assert model.with_longest_answer(request) is request
    own = AnthropicModel("claude-opus-5-5", defaults={"max_tokens": 7})
    assert own.params_for(own.with_longest_answer(StreamRequest("Hello")))["max_tokens"] == 7
