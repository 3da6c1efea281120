"""Counting tokens, as the official client asks for it: everything that the model reads counts, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import anthropic
import httpx2
import pytest
from tests.support.responder import WEATHER, a_body, generated

from manystream.engine.simulator import Simulator

Client: TypeAlias = Any
TEXT = "How long is this, in tokens?"
ASK: dict[str, Any] = {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": TEXT}]}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        Simulator().in_thread() as simulator,
        httpx2.Client() as http_client,
        anthropic.Anthropic(api_key="key", base_url=simulator.url, max_retries=0, http_client=http_client) as client,
    ):
        yield client


def count(client: Client, **params: Any) -> int:
    return client.messages.count_tokens(**{**ASK, **params}).input_tokens


def test_a_text_counts_the_same_however_it_stands(client: Client) -> None:
    block: dict[str, Any] = {"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}
    assert count(client, messages=[{"role": "user", "content": [block]}]) == count(client)
    assert count(client, system=TEXT) == count(client, system=[block])


@pytest.mark.parametrize(
    "more",
    [
        {"system": "You are a river."},
        {"tools": [WEATHER]},
        {"output_config": {"format": {"type": "json_schema", "schema": {"enum": ["spring", "autumn", "winter"]}}}},
        {"messages": [*ASK["messages"], {"role": "assistant", "content": "Not very."}, *ASK["messages"]]},
    ],
    ids=lambda more: ",".join(more),
)
def test_what_the_model_reads_counts(client: Client, more: dict[str, Any]) -> None:
    assert count(client, **more) > count(client)
    longer = {**WEATHER, "description": "Tells the weather of the days to come in any city there is."}
    assert count(client, tools=[longer]) > count(client, tools=[WEATHER])


def test_settings_count_nothing(client: Client) -> None:
    assert count(client, thinking={"type": "adaptive"}, tool_choice={"type": "none"}, speed="fast") == count(client)


def test_the_beta_route_tells_of_managed_context(client: Client) -> None:
    plain = client.beta.messages.count_tokens(**ASK)
    assert (plain.input_tokens, plain.context_management) == (count(client), None)
    managed = client.beta.messages.count_tokens(**ASK, context_management={"edits": []})
    assert managed.context_management.original_input_tokens == plain.input_tokens


def test_the_message_itself_is_billed_as_counted(client: Client) -> None:
    body = a_body(TEXT, system="You are a river.", tools=[WEATHER])
    counted = client.messages.count_tokens(**{name: body[name] for name in ("model", "messages", "system", "tools")})
    assert generated(body)["usage"]["input_tokens"] == counted.input_tokens


def test_what_cannot_be_asked_cannot_be_counted(client: Client) -> None:
    with pytest.raises(anthropic.BadRequestError, match="novelty: Extra inputs are not permitted"):
        count(client, extra_body={"novelty": 1})
    with pytest.raises(anthropic.BadRequestError, match=r"not supported for this model"):
        count(client, thinking={"type": "disabled"})
    with pytest.raises(anthropic.NotFoundError, match="model: gpt"):
        count(client, model="gpt")
