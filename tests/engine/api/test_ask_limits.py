"""Limits that are asked for: only with an admin key, only when wanted, and corrected by what the headers say later."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic.lib.bedrock import AsyncAnthropicBedrock
from tests.support.virtual import virtual_backends
from tests.support.wire_server import Peer, head, serving

from manystream import AnthropicModel, Engine, Limits, LimitsError, MissingCredentialsError, StreamRequest
from manystream.engine.api.ask_limits import ask_limits

pytestmark = pytest.mark.anyio

ADMIN = "sk-ant-admin-secret"


def entry(name: str, models: list[str] | None, **limits: object) -> dict[str, Any]:
    return {
        "id": f"rl_{name}",
        "type": "rate_limit",
        "group": {"type": "model_group", "id": f"rlg_{name}", "display_name": name},
        "models": models,
        "limits": [{"type": kind, "value": value} for kind, value in limits.items()],
    }


OPUS = entry(
    "Claude Opus 9.x",
    ["claude-opus-9", "claude-opus-9-20270101"],
    requests_per_minute=3,
    input_tokens_per_minute_cache_aware=50_000,
    input_tokens_per_minute=40_000,
    something_new=1,
)


class Admin:
    """An API that tells limits, and answers nothing else."""

    def __init__(self, *entries: dict[str, Any], status: str = "200 OK", body: dict[str, Any] | None = None) -> None:
        self.seen: list[str] = []
        self._status = status
        self._body = json.dumps(body or {"data": list(entries), "next_page": None}).encode()

    async def __call__(self, peer: Peer) -> None:
        self.seen.append(peer.requested.decode().lower())
        headers = ("content-type: application/json", f"content-length: {len(self._body)}")
        await peer.stream.send(head(*headers, status=self._status) + self._body)


def model(port: int, **options: Any) -> AnthropicModel:
    return AnthropicModel("claude-opus-9", api_key="ordinary", base_url=f"http://127.0.0.1:{port}", **options)


async def test_groups_and_limits_are_those_of_the_organization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", ADMIN)
    admin = Admin(OPUS, entry("Claude Haiku 9", None, requests_per_minute=-1))
    async with serving(admin) as server, Engine(model(server.port), limits="ask") as engine:
        [asked] = admin.seen
        for name in ("claude-opus-9", "claude-opus-9-20270101", "claude-haiku-9"):
            engine.submit(StreamRequest({"model": name, "messages": [{"role": "user", "content": "hi"}]}))
        pools = {pool.name: pool.limits for pool in engine.stats().pools}
    assert asked.startswith("get /v1/organizations/rate_limits?group_type=model_group")
    assert f"x-api-key: {ADMIN}" in asked
    assert "ordinary" not in asked
    assert set(pools) == {"Claude Opus 9.x", "claude-haiku-9"}
    assert {reason: limit.per_minute for reason, limit in pools["Claude Opus 9.x"].items()} == {
        "requests_per_minute": 3,
        "input_tokens_per_minute": 50_000,
    }


async def test_an_ordinary_key_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_ADMIN_KEY", raising=False)
    with pytest.raises(
        MissingCredentialsError, match="set the environment variable ANTHROPIC_ADMIN_KEY, or pass admin"
    ):
        Engine(model(1), limits="ask")
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", ADMIN)
    admin = Admin(OPUS)
    async with serving(admin) as server:
        async with Engine(model(server.port)):
            pass
        async with Engine(model(server.port), limits=Limits(requests_per_minute=1)):
            pass
    assert admin.seen == []


async def test_what_the_sdk_client_proves_itself_with_stays_out() -> None:
    admin = Admin(OPUS)
    async with serving(admin) as server:
        client = AsyncAnthropic(auth_token="ordinary", base_url=f"http://127.0.0.1:{server.port}")
        async with (
            client,
            Engine(AnthropicModel("claude-opus-9", anthropic_client=client), limits="ask", admin_key=ADMIN),
        ):
            pass
    [asked] = admin.seen
    assert f"x-api-key: {ADMIN}" in asked
    assert "ordinary" not in asked


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("401 Unauthorized", "authentication_error", "401 authentication_error: no"),
        ("404 Not Found", "not_found_error", "404 not_found_error: no"),
    ],
)
async def test_a_refusal_is_one_clear_error(status: str, kind: str, words: str) -> None:
    admin = Admin(status=status, body={"type": "error", "error": {"type": kind, "message": "no"}})
    async with serving(admin) as server:
        with pytest.raises(LimitsError) as caught:
            async with Engine(model(server.port), limits="ask", admin_key=ADMIN):
                pytest.fail("it was entered")
    assert str(caught.value) == (
        f"the limits could not be asked for: {words}. Give an admin key of the organization, or leave "
        'limits="ask" out: limits are then learnt from the headers'
    )
    assert ADMIN not in repr(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"group": None}], "next_page": None},
        {"data": [7]},
        {"data": [entry("x", None) | {"group": {"display_name": ["x"]}}]},
        {"data": [entry("x", None) | {"models": 7}]},
    ],
)
async def test_nonsense_is_one_clear_error(body: dict[str, Any]) -> None:
    async with serving(Admin(body=body)) as server:
        with pytest.raises(LimitsError, match="the limits could not be asked for: "):
            async with Engine(model(server.port), limits="ask", admin_key=ADMIN):
                pytest.fail("it was entered")


async def test_other_platforms_have_no_such_question() -> None:
    client = AsyncAnthropicBedrock(aws_access_key="a", aws_secret_key="b", aws_region="us-east-1")
    with pytest.raises(LimitsError, match="works with the first-party API alone, not with AsyncAnthropicBedrock"):
        async with Engine(AnthropicModel("m", anthropic_client=client), limits="ask", admin_key=ADMIN):
            pytest.fail("it was entered")
    await client.close()


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(TypeError, match='admin_key is for limits="ask"'):
        Engine(model(1), admin_key=ADMIN)
    with pytest.raises(ValueError, match="limits is Limits"):
        Engine(model(1), limits="all")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_answer_without_an_end_is_given_up(backend: str) -> None:
    async def page(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep(9)
        return httpx2.Response(200, json={"data": [OPUS], "next_page": "page_more"})

    async def ask() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(page)) as http_client:
            began = anyio.current_time()
            with pytest.raises(LimitsError, match="the limits could not be asked for: "):
                await ask_limits(AsyncAnthropic(api_key="ordinary", http_client=http_client), ADMIN)
            assert anyio.current_time() - began == pytest.approx(30)

    name, options = virtual_backends()[backend]
    anyio.run(ask, backend=name, backend_options=options)
