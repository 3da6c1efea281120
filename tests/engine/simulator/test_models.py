"""The models that the simulator lists, a page at a time, as the official client reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from tests.support.responder import a_request, a_responder, json_of

from manystream.engine.simulator import Simulator


@pytest.fixture(scope="module")
def client() -> Iterator[anthropic.Anthropic]:
    with (
        Simulator().in_thread() as simulator,
        httpx2.Client() as http_client,
        anthropic.Anthropic(api_key="key", base_url=simulator.url, max_retries=0, http_client=http_client) as client,
    ):
        yield client


def page(query: str) -> tuple[int, Any]:
    response = a_responder().respond(a_request(method="GET", target=f"/v1/models?{query}"))
    return response.status, json_of(response)


def test_a_list_is_read_page_by_page(client: anthropic.Anthropic) -> None:
    whole = [model.id for model in client.models.list(limit=1_000)]
    assert len(whole) > 15
    assert [model.id for model in client.models.list(limit=4)] == whole
    assert [model.id for model in client.beta.models.list(limit=7)] == whole
    first = client.models.list(limit=2)
    assert (first.has_more, first.first_id, first.last_id) == (True, whole[0], whole[1])
    before = client.models.list(limit=2, before_id=whole[3])
    assert [model.id for model in before.data] == whole[1:3]
    assert before.has_more


def test_an_alias_leads_to_the_model(client: anthropic.Anthropic) -> None:
    model = client.models.retrieve("claude-haiku-4-5")
    assert model.id == "claude-haiku-4-5-20251001"
    assert client.models.retrieve(model.id) == model
    assert (model.display_name, model.line, model.lifecycle) == ("Claude Haiku 4.5", "haiku", "active")
    assert (model.max_tokens, model.max_input_tokens) == (64_000, 200_000)
    assert model.capabilities is not None
    assert model.capabilities.thinking.types.enabled.supported
    assert not model.capabilities.thinking.types.adaptive.supported
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-none")


def test_models_are_listed_by_their_lifecycle(client: anthropic.Anthropic) -> None:
    deprecated = list(client.models.list(lifecycle=["deprecated"]))
    assert {model.lifecycle for model in deprecated} == {"deprecated"}
    assert all(model.retires_at is not None for model in deprecated)
    assert {model.id for model in client.models.list(lifecycle=["retired"])} == {"claude-mythos-preview"}


def test_listed_names_and_capabilities_are_complete(client: anthropic.Anthropic) -> None:
    for model in client.models.list(limit=1_000):
        assert model.display_name.startswith("Claude ")
        assert model.line in ("fable", "haiku", "mythos", "opus", "sonnet")
        assert set(model.to_dict()) == set(type(model).model_fields)
        assert model.capabilities is not None
        assert set(model.capabilities.to_dict()) == set(type(model.capabilities).model_fields)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=1001", "limit: Input should be less than or equal to 1000"),
        ("limit=x", "limit: Input should be a valid integer"),
        ("after_id=claude-none", "after_id: there is no claude-none"),
        ("after_id=claude-opus-5-5&before_id=claude-opus-5-5", "only one of them may be given"),
        ("lifecycle=young", "lifecycle: Input should be"),
    ],
)
def test_a_page_that_cannot_be_is_refused(query: str, message: str) -> None:
    status, body = page(query)
    assert status == 400
    assert message in body["error"]["message"]


def test_the_last_page_and_an_empty_one_say_so() -> None:
    _, whole = page("limit=1000")
    last = whole["last_id"]
    assert page(f"after_id={last}")[1] == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert page(f"before_id={whole['first_id']}")[1]["data"] == []
