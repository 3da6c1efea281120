"""What the gateway answers itself: health, figures and the page; and how it ends."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import anyio
import pytest
from tests.support.gateways import Answered, Gate, gate, message_request, request_of, talk, until
from tests.support.reference.streams import STREAMS
from tests.support.upstream import Reply, Upstream, stream_reply

from manystream import RetryPolicy

pytestmark = pytest.mark.anyio

TEXT = STREAMS["text"].body
BEGUN = TEXT[: TEXT.index(b"\n\n", TEXT.index(b"text_delta")) + 2]
ONCE = RetryPolicy(max_attempts=1)


async def test_the_figures() -> None:
    upstream = Upstream(stream_reply(TEXT), stream_reply(BEGUN, ending="reset"), stream_reply(TEXT, ending="stall"))
    async with gate(upstream, max_concurrency=1, retry=ONCE) as gateway, talk(gateway) as talking:
        await talking.send(message_request("manystream-group: live", stream=True))
        await talking.answer()
        await talking.send(message_request(stream=True))
        await talking.answer()
        async with talk(gateway) as running, talk(gateway) as waiting:
            upstream.replies[:] = [stream_reply(BEGUN, ending="stall")]
            await running.send(message_request(stream=True))
            await until(lambda: gateway.engine.stats().running == 1)
            await waiting.send(message_request("manystream-group: <b>x"))
            await until(lambda: gateway.engine.stats().waiting == 1)
            await talking.send(request_of("GET", "/stats"))
            told = (await talking.answer()).json
    assert told["requests"] == {"messages": 4, "passed": 0, "refused": 0}
    assert told["endings"] == {"complete": 1, "truncated": 1} or told["endings"] == {"complete": 1, "failed": 1}
    assert (told["running"], told["waiting"], told["connections"]) == (1, 1, 3)
    assert told["waits"][0]["group"] == "<b>x"
    assert told["tokens"]["out"] > 40
    assert told["callers"][0]["running"] == 2
    assert "key-1" not in str(told)
    assert "Hello" not in str(told)


async def test_the_page_allows_only_what_stands_in_it() -> None:
    async with gate(Upstream(stream_reply(TEXT))) as gateway, talk(gateway) as talking:
        await talking.send(request_of("GET", "/"))
        page = await talking.answer()
        await talking.send(request_of("HEAD", "/"))
        assert (await talking.answer(head_only=True)).headers["content-length"] == str(len(page.body))
        await talking.send(request_of("POST", "/stats"))
        assert (await talking.answer()).status == 405
    text = page.body.decode()
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    for element in ("script", "style"):
        (inner,) = re.findall(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert f"{element}-src 'sha256-{b64encode(sha256(inner.encode()).digest()).decode()}'" in policy
    assert "innerHTML" not in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text), "it loads nothing from elsewhere"


async def test_it_drains() -> None:
    upstream = Upstream(stream_reply(BEGUN, ending="stall"))
    async with gate(upstream) as gateway, talk(gateway) as idle, talk(gateway) as running:
        await running.send(message_request(stream=True))
        await running.until(b"text_delta")
        gateway.server.drain()
        assert await idle.rest() == b""
        async with talk(gateway) as late:
            await late.send(request_of("GET", "/health"))
            answer = await late.answer()
            assert (answer.status, answer.json, answer.headers["connection"]) == (503, {"status": "draining"}, "close")
        async with talk(gateway) as late:
            await late.send(message_request(stream=True))
            answer = await late.answer()
            assert (answer.status, answer.headers["x-should-retry"]) == (503, "true")
        with anyio.move_on_after(0.05) as scope:
            await gateway.server.wait_until_drained()
        assert scope.cancelled_caught
        assert gateway.server.running == 1
        await running.stream.aclose()
        with anyio.fail_after(10):
            await gateway.server.wait_until_drained()
    assert len(upstream.requests) == 1


async def test_what_is_broken_off_at_the_end_is_told() -> None:
    upstream = Upstream(stream_reply(BEGUN, ending="stall"), stream_reply(b"", ending="stall"))
    talks: list[bytes] = []
    async with anyio.create_task_group() as tasks:

        async def one(gateway: Gate, streamed: bool) -> None:
            async with talk(gateway) as talking:
                await talking.send(message_request(stream=streamed))
                talks.append(await talking.rest())

        async with gate(upstream) as gateway:
            tasks.start_soon(one, gateway, True)
            await until(lambda: upstream.open == 1)
            tasks.start_soon(one, gateway, False)
            await until(lambda: upstream.open == 2)
    begun, whole = sorted(talks, key=lambda data: b"text_delta" not in data)
    assert b"event: error" in begun
    assert b"the gateway shut down" in begun
    assert begun.endswith(b"0\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 503 ")
    assert b"the gateway shut down" in whole


async def test_an_answer_on_its_way_may_arrive() -> None:
    words = b"x" * 6_000_000
    body = TEXT.replace(b"Hello", words, 1)
    async with gate(Upstream(stream_reply(body))) as gateway, talk(gateway) as talking:
        await talking.send(message_request())
        await until(lambda: gateway.server.tally.endings == {"complete": 1})
        assert gateway.server.running == 1
        gateway.server.drain()
        with anyio.move_on_after(0.05) as scope:
            await gateway.server.wait_until_drained()
        assert scope.cancelled_caught
        answer = await talking.answer()
        assert len(answer.body) > len(words)
        with anyio.fail_after(10):
            await gateway.server.wait_until_drained()


async def test_what_passes_is_told_of_the_end_too() -> None:
    told: list[Answered] = []
    upstream = Upstream(Reply(200, {}, (), "headless"))
    async with anyio.create_task_group() as tasks, gate(upstream) as gateway:

        async def one(gateway: Gate) -> None:
            async with talk(gateway) as talking:
                await talking.send(request_of("GET", "/v1/models"))
                told.append(await talking.answer())

        tasks.start_soon(one, gateway)
        await until(lambda: len(upstream.requests) == 1)
    assert [answer.status for answer in told] == [503]
