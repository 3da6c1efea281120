"""Requests that go out with the head of one before: what the server sees and what comes back are as by the SDK."""

import functools
import logging
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import date
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from anthropic._base_client import AsyncAPIClient
from anthropic.resources.messages import AsyncMessages
from tests.support.engines import model_for
from tests.support.wire_server import Peer, head, serving

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamRequest, StreamResult
from manystream.engine.api import known_heads
from manystream.engine.api.http import HttpTransport, outgoing
from manystream.engine.simulator import Fail, Simulator

pytestmark = pytest.mark.anyio

NEVER = RetryPolicy(max_attempts=1)
TOOL: dict[str, Any] = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[known_heads.Repeat]:
    """The requests that went the short way."""
    found: list[known_heads.Repeat] = []
    send = known_heads.Repeat.send

    async def noted(self: known_heads.Repeat) -> Any:
        found.append(self)
        return await send(self)

    monkeypatch.setattr(known_heads.Repeat, "send", noted)
    return found


def asking(text: str, *, betas: tuple[str, ...] = (), **params: Any) -> StreamRequest:
    content = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    asked: Any = {"messages": [{"role": "user", "content": content}], **params}
    return StreamRequest(asked, betas=betas)


KINDS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 7, "system": 'Be brief. Ünïcödé \U0001f30a \\ " / \x7f \u2028', "stop_sequences": ["x", "y"]},
    {"inference_geo": "us", "metadata": {"user_id": "u"}, "system": [{"type": "text", "text": "s"}]},
    {"tools": [TOOL], "tool_choice": {"type": "auto"}, "service_tier": "auto", "cache_control": None},
    {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "max_tokens": 100},
    {"betas": ("context-management-2025-06-27",), "context_management": {"edits": []}},
]


@pytest.mark.parametrize("params", KINDS, ids=lambda params: ",".join(params) or "plain")
async def test_the_server_sees_what_the_sdk_would_have_sent(
    simulator: Simulator, sent: list[known_heads.Repeat], params: dict[str, Any]
) -> None:
    async with Engine(model_for(simulator)) as engine:
        for text in ("first", "then", "second"):
            result = await engine.submit(asking(text, **params)).wait()
            assert result.state == "complete", result.error
    assert len(sent) == 1
    async with Engine(model_for(simulator)) as engine:
        await engine.submit(asking("second", **params)).wait()
    assert len(sent) == 1
    _, _, repeated, built = simulator.requests
    assert repeated.json == built.json
    assert repeated.json["messages"][0]["content"][0]["text"] == "second"
    assert dict(repeated.headers) == dict(built.headers)
    assert (repeated.method, repeated.target) == (built.method, built.target)


async def test_a_request_that_is_not_like_one_before_is_built_by_the_sdk(
    simulator: Simulator, sent: list[known_heads.Repeat]
) -> None:
    class Text(str):
        pass

    async def ask(params: dict[str, Any], **arguments: Any) -> StreamResult:
        asked: Any = {"messages": [{"role": "user", "content": "hi"}], **params}
        request = StreamRequest(asked, **arguments)
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
            await ask({"metadata": {"user_id": date(2026, 1, 2)}})  # written as the SDK writes it
        assert simulator.requests[-1].json["metadata"] == {"user_id": "2026-01-02"}
        assert not sent
        await ask({"metadata": {"user_id": Text("u")}})
        assert len(sent) == 1


async def test_requests_that_the_sdk_logs_it_sends_itself(
    simulator: Simulator, sent: list[known_heads.Repeat], caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(model_for(simulator)) as engine:
        for _ in range(2):
            await engine.submit("hi").wait()
        with caplog.at_level(logging.DEBUG, logger="anthropic"):
            await engine.submit("hi").wait()
        assert not sent
        await engine.submit("hi").wait()
        assert len(sent) == 1


async def test_a_clients_own_http_client_and_middleware_see_every_request(
    simulator: Simulator, sent: list[known_heads.Repeat]
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
    simulator: Simulator, sent: list[known_heads.Repeat], status: int
) -> None:
    simulator.script(
        [Fail(status, headers={"retry-after": "0.1"}), "whole", "whole", Fail(status, headers={"retry-after": "0.1"})]
    )
    async with Engine(model_for(simulator), retry=NEVER) as engine:
        built, _, _, repeated = [await engine.submit("hi").wait() for _ in range(4)]
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
            case "found":
                await peer.send(head("location: /elsewhere", "content-length: 0", status="302 Found"))
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
    failing: tuple[str, list[str]], sent: list[known_heads.Repeat], what: str, error: str | None
) -> None:
    url, script = failing
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=url), retry=NEVER) as engine:
        for _ in range(2):
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


async def test_a_redirect_that_is_not_followed_is_not_asked_again(
    failing: tuple[str, list[str]], sent: list[known_heads.Repeat]
) -> None:
    url, script = failing
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=url)) as engine:
        for _ in range(2):
            await engine.submit("hi").wait()
        script.append("found")
        result = await engine.submit("hi").wait()
    assert len(sent) == len(result.attempts) == 1
    assert result.error is not None
    assert result.error.message == f"{url}/v1/messages answered 302 to {url}/elsewhere (not followed)"


# -- what belongs to one request goes out with one


async def headers_of(simulator: Simulator, count: int = 5, **arguments: Any) -> list[dict[str, str]]:
    """The headers of so many equal requests."""
    before = len(simulator.requests)
    async with Engine(model_for(simulator, **arguments)) as engine:
        for _ in range(count):
            result = await engine.submit("hi").wait()
            assert result.state == "complete", result.error
    return [dict(request.headers) for request in simulator.requests[before:]]


def numbered(target: Any, name: str, header: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Wraps a method of the SDK or the HTTP client as instrumentation does, to give each request a number."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(target, name)
        count = iter(range(1000))

        @functools.wraps(original)
        async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "create":
                kwargs["extra_headers"] = {**(kwargs.get("extra_headers") or {}), header: str(next(count))}
            else:
                args[0].headers[header] = str(next(count))
            return await original(self, *args, **kwargs)

        monkeypatch.setattr(target, name, wrapper)

    return patch


def signing_class(monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(1000))

    class Signing(anthropic.AsyncAnthropic):
        async def _prepare_request(self, request: httpx2.Request) -> None:
            request.headers["x-api-key"] = f"signed {next(count)}"

    monkeypatch.setattr(anthropic, "AsyncAnthropic", Signing)


def hooked_client(monkeypatch: pytest.MonkeyPatch) -> None:
    init = httpx2.AsyncClient.__init__
    count = iter(range(1000))

    async def number(request: httpx2.Request) -> None:
        request.headers["user-agent"] = f"hooked {next(count)}"

    def hooked(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{**kwargs, "event_hooks": {"request": [number]}})

    monkeypatch.setattr(httpx2.AsyncClient, "__init__", hooked)


# Under names that are no sign of anything: it is the wrapper that is noticed.
AROUND: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "create": (numbered(AsyncMessages, "create", "user-agent"), "user-agent"),
    "_prepare_request": (numbered(anthropic.AsyncAnthropic, "_prepare_request", "user-agent"), "user-agent"),
    "base": (numbered(AsyncAPIClient, "_prepare_request", "user-agent"), "user-agent"),
    "send": (numbered(httpx2.AsyncClient, "send", "user-agent"), "user-agent"),
    "transport": (numbered(HttpTransport, "handle_async_request", "user-agent"), "user-agent"),
    "class": (signing_class, "x-api-key"),
    "hooks": (hooked_client, "user-agent"),
}


@pytest.mark.parametrize("name", AROUND)
async def test_what_is_put_around_the_sdk_sees_every_request(
    simulator: Simulator, sent: list[known_heads.Repeat], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    patch, header = AROUND[name]
    patch(monkeypatch)
    seen = [headers[header] for headers in await headers_of(simulator)]
    assert len(set(seen)) == 5, seen
    assert not sent


@pytest.mark.parametrize("name", ["create", "_prepare_request", "base", "send", "transport"])
async def test_it_is_looked_each_time_and_forgotten_afterwards(
    simulator: Simulator, sent: list[known_heads.Repeat], name: str
) -> None:
    patch, header = AROUND[name]
    async with Engine(model_for(simulator)) as engine:
        for _ in range(3):
            await engine.submit("hi").wait()
        assert len(sent) == 1
        with pytest.MonkeyPatch.context() as monkeypatch:
            patch(monkeypatch)
            for _ in range(3):
                await engine.submit("hi").wait()
            await engine.submit(asking("another kind")).wait()
        assert len(sent) == 1
        await engine.submit("hi").wait()
        assert len(sent) == 2
    seen = [dict(request.headers)[header] for request in simulator.requests]
    assert len(set(seen[3:7])) == 4
    assert seen[0] == seen[1] == seen[2] == seen[7]


def test_it_is_noticed_when_it_was_put_there_before_us(simulator: Simulator) -> None:
    program = """
import anyio, sys
from anthropic.resources.messages import AsyncMessages
original = AsyncMessages.create
count = iter(range(100))
async def create(self, *args, **kwargs):
    kwargs["extra_headers"] = {**kwargs["extra_headers"], "user-agent": f"traced {next(count)}"}
    return await original(self, *args, **kwargs)
AsyncMessages.create = create
from manystream import AnthropicModel, Engine
async def main():
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=sys.argv[1])) as engine:
        for _ in range(4):
            assert (await engine.submit("hi").wait()).state == "complete"
anyio.run(main)
"""
    subprocess.run([sys.executable, "-c", program, simulator.url], check=True, timeout=60)
    agents = [dict(request.headers)["user-agent"] for request in simulator.requests]
    assert agents == [f"traced {number}" for number in range(4)]


@pytest.mark.parametrize("header", ["traceparent", "idempotency-key", "x-request-id", "x-signature", "cookie", "date"])
async def test_a_header_that_may_belong_to_one_request_is_never_repeated(
    simulator: Simulator, sent: list[known_heads.Repeat], monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    # Constant by chance, and where no wrapper can be noticed.
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", f"{header}: same")
    assert [headers[header] for headers in await headers_of(simulator, 4)] == ["same"] * 4
    assert not sent


async def test_heads_that_differ_are_no_ones_model(
    simulator: Simulator, sent: list[known_heads.Repeat], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(1000))

    def proxy_headers(proxy: httpx2.Proxy) -> list[tuple[bytes, bytes]]:
        return [(b"Proxy-Authorization", f"Basic {next(count)}".encode())]

    monkeypatch.setattr(outgoing, "proxy_headers", proxy_headers)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, simulator.url)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with Engine(AnthropicModel("m", api_key="k", base_url="http://api.invalid"), retry=NEVER) as engine:
        for _ in range(4):
            await engine.submit("hi").wait()
    assert not sent


async def test_heads_are_not_reused_where_that_is_switched_off(
    simulator: Simulator, sent: list[known_heads.Repeat]
) -> None:
    await headers_of(simulator, 4, reuse_heads=False)
    assert not sent
    await headers_of(simulator, 4)
    assert len(sent) == 2


async def test_a_kind_is_learnt_from_two_requests(simulator: Simulator, sent: list[known_heads.Repeat]) -> None:
    async with Engine(model_for(simulator)) as engine:
        for expected in (0, 0, 1, 2):
            await engine.submit("hi").wait()
            assert len(sent) == expected
    first, *others = [dict(request.headers) for request in simulator.requests]
    assert others == [first] * 3
