"""The engine over HTTP/2 behind servers that others made. What is not installed is left out."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from tests.support.real_servers import REAL_SERVERS, RealServer, real_server

from manystream import AnthropicModel, Engine, RetryPolicy, Simulator, StreamRequest
from manystream.engine.api.http.http2 import pulse, session

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BODY = "x" * 2_000_000


@pytest.fixture(autouse=True)
def trusted(trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manystream.engine.api.shared_client._ssl_context", lambda: trusting)


@pytest.fixture(scope="module", params=REAL_SERVERS)
def server(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServer]:
    name: str = request.param
    if not REAL_SERVERS[name][1]:
        pytest.skip(f"there is no {name}")
    with (
        Simulator(seed=1).in_thread() as simulator,
        real_server(name, tmp_path_factory.mktemp(name), authority, int(simulator.url.rpartition(":")[2])) as running,
    ):
        yield running


def model(url: str) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", api_key="k", base_url=url, http2=True, defaults={"max_tokens": 20})


async def test_three_hundred_streams_are_complete_at_their_first_attempt(server: RealServer) -> None:
    async with Engine(model(server.url), max_concurrency=300) as engine:
        results = await engine.gather(StreamRequest(f"number {number}") for number in range(300))
        assert {result.state for result in results} == {"complete"}
        assert {len(result.attempts) for result in results} == {1}
        assert {connection.protocol for connection in engine.stats().connections} <= {"HTTP/2"}


async def test_a_long_upload_arrives(server: RealServer) -> None:
    async with Engine(model(server.url)) as engine:
        result = await engine.submit(BODY).wait()
        assert result.state == "complete", result.error


async def test_cancelling_hundreds_leaves_the_others_alone(server: RealServer) -> None:
    async with Engine(model(server.url), max_concurrency=200) as engine:
        for _ in range(5):
            handles = [engine.submit(f"number {number}") for number in range(100)]
            await anyio.sleep(0.05)
            for handle in handles[::2]:
                handle.cancel()
            results = [await handle.wait() for handle in handles]
            assert {result.state for result in results[1::2]} == {"complete"}
            assert {result.state for result in results[::2]} <= {"complete", "cancelled"}


@pytest.mark.skipif(not REAL_SERVERS["nghttpx"][1], reason="there is no nghttpx")
@pytest.mark.parametrize("how", ["frozen", "killed"])
async def test_a_server_that_dies_is_the_truth_of_each_stream(
    authority: trustme.CA, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch, anyio_backend: Any
) -> None:
    monkeypatch.setattr(pulse, "PING_SECONDS", 0.5)
    monkeypatch.setattr(pulse, "DEAD_SECONDS", 0.5)
    monkeypatch.setattr(session, "DEAD_SECONDS", 0.5)
    with (
        Simulator(seed=1, tokens_per_second=1).in_thread() as simulator,
        real_server("nghttpx", tmp_path, authority, int(simulator.url.rpartition(":")[2])) as server,
    ):
        once = RetryPolicy(max_attempts=1)
        async with Engine(model(server.url), max_concurrency=120, retry=once) as engine:
            handles = [engine.submit(f"number {number}") for number in range(120)]
            with anyio.fail_after(20):
                while len(live := [one for one in handles if one.state == "streaming"]) < 20:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                if how == "frozen":
                    server.freeze()
                else:
                    server.kill()
                results = [await handle.wait() for handle in live]
                assert {result.error.type for result in results if result.error} == {"truncated"}
            for handle in handles:
                handle.cancel()
