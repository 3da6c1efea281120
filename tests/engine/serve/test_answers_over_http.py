"""Requests for a message over HTTP: the API's own bytes, retries unseen, endings that don't lie."""

from __future__ import annotations

from typing import Any

import anthropic
import anyio
import pytest
from tests.support.gateways import Gate, gate, message_request, request_of, talk, until
from tests.support.reference.streams import STREAMS, ReferenceStream
from tests.support.upstream import ASK, Reply, Upstream, events_in, json_reply, refusal, stream_reply

from manystream import Deadlines, Limits, RetryPolicy
from manystream.engine.prices import Price

pytestmark = pytest.mark.anyio

TEXT = STREAMS["text"].body
BEGUN = TEXT[: TEXT.index(b"\n\n", TEXT.index(b"text_delta")) + 2]
"""Up to its first content."""
ONCE = RetryPolicy(max_attempts=1)
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too much"}}\n\n'


def client_of(gate: Gate) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="key-1", base_url=gate.url, max_retries=0)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.name)
async def test_a_stream_is_the_api_s_own(stream: ReferenceStream) -> None:
    replies = [stream_reply(stream.body, size=size) for size in (None, 200, 7)]
    async with gate(Upstream(*replies)) as gateway, talk(gateway) as talking:
        for _ in replies:
            await talking.send(message_request(stream=True))
            answer = await talking.answer()
            if answer.status == 200:
                assert answer.headers["content-type"].startswith("text/event-stream")
                last = events_in(answer.body)[-1]
                assert b'"stop_reason":"' in answer.body or last.startswith(b"event: error")
                assert answer.body.startswith(stream.body) or not stream.comparable
            else:  # nothing had come that could be shown
                assert answer.json["type"] == "error"
            assert answer.status == 200 or b"_delta" not in stream.body or not stream.comparable
        assert gateway.engine.stats().running == 0


async def test_the_sdk_sees_what_it_sees_without_a_gateway() -> None:
    upstream = Upstream(stream_reply(TEXT, size=60))
    async with gate(upstream) as gateway, client_of(gateway) as sdk:
        client: Any = sdk
        async with client.messages.stream(**ASK) as stream:
            words = "".join([text async for text in stream.text_stream])
        message = await client.messages.create(**ASK)
        assert words == "".join(block.text for block in message.content if block.type == "text")
        assert message.usage == (await stream.get_final_message()).usage
        raw = await client.messages.with_raw_response.create(**ASK)
        assert raw.headers["manystream-attempts"] == "1"
    sent = upstream.requests[0]
    assert sent.headers["authorization"] == "Bearer key-1"
    assert sent.headers["via"].startswith("1.1 manystream-")
    assert sent.headers["host"] == "up"
    assert sent.headers["x-stainless-lang"] == "python"
    assert sent.url == "http://up/v1/messages"


async def test_attempts_that_fail_before_content_are_unseen() -> None:
    begun = stream_reply(b"".join(events_in(TEXT)[:2]), ending="reset")
    replies = [refusal(529, "overloaded_error"), refusal(429, "rate_limit_error"), begun, stream_reply(TEXT, size=100)]
    upstream = Upstream(*replies, *replies)
    async with gate(upstream) as gateway, talk(gateway) as talking:
        for streamed in (True, False):
            await talking.send(message_request(stream=streamed))
            answer = await talking.answer()
            assert answer.status == 200
            assert answer.headers["manystream-attempts"] == "4"
            assert not streamed or answer.body == TEXT
            assert streamed or answer.json["type"] == "message"
    assert len(upstream.requests) == 8


@pytest.mark.parametrize("streamed", [True, False])
async def test_refusals_are_the_api_s_own(streamed: bool) -> None:
    async with gate(Upstream(refusal(400, "invalid_request_error"))) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=streamed))
        answer = await talking.answer()
    assert answer.status == 400
    assert answer.json == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "no, thanks"},
        "request_id": "req_up",
    }
    assert answer.headers["x-should-retry"] == "false"


async def test_an_error_before_content_has_its_status() -> None:
    upstream = Upstream(stream_reply(b"".join(events_in(TEXT)[:2]) + OVERLOADED))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=True))
        answer = await talking.answer()
    assert (answer.status, answer.json["error"]["type"]) == (529, "overloaded_error")
    assert answer.headers["manystream-attempts"] == "4"


def cuts() -> list[Reply]:
    """A stream that is cut behind its first content, in any place, by a reset and by a clean end."""
    first = TEXT.index(b"text_delta")
    last = TEXT.index(b"event: message_stop")
    places = range(TEXT.index(b"\n\n", first) + 2, last, 37)
    return [stream_reply(TEXT[:at], size=50, ending=ending) for at in places for ending in ("clean", "reset")]


async def test_a_cut_is_never_a_normal_end() -> None:
    replies = cuts()
    async with gate(Upstream(*replies)) as gateway, client_of(gateway) as client, talk(gateway) as talking:
        whole = 0
        for reply in replies:
            await talking.send(message_request(stream=True))
            answer = await talking.answer()
            assert answer.status == 200
            *events, last = events_in(answer.body)
            assert TEXT.startswith(b"".join(events))
            if b'"stop_reason":"end_turn"' in b"".join(reply.pieces):  # the answer is there: only its end is missing
                whole += 1
            else:
                assert last.startswith(b"event: error\n"), last
        assert whole < len(replies) / 3
        for reply in replies[:: len(replies) // 8]:
            if b'"stop_reason":"end_turn"' in b"".join(reply.pieces):
                continue
            with pytest.raises(anthropic.APIError):
                async with await client.messages.create(**ASK, stream=True) as stream:
                    _ = [event async for event in stream]


async def test_answers_in_one_piece_are_made_anew() -> None:
    cut = stream_reply(BEGUN, ending="reset")
    async with gate(Upstream(cut, cut, stream_reply(TEXT))) as gateway, talk(gateway) as talking:
        await talking.send(message_request())
        answer = await talking.answer()
        assert (answer.status, answer.headers["manystream-attempts"]) == (200, "3")
    async with gate(Upstream(cut), retry=ONCE) as gateway, talk(gateway) as talking:
        await talking.send(message_request())
        answer = await talking.answer()
        assert (answer.status, answer.json["error"]["type"]) == (502, "api_error")
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("streamed", [True, False])
async def test_silence(streamed: bool) -> None:
    begun = stream_reply(BEGUN, ending="stall")
    late = Deadlines(silence=0.05)
    async with gate(Upstream(begun), retry=ONCE, deadlines=late) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=streamed))
        answer = await talking.answer()
    if streamed:
        assert answer.status == 200
        assert b'"type":"timeout_error"' in events_in(answer.body)[-1]
    else:
        assert (answer.status, answer.json["error"]["type"]) == (504, "timeout_error")


async def test_the_way_back_to_a_client_of_http_1_0() -> None:
    cut = stream_reply(TEXT[:-60], ending="reset")
    async with gate(Upstream(stream_reply(TEXT), cut), retry=ONCE) as gateway:
        for whole in (True, False):
            async with talk(gateway) as talking:
                await talking.send(message_request(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
                answer = await talking.answer()
            assert "transfer-encoding" not in answer.headers
            assert answer.headers["connection"] == "close"
            assert whole == (answer.body == TEXT)


async def test_labels_and_what_is_wrong_with_them() -> None:
    upstream = Upstream(stream_reply(TEXT))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request("manystream-group: live", "manystream-max-attempts: 2"))
        assert (await talking.answer()).status == 200
        await talking.send(message_request("manystream-priority: high"))
        answer = await talking.answer()
        assert answer.status == 400
        assert "manystream-priority is a whole number, not 'high'" in answer.json["error"]["message"]
    assert not [name for name in upstream.requests[0].headers if name.startswith("manystream")]
    assert len(upstream.requests) == 1


async def test_a_body_that_can_t_be_read_is_for_the_api() -> None:
    upstream = Upstream(refusal(400, "invalid_request_error"))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", body=b"{nonsense"))
        assert (await talking.answer()).status == 400
        assert upstream.requests[0].content == b"{nonsense"
    async with gate(upstream, spend_cap=1.0) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", body=b"{nonsense"))
        assert (await talking.answer()).status == 400
        assert len(upstream.requests) == 1, "what it would cost is not known"


async def test_a_full_queue() -> None:
    held = stream_reply(BEGUN, ending="stall")
    async with gate(Upstream(held), max_concurrency=1, max_queued=0) as gateway, talk(gateway) as first:
        await first.send(message_request(stream=True))
        await first.until(b"text_delta")
        async with talk(gateway) as second:
            await second.send(message_request(stream=True))
            answer = await second.answer()
    assert (answer.status, answer.json["error"]["type"]) == (529, "overloaded_error")


async def test_a_cap_is_for_each_key() -> None:
    upstream = Upstream(stream_reply(TEXT))
    prices = {"claude-opus-5-5": Price(1e-9, 1e6)}  # a dollar a token of output
    async with gate(upstream, spend_cap=5.0, prices=prices) as gateway, talk(gateway) as talking:
        statuses: list[int] = []
        for key in ("a", "a", "b"):
            await talking.send(message_request(stream=True, max_tokens=1).replace(b"key-1", key.encode()))
            answer = await talking.answer()
            statuses.append(answer.status)
        assert statuses == [200, 402, 200]
        await talking.send(request_of("GET", "/stats"))
        spent = sorted(caller["spent"] for caller in (await talking.answer()).json["callers"])
        assert spent[0] > 5
    assert len(upstream.requests) == 2


async def test_limits_are_for_each_key() -> None:
    async with gate(Upstream(stream_reply(TEXT)), limits=Limits(requests_per_minute=1)) as gateway:
        async with talk(gateway) as one:
            await one.send(message_request(stream=True))
            assert (await one.answer()).status == 200
            await one.send(message_request(stream=True))
            await until(lambda: gateway.engine.stats().waiting == 1)
            async with talk(gateway) as other:
                await other.send(message_request(stream=True).replace(b"key-1", b"key-2"))
                assert (await other.answer()).status == 200
            assert gateway.engine.stats().waiting == 1
        assert len(gateway.engine.stats().pools) == 2


async def test_redirects_are_not_handed_on() -> None:
    upstream = Upstream(Reply(307, {"location": "http://elsewhere/v1/messages"}, ()))
    async with gate(upstream, retry=ONCE) as gateway, talk(gateway) as talking:
        for streamed in (True, False):
            await talking.send(message_request(stream=streamed))
            answer = await talking.answer()
            assert answer.status == 502
            assert "redirects to http://elsewhere/v1/messages" in answer.json["error"]["message"]
            assert "location" not in answer.headers


@pytest.mark.parametrize(("streamed", "begun"), [(True, True), (True, False), (False, False)])
async def test_who_goes_away_stops_the_stream(streamed: bool, begun: bool) -> None:
    upstream = Upstream(stream_reply(BEGUN if begun else b"", ending="stall"))
    async with gate(upstream, max_concurrency=1) as gateway:
        async with talk(gateway) as talking, talk(gateway) as waiting:
            await talking.send(message_request(stream=streamed))
            await until(lambda: upstream.open == 1)
            if begun:
                await talking.until(b"text_delta")
            await waiting.send(message_request(stream=streamed))
            await until(lambda: gateway.engine.stats().waiting == 1)
            await waiting.stream.aclose()
            await until(lambda: gateway.engine.stats().waiting == 0)
        await until(lambda: gateway.engine.stats().running == 0 and upstream.open == 0)
        assert gateway.server.tally.endings == {"cancelled": 2}
        assert len(upstream.requests) == 1


async def test_a_client_that_does_not_read() -> None:
    delta = TEXT[TEXT.index(b"event: content_block_delta") : TEXT.index(b"event: content_block_stop")]
    many = TEXT.replace(delta, delta * (16_000_000 // len(delta)))
    upstream = Upstream(stream_reply(many, size=60_000))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=True))
        before = -1
        while upstream.read != before:
            before = upstream.read
            await anyio.sleep(0.2)
        assert upstream.read < len(many) / 2, "what is not read is not fetched"
        assert (await talking.answer()).body == many
        assert gateway.server.tally.endings == {"complete": 1}


async def test_json_answers_pass_with_their_headers() -> None:
    upstream = Upstream(json_reply(401, b'{"type":"error","error":{"type":"authentication_error","message":"who?"}}'))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request())
        answer = await talking.answer()
    assert (answer.status, answer.headers["request-id"]) == (401, "req_up")
