"""HTTP clients: one is shared by the engines of an event loop and closed by the last; the caller's own never are."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import anyio
import httpx
import httpx2
import pytest
from tests.support.engines import AT_ONCE, engine_for, happens, model_for, outcomes

from manystream import AnthropicModel, Engine, MissingCredentialsError, StreamRequest, StreamResult
from manystream.engine.api.http import HttpTransport
from manystream.engine.api.shared_client import acquire_shared_client
from manystream.engine.simulator import Cut, ScriptStep, Simulator, Stall

pytestmark = pytest.mark.anyio

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def client_of(engine: Engine) -> httpx2.AsyncClient:
    """The HTTP client below an engine's own model."""
    client: Any = engine.connection.client
    return client._client


# -- the shared client


async def test_two_engines_share_one(simulator: Simulator) -> None:
    simulator.script(["short"] * 4)
    async with engine_for(simulator) as first:
        client = client_of(first)
        await first.submit("Hi").wait()
        async with engine_for(simulator) as second:
            assert client_of(second) is client
            await second.submit("Hi").wait()
        await first.submit("Hi").wait()
        assert not client.is_closed
        assert simulator.total_connections == 1
    assert client.is_closed
    await happens(simulator, lambda simulator: simulator.open_connections == 0)
    async with engine_for(simulator) as third:
        assert client_of(third) is not client
        await third.submit("Hi").wait()


async def test_the_first_engine_may_leave_before_the_second(simulator: Simulator) -> None:
    entered, left = anyio.Event(), anyio.Event()
    clients: list[httpx2.AsyncClient] = []

    async def first() -> None:
        async with engine_for(simulator) as engine:
            clients.append(client_of(engine))
            await entered.wait()
        left.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        async with engine_for(simulator) as second:
            entered.set()
            await left.wait()
            assert clients == [client_of(second)]
            assert not clients[0].is_closed
            assert (await second.submit("Hi").wait()).state == "complete"
    assert clients[0].is_closed


async def test_several_models_of_one_engine_share_it_too(simulator: Simulator) -> None:
    simulator.script(["short"] * 3)
    async with engine_for(simulator) as engine:
        client = client_of(engine)
        for key in ("a", "b", "c"):
            model = model_for(simulator, api_key=key)
            await engine.gather([{"messages": [{"role": "user", "content": "Hi"}]}])
            await engine.submit(anthropic_request(model)).wait()
    assert client.is_closed
    assert simulator.total_connections == 1


def anthropic_request(model: AnthropicModel) -> Any:
    from manystream import StreamRequest

    return StreamRequest("Hi", model=model)


async def test_a_lease_is_given_back_once(anyio_backend: str) -> None:
    first, second = acquire_shared_client(), acquire_shared_client()
    assert first.client is second.client
    await first.aclose()
    await first.aclose()
    assert not second.client.is_closed
    await second.aclose()
    assert second.client.is_closed


async def test_an_engine_that_cannot_connect_takes_no_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ANTHROPIC_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    with pytest.raises(MissingCredentialsError, match="ANTHROPIC_API_KEY"):
        async with Engine(AnthropicModel("claude-opus-5-5")):
            pass
    lease = acquire_shared_client()
    client = lease.client
    await lease.aclose()
    assert client.is_closed


async def one_stream(simulator: Simulator) -> StreamResult:
    async with engine_for(simulator) as engine:
        return await engine.submit("Hi").wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_event_loop_after_another(simulator: Simulator, backend: str) -> None:
    for _ in range(3):
        assert anyio.run(one_stream, simulator, backend=backend).state == "complete"
    assert asyncio.run(one_stream(simulator)).state == "complete"
    assert simulator.total_connections == 4


def test_event_loops_in_threads_each_have_their_own(simulator: Simulator) -> None:
    clients: list[httpx2.AsyncClient] = []
    results: list[StreamResult] = []
    both = threading.Barrier(2, timeout=10)

    async def run() -> None:
        async with engine_for(simulator) as engine:
            clients.append(client_of(engine))
            await anyio.to_thread.run_sync(both.wait)
            results.extend(await engine.gather(["x"] * 5))
            await anyio.to_thread.run_sync(both.wait)

    threads = [
        threading.Thread(target=anyio.run, args=(run,), kwargs={"backend": name}) for name in ("asyncio", "trio")
    ]
    simulator.script(["short"] * 10)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clients[0] is not clients[1]
    assert [result.state for result in results] == ["complete"] * 10


def test_an_engine_that_is_never_left_does_not_keep_its_event_loop(simulator: Simulator) -> None:
    async def run() -> "weakref.ref[asyncio.AbstractEventLoop]":
        lease = acquire_shared_client()
        await lease.client.get(f"{simulator.url}/v1/models", headers={"x-api-key": "k", "anthropic-version": "1"})
        transport: Any = lease.client._transport  # pyright: ignore[reportPrivateUsage]
        await transport.aclose()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(run())
    gc.collect()
    assert loop() is None


async def test_it_keeps_no_cookies(simulator: Simulator) -> None:
    simulator.script([Cut("nothing", "reset")])
    lease = acquire_shared_client()
    cookies = httpx2.Response(200, headers={"set-cookie": "a=1"}, request=httpx2.Request("GET", "http://127.0.0.1"))
    lease.client.cookies.extract_cookies(cookies)
    assert not list(lease.client.cookies.jar)
    await lease.aclose()


@pytest.mark.parametrize("steps", [300])
async def test_it_has_no_hidden_limit(simulator: Simulator, steps: int) -> None:
    script: list[ScriptStep] = [Stall("head")] * steps
    simulator.script(script)
    async with engine_for(simulator, max_concurrency=steps, grace=0) as engine:
        # Short answers, so that the output limit in the simulator's headers has room for all.
        short = StreamRequest({"messages": [{"role": "user", "content": "x"}], "max_tokens": 10})
        handles = [engine.submit(short) for _ in range(steps)]
        await happens(simulator, lambda simulator: outcomes(simulator).count("running") == steps, timeout=20)
    assert {handle.result.state for handle in handles} == {"cancelled"}


# -- proxies


def mounts_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    mounts: Any = client._mounts  # pyright: ignore[reportPrivateUsage]
    return {pattern.pattern: transport for pattern, transport in mounts.items()}


async def test_the_environments_proxies_are_the_sdks(monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9001")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass@127.0.0.1:9002")
    monkeypatch.setenv("NO_PROXY", "localhost,.example.com")
    lease = acquire_shared_client()
    mounts = mounts_of(lease.client)
    async with anthropic.DefaultAsyncHttpxClient() as sdk:
        assert set(mounts) == set(mounts_of(sdk))
        assert [name for name, way in mounts.items() if way is None] == [
            name for name, way in mounts_of(sdk).items() if way is None
        ]
    assert isinstance(mounts["https://"], HttpTransport)
    await lease.aclose()


async def test_a_proxy_gets_the_request(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    # A plain proxy is given the whole URL; the simulator takes that for a request it doesn't know.
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", simulator.url.replace("http://", "http://user:pass@"))
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://api.invalid")) as engine:
        result = await engine.submit("Hi").wait()
    assert result.error is not None
    assert result.error.status == 404
    (request,) = simulator.requests
    assert request.target.startswith("http://api.invalid/v1/messages")
    assert request.headers["proxy-authorization"].startswith("Basic ")


# -- the caller's own clients


async def ask(model: AnthropicModel) -> StreamResult:
    async with Engine(model, retry=AT_ONCE) as engine:
        async with engine.stream("Hi") as stream:
            async for _ in stream:
                pass
        return stream.result


@pytest.mark.parametrize("client_class", [httpx2.AsyncClient, httpx.AsyncClient])
async def test_an_http_client_is_left_open(simulator: Simulator, client_class: Callable[..., Any]) -> None:
    async with client_class(verify=False, headers={"x-mine": "yes"}) as http_client:
        model = model_for(simulator, http_client=http_client)
        for _ in range(2):
            assert (await ask(model)).state == "complete"
        assert not http_client.is_closed
        gc.collect()
        assert (await http_client.get(f"{simulator.url}/v1/models")).status_code == 401
    assert simulator.requests[0].headers["x-mine"] == "yes"
    assert simulator.total_connections == 1


async def test_an_httpx_client_fails_as_an_httpx2_client_does(simulator: Simulator) -> None:
    simulator.script([Cut("nothing", "close"), Cut(1, "close", text="a b"), Stall(1, text="a b")])
    async with httpx.AsyncClient(verify=False) as http_client:
        model = model_for(simulator, http_client=http_client)
        async with Engine(model, retry=AT_ONCE) as engine:
            first = await engine.submit("Hi").wait()
            assert first.attempts[0].error is not None
            assert first.attempts[0].error.type == "connection_error"
            assert first.state == "truncated"
            handle = engine.submit("Hi")
            await happens(simulator, lambda simulator: len(simulator.requests) == 3)
            handle.cancel()
            await handle.wait()
            await happens(simulator, lambda simulator: simulator.requests[2].outcome == "disconnected", timeout=1)


async def test_an_sdk_client_is_left_open(simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url=simulator.url, max_retries=5, timeout=17, http_client=httpx2.AsyncClient(verify=False)
    ) as client:
        model = AnthropicModel("claude-opus-5-5", anthropic_client=client)
        for _ in range(2):
            assert (await ask(model)).state == "complete"
        assert not client.is_closed()
        assert (client.max_retries, client.timeout) == (5, 17)
        gc.collect()
        await client.models.list()
    assert simulator.total_connections == 1
    simulator.script([529])


async def test_the_sdks_own_retries_are_off(simulator: Simulator) -> None:
    simulator.script([529, "fine"])
    async with anthropic.AsyncAnthropic(
        api_key="key", base_url=simulator.url, max_retries=5, http_client=httpx2.AsyncClient(verify=False)
    ) as client:
        result = await ask(AnthropicModel("claude-opus-5-5", anthropic_client=client))
    assert [attempt.error and attempt.error.status for attempt in result.attempts] == [529, None]
    assert [request.headers["x-stainless-retry-count"] for request in simulator.requests] == ["0", "0"]


async def test_sdk_middleware_sees_the_requests(simulator: Simulator) -> None:
    seen: list[str] = []

    async def middleware(request: Any, call_next: Any) -> Any:
        seen.append(type(request).__name__)
        return await call_next(request)

    async with anthropic.AsyncAnthropic(
        api_key="key", base_url=simulator.url, http_client=httpx2.AsyncClient(verify=False), middleware=[middleware]
    ) as client:
        assert (await ask(AnthropicModel("claude-opus-5-5", anthropic_client=client))).state == "complete"
    assert len(seen) == 1


async def test_a_closed_client_is_a_failed_connection(simulator: Simulator) -> None:
    http_client = httpx2.AsyncClient(verify=False)
    await http_client.aclose()
    async with Engine(model_for(simulator, http_client=http_client), retry=AT_ONCE) as engine:
        result = await engine.submit("Hi").wait()
    assert result.state == "failed"
    assert result.error is not None
    assert "closed" in result.error.message
