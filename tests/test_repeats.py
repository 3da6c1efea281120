"""Requests that go out with the head of one before: what the server sees and what comes back are as by the SDK."""

import logging
from collections.abc import AsyncGenerator, Iterator
from datetime import date
from typing import Any

import anthropic
import anyio
import httpx2
import pytest

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamRequest, StreamResult
from manystream.engine import repeats
from manystream.engine.simulator import Fail, Simulator

from .engines import model_for
from .wire_server import Peer, head, serving

pytestmark = pytest.mark.anyio

NEVER = RetryPolicy(max_attempts=1)
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[repeats.Repeat]:
    """The requests that went the short way."""
    found: list[repeats.Repeat] = []
    send = repeats.Repeat.send

    async def noted(self: repeats.Repeat) -> Any:
        found.append(self)
        return await send(self)

    monkeypatch.setattr(repeats.Repeat, "send", noted)
    return found


def asking(text: str, *, betas: tuple[str, ...] = (), **params: Any) -> StreamRequest:
    content = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    return StreamRequest({"messages": [{"role": "user", "content": content}], **params}, betas=betas)


KINDS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 7, "system": 'Be brief. Ünïcödé \U0001f30a \\ " / \x7f \u2028', "stop_sequences": ["x", "y"]},
    {"temperature": 0.25, "top_k": 5, "metadata": {"user_id": "u"}, "system": [{"type": "text", "text": "s"}]},
    {"tools": [TOOL], "tool_choice": {"type": "auto"}, "service_tier": "auto", "cache_control": None},
    {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "max_tokens": 100},
    {"betas": ("context-management-2025-06-27",), "context_management": {"edits": []}},
]


@pytest.mark.parametrize("params", KINDS, ids=lambda params: ",".join(params) or "plain")
async def test_the_server_sees_what_the_sdk_would_have_sent(
    simulator: Simulator, sent: list[repeats.Repeat], params: dict[str, Any]
) -> None:
    async with Engine(model_for(simulator)) as engine:
        for text in ("first", "second"):
            result = await engine.submit(asking(text, **params)).wait()
            assert result.state == "complete", result.error
    assert len(sent) == 1
    async with Engine(model_for(simulator)) as engine:
        await engine.submit(asking("second", **params)).wait()
    assert len(sent) == 1
    _, repeated, built = simulator.requests
    assert repeated.json == built.json
    assert repeated.json["messages"][0]["content"][0]["text"] == "second"
    assert dict(repeated.headers) == dict(built.headers)
    assert (repeated.method, repeated.target) == (built.method, built.target)


async def test_a_request_that_is_not_like_one_before_is_built_by_the_sdk(
    simulator: Simulator, sent: list[repeats.Repeat]
) -> None:
    class Text(str):
        pass

    async def ask(params: dict[str, Any], **arguments: Any) -> StreamResult:
        request = StreamRequest({"messages": [{"role": "user", "content": "hi"}], **params}, **arguments)
        return await engine.submit(request).wait()

    async with Engine(model_for(simulator)) as engine:
        await ask({})
        await ask({"stop_sequences": ["x"]})
        await ask({"model": "claude-haiku-4-5"})
        for user in ("one", "two"):  # which the SDK puts into a header
            await ask({"user_profile_id": user})
        assert simulator.requests[-1].headers["anthropic-user-profile-id"] == "two"
        await ask({}, extra_query={"q": "1"})
        await ask({}, extra_body={"new": 1})
        await ask({}, deadlines=Deadlines(connect=3))
        await ask({}, extra_headers={"x-mine": "1"})
        assert simulator.requests[-1].headers["x-mine"] == "1"
        for _ in range(2):
            await ask({"metadata": {"user_id": date(2026, 1, 2)}})  # only the SDK knows how a date is written
        assert simulator.requests[-1].json["metadata"] == {"user_id": "2026-01-02"}
        assert not sent
        for _ in range(2):
            await ask({"metadata": {"user_id": Text("u")}})
        assert len(sent) == 1


async def test_requests_that_the_sdk_logs_it_sends_itself(
    simulator: Simulator, sent: list[repeats.Repeat], caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(model_for(simulator)) as engine:
        await engine.submit("hi").wait()
        with caplog.at_level(logging.DEBUG, logger="anthropic"):
            await engine.submit("hi").wait()
        assert not sent
        await engine.submit("hi").wait()
        assert len(sent) == 1


async def test_a_clients_own_http_client_and_middleware_see_every_request(
    simulator: Simulator, sent: list[repeats.Repeat]
) -> None:
    seen: list[str] = []

    async def see(request: httpx2.Request) -> None:
        seen.append(str(request.url))

    async with httpx2.AsyncClient(event_hooks={"request": [see]}) as client:
        for model in (
            model_for(simulator, http_client=client),
            AnthropicModel(
                "claude-opus-5-5",
                anthropic_client=anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, http_client=client),
            ),
        ):
            async with Engine(model) as engine:
                for _ in range(3):
                    await engine.submit("hi").wait()
    assert len(seen) == 6
    assert not sent


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 529])
async def test_a_refusal_is_told_as_the_sdk_tells_it(
    simulator: Simulator, sent: list[repeats.Repeat], status: int
) -> None:
    simulator.script([Fail(status, headers={"retry-after": "7"}), "whole", Fail(status, headers={"retry-after": "7"})])
    async with Engine(model_for(simulator), retry=NEVER) as engine:
        built, _, repeated = [await engine.submit("hi").wait() for _ in range(3)]
    assert len(sent) == 1
    assert built.error is not None
    assert repeated.error is not None
    assert type(repeated.error.cause) is type(built.error.cause)
    assert isinstance(repeated.error.cause, anthropic.APIStatusError)
    for name in ("type", "message", "status", "code", "retryable", "retry_after"):
        assert getattr(repeated.error, name) == getattr(built.error, name), name
    assert repeated.error.request_id != built.error.request_id


@pytest.fixture
async def failing() -> AsyncGenerator[tuple[str, list[str]]]:
    """A server that answers the first request, and then does what the list says."""
    what: list[str] = []
    answer = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
        b'"model":"c","content":[],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,'
        b'"output_tokens":1}}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    whole = head("content-type: text/event-stream", f"content-length: {len(answer)}") + answer

    async def serve(peer: Peer) -> None:
        match what.pop(0) if what else "whole":
            case "redirect":
                await peer.send(head("location: /elsewhere", "content-length: 0", status="307 Temporary Redirect"))
            case "close":
                await peer.close()
            case "half a refusal":
                await peer.send(head("content-length: 100", status="529 Overloaded"), b'{"type":')
                await peer.close()
            case "gzip":
                import gzip

                data = gzip.compress(answer)
                await peer.send(head("content-encoding: gzip", f"content-length: {len(data)}"), data)
            case _:
                await peer.send(whole)

    async with serving(serve) as server:
        yield f"http://127.0.0.1:{server.port}", what


@pytest.mark.parametrize(
    ("what", "error"),
    [("close", "connection_error"), ("half a refusal", "connection_error"), ("redirect", None), ("gzip", None)],
)
async def test_what_the_transport_meets(
    failing: tuple[str, list[str]], sent: list[repeats.Repeat], what: str, error: str | None
) -> None:
    url, script = failing
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=url), retry=NEVER) as engine:
        assert (await engine.submit("hi").wait()).state == "complete"
        script.append(what)
        with anyio.fail_after(10):
            result = await engine.submit("hi").wait()
        assert len(sent) == 1
        if error is None:
            assert result.state == "complete", result.error
        else:
            assert result.error is not None
            assert (result.error.type, result.error.retryable) == (error, True)
            assert isinstance(result.error.cause, anthropic.APIConnectionError)
        assert (await engine.submit("hi").wait()).state == "complete"
