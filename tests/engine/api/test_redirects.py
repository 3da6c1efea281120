"""Where clients let themselves be sent: within the origin, with the same request, or not at all."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from tests.support.engines import AT_ONCE
from tests.support.wire_server import Peer, head, serving

from manystream import AnthropicModel, Engine
from manystream.engine.api.old_httpx import adapt
from manystream.engine.api.redirects import MAX_REDIRECTS
from manystream.engine.api.shared_client import acquire_shared_client

pytestmark = pytest.mark.anyio

OK = head("content-length: 2") + b"ok"
BODY = b'{"prompt": "mine"}'


@asynccontextmanager
async def ours() -> AsyncGenerator[httpx2.AsyncClient]:
    lease = acquire_shared_client()
    try:
        yield lease.client
    finally:
        await lease.aclose()


@asynccontextmanager
async def older() -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
        yield adapt(client)


@pytest.fixture(params=[ours, older], ids=["ours", "httpx"])
async def client(request: pytest.FixtureRequest, anyio_backend: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with request.param() as client:
        yield client


def redirect(status: str, location: str) -> bytes:
    return head(f"location: {location}", "content-length: 4", status=status) + b"gone"


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
async def test_within_the_origin_the_same_request_is_sent_on(client: httpx2.AsyncClient, status: str) -> None:
    async def answer(peer: Peer) -> None:
        path = peer.requested.split(b" ")[1]
        await peer.send({b"/a": redirect(status, "/b?c=d"), b"/b?c=d": redirect(status, url + "/e")}.get(path, OK))

    async with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        response = await client.post(f"{url}/a", content=BODY, headers={"x-api-key": "k", "authorization": "b"})
        assert response.content == b"ok"
        assert [str(past.url) for past in response.history] == [f"{url}/a", f"{url}/b?c=d"]
        assert [request.split(b"\r\n")[0].split(b" ")[:2] for request in server.requests] == [
            [b"POST", b"/a"],
            [b"POST", b"/b?c=d"],
            [b"POST", b"/e"],
        ]
        for request in server.requests:
            assert request.endswith(BODY)
            assert b"\r\nx-api-key: k\r\n" in request.lower()
            assert b"\r\nauthorization: b\r\n" in request.lower()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other"])
async def test_no_post_becomes_a_get(client: httpx2.AsyncClient, status: str) -> None:
    async with serving(redirect(status, "/login")) as server:
        response = await client.post(f"http://127.0.0.1:{server.port}/", content=BODY, follow_redirects=True)
        assert (f"{response.status_code}", response.headers["location"]) == (status[:3], "/login")
        assert response.content == b"gone"
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/",
        "http://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "//127.0.0.1:{other}/",
        "http://127.0.0.1/",
        "http://[bad",
        "http://127.0.0.1:99999999/",
        "ftp://127.0.0.1:{port}/",
        "http://user:pass@127.0.0.1:{other}/?secret=x",
    ],
)
async def test_nothing_is_sent_elsewhere(client: httpx2.AsyncClient, status: str, location: str) -> None:
    async with serving(OK) as other, serving(b"") as server:
        location = location.format(port=server.port, other=other.port)
        server.answer = redirect(status, location)
        response = await client.post(f"http://127.0.0.1:{server.port}/", content=BODY)
        assert (f"{response.status_code}", response.headers["location"]) == (status[:3], location)
        assert len(server.requests) == 1
        assert not other.connections


async def test_what_is_no_place_at_all() -> None:
    async with ours() as client, serving(redirect("307 Temporary Redirect", "mailto:me")) as server:
        assert (await client.post(f"http://127.0.0.1:{server.port}/", content=BODY)).status_code == 307
        async with older() as client:
            # httpx itself falls over it.
            with pytest.raises(httpx2.UnsupportedProtocol, match="no URL"):
                await client.post(f"http://127.0.0.1:{server.port}/", content=BODY)
        assert len(server.requests) == 2


async def test_it_goes_on_only_so_long(client: httpx2.AsyncClient) -> None:
    async with serving(redirect("307 Temporary Redirect", "/")) as server:
        response = await client.post(f"http://127.0.0.1:{server.port}/", content=BODY)
        assert response.status_code == 307
        assert len(server.requests) == MAX_REDIRECTS + 1
        assert server.connections == 1


async def test_a_body_that_is_gone_is_not_sent_on() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield BODY

    async with ours() as client, serving(redirect("307 Temporary Redirect", "/")) as server:
        assert (await client.post(f"http://127.0.0.1:{server.port}/", content=pieces())).status_code == 307
        assert len(server.requests) == 1


async def test_a_stream_that_is_left_on_its_way(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(redirect("307 Temporary Redirect", "/"))
        if peer.number == 2:
            scope.cancel()

    async with serving(answer) as server:
        with anyio.CancelScope() as scope, anyio.fail_after(5):
            await client.post(f"http://127.0.0.1:{server.port}/", content=BODY)
        assert scope.cancelled_caught
        assert len(server.requests) <= 3


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
async def test_a_stream_that_is_sent_to_a_login_page_fails_in_one_attempt(status: str) -> None:
    async with serving(redirect(status, "https://login.invalid/?next=1")) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=f"http://127.0.0.1:{server.port}")
        async with Engine(model, retry=AT_ONCE) as engine:
            result = await engine.submit("Hi").wait()
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.status == int(status[:3])
    assert len(result.attempts) == len(server.requests) == 1
