"""What is not for a message passes as it is, in both directions, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest
from tests.support.gateways import Gate, gate, request_of, talk, until
from tests.support.upstream import Reply, Upstream, json_reply

from manystream.engine.serve import Rules

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-24-letters-ok"


class Echo(httpx2.AsyncBaseTransport):
    """Answers with the request's body, as it comes."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.taken = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, headers={"x-of": "the api", "content-type": "a/b"}, stream=_Body(self, request))


class _Whole(httpx2.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


class _Body(httpx2.AsyncByteStream):
    def __init__(self, echo: Echo, request: httpx2.Request) -> None:
        self._echo = echo
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._request.stream, httpx2.AsyncByteStream)
        async for piece in self._request.stream:
            self._echo.taken += len(piece)
            yield piece


async def test_requests_and_answers_pass_as_they_are() -> None:
    upstream = Upstream(json_reply(418, b'{"a": 1}', **{"x-should-retry": "true", "connection": "x-hop", "x-hop": "1"}))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(
            request_of(
                "PUT",
                "/v1/things/%41?b=%20&c",
                "X-Api-Key: k",
                "X-Mine: a",
                "Connection: x-near",
                "X-Near: 1",
                body=b"{}",
            )
        )
        answer = await talking.answer()
        assert gateway.server.tally.passed == 1
    assert (answer.status, answer.json) == (418, {"a": 1})
    assert answer.headers["x-should-retry"] == "true"
    assert "x-hop" not in answer.headers
    (sent,) = upstream.requests
    assert (sent.method, str(sent.url), sent.content) == ("PUT", "http://up/v1/things/%41?b=%20&c", b"{}")
    assert (sent.headers["x-api-key"], sent.headers["x-mine"]) == ("k", "a")
    assert "x-near" not in sent.headers


async def test_large_bodies_pass_in_pieces() -> None:
    echo = Echo()
    async with gate(echo) as gateway, talk(gateway) as talking:  # pyright: ignore[reportArgumentType]
        size, piece = 20_000_000, b"x" * 100_000
        await talking.send(request_of("POST", "/v1/files", f"Content-Length: {size}"))
        first = await talking.answer(head_only=True)
        assert first.headers["transfer-encoding"] == "chunked"
        sent = 0
        with anyio.move_on_after(1):
            while sent < size:
                await talking.send(piece)
                sent += len(piece)
        assert echo.taken < size, "who reads nothing of the answer can't go on sending"


async def test_a_body_that_passes_whole() -> None:
    echo = Echo()
    async with gate(echo) as gateway, talk(gateway) as talking:  # pyright: ignore[reportArgumentType]
        body = bytes(range(256)) * 4_000
        for chunked in (False, True):
            async with anyio.create_task_group() as tasks:
                if chunked:
                    tasks.start_soon(
                        talking.send,
                        request_of("POST", "/v1/files", "Transfer-Encoding: chunked")
                        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
                    )
                else:
                    tasks.start_soon(talking.send, request_of("POST", "/v1/files", body=body))
                answer = await talking.answer()
                assert answer.body == body
                assert (answer.headers["x-of"], answer.headers["content-type"]) == ("the api", "a/b")
        lengths = [request.headers.get("content-length") for request in echo.requests]
        assert lengths == [str(len(body)), None]


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (Reply(302, {"location": "http://else/"}, ()), 502, "redirects to http://else/"),
        (Reply(200, {}, (), "refused"), 502, ""),
    ],
)
async def test_what_the_gateway_says_itself(reply: Reply, status: int, words: str) -> None:
    async with gate(Upstream(reply)) as gateway, talk(gateway) as talking:
        await talking.send(request_of("GET", "/v1/models"))
        answer = await talking.answer()
        assert answer.status == status
        assert words in answer.json["error"]["message"]
        await talking.send(request_of("GET", "/health"))
        assert (await talking.answer()).status == 200


async def test_an_answer_that_breaks_off_is_seen_to() -> None:
    reply = Reply(200, {"content-type": "a/b"}, (b"half",), "reset")
    async with gate(Upstream(reply)) as gateway, talk(gateway) as talking:
        await talking.send(request_of("GET", "/v1/files/f/content"))
        await talking.answer(head_only=True)
        assert not (await talking.rest()).endswith(b"0\r\n\r\n")


async def test_a_head_and_no_content() -> None:
    upstream = Upstream(Reply(200, {"content-length": "500"}, ()), Reply(204, {}, ()), Reply(304, {"etag": "a"}, ()))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(request_of("HEAD", "/v1/models"))
        assert (await talking.answer(head_only=True)).headers["content-length"] == "500"
        for status in (204, 304):
            await talking.send(request_of("DELETE", "/v1/things/1"))
            answer = await talking.answer()
            assert answer.status == status
            assert "content-length" not in answer.headers
            assert "transfer-encoding" not in answer.headers


async def test_who_goes_away_ends_what_passes() -> None:
    upstream = Upstream(Reply(200, {}, (b"a",), "stall"))
    async with gate(upstream) as gateway:
        async with talk(gateway) as talking:
            await talking.send(request_of("GET", "/v1/files/f/content"))
            await until(lambda: upstream.open == 1)
        await until(lambda: upstream.open == 0)


async def test_a_key_that_is_held() -> None:
    upstream = Upstream(json_reply(200, b"{}"))
    rules = Rules(token=TOKEN, holds_key=True)
    async with gate(upstream, rules, held=[(b"x-api-key", b"sk-held")]) as gateway, talk(gateway) as talking:
        for header in (f"X-Api-Key: {TOKEN}", f"Authorization: Bearer {TOKEN}", f"manystream-token: {TOKEN}"):
            for request in (
                request_of("GET", "/v1/models", header),
                request_of("POST", "/v1/messages", header, body=b'{"model":"claude-opus-5-5"}'),
            ):
                await talking.send(request)
                await talking.answer()
                sent = upstream.requests[-1].headers
                assert sent["x-api-key"] == "sk-held"
                assert "authorization" not in sent
                assert TOKEN not in str(sent.raw)
        await talking.send(request_of("GET", "/v1/models", "X-Api-Key: sk-other"))
        assert (await talking.answer()).status == 401
        await talking.send(request_of("GET", "/stats", f"X-Api-Key: {TOKEN}"))
        told = (await talking.answer()).body
    assert b"sk-" not in told
    assert TOKEN.encode() not in told


async def test_a_token_beside_the_caller_s_own_key() -> None:
    upstream = Upstream(json_reply(200, b"{}"))
    async with gate(upstream, Rules(token=TOKEN)) as gateway, talk(gateway) as talking:
        await talking.send(request_of("GET", "/v1/models", "X-Api-Key: sk-mine", f"manystream-token: {TOKEN}"))
        assert (await talking.answer()).status == 200
        await talking.send(request_of("GET", "/v1/models", "X-Api-Key: sk-mine"))
        assert (await talking.answer()).status == 401
    (sent,) = upstream.requests
    assert sent.headers["x-api-key"] == "sk-mine"
    assert "manystream-token" not in sent.headers


async def test_a_gateway_that_leads_to_itself() -> None:
    class Back(httpx2.AsyncBaseTransport):
        """Leads back to the gateway."""

        def __init__(self) -> None:
            self.gate: Gate
            self.count = 0

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            self.count += 1
            async with httpx2.AsyncClient(trust_env=False) as client:
                url = self.gate.url + request.url.raw_path.decode()
                headers = [header for header in request.headers.raw if header[0].lower() != b"host"]
                came = await client.request(request.method, url, headers=headers, content=await request.aread())
            return httpx2.Response(
                came.status_code, headers={"content-type": "application/json"}, stream=_Whole(came.content)
            )

    back = Back()
    async with gate(back, max_concurrency=5) as gateway, talk(gateway) as talking:  # pyright: ignore[reportArgumentType]
        back.gate = gateway
        for request in (
            request_of("GET", "/v1/models"),
            request_of("POST", "/v1/messages", "manystream-max-attempts: 1", body=b'{"stream":true}'),
        ):
            await talking.send(request)
            assert (await talking.answer()).status == 508
    assert back.count == 2
