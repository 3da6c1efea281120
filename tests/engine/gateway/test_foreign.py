"""Foreign requests, read for the engine: what is sent on, what is known of them, and what can't be read."""

import gzip
import json
import zlib
from typing import Any

import httpx2
import pytest
from tests.support.reference.streams import STREAMS
from tests.support.upstream import ASK, Upstream, engine_over, refusal, stream_reply

from manystream import Deadlines, RetryPolicy, StreamResult
from manystream.engine.gateway import Answer, Foreign, Gateway, Transit, is_messages
from manystream.engine.gateway.foreign import Incoming, read
from manystream.engine.gateway.labels import Labels

URL = httpx2.URL("http://up/base/v1/messages?beta=true")
TEXT = STREAMS["text"].body


def incoming(body: bytes, *headers: tuple[bytes, bytes], **timeouts: float | None) -> Incoming:
    foreign = Foreign("POST", URL, headers, body, timeouts)
    return read(foreign, Labels(), Deadlines(total=99), RetryPolicy(base_delay=3))


def test_which_requests_are_run() -> None:
    assert is_messages("POST", "/v1/messages")
    assert is_messages("POST", "/some/base/v1/messages")
    assert not is_messages("GET", "/v1/messages")
    assert not is_messages("POST", "/v1/messages/count_tokens")
    assert not is_messages("POST", "/v1/messages/batches")


def test_a_stream_s_bytes_are_sent_as_they_came() -> None:
    body = b' {"stream" : true, "model":"m",\n "messages":[],"max_tokens":1e0,"more":{"b":1,"a":2}}'
    got = incoming(body)
    assert got.body is body
    assert got.wants_stream
    assert (got.request.recovery, got.request.extra_body) == ("fail", {"more": {"b": 1, "a": 2}})
    assert str(got.base_url) == "http://up/base/"


@pytest.mark.parametrize("stream", ["", ',"stream":false', ',"stream":null'])
def test_what_is_not_streamed_becomes_a_stream_and_keeps_its_other_bytes(stream: str) -> None:
    messages = '[{"role": "user",  "content": "\\u00e9 \\ud83d\\ude00"}]'
    got = incoming(f'{{"model":"m","messages":{messages},"max_tokens":1.50{stream}}}'.encode())
    assert not got.wants_stream
    assert got.request.recovery == "restart"
    assert json.loads(got.body)["stream"] is True
    assert messages.encode() in got.body
    assert b"1.50" in got.body


def test_half_of_a_surrogate_pair_is_sent_on() -> None:
    got = incoming(rb'{"model":"m","messages":[{"role":"user","content":"\ud83d"}],"max_tokens":1}')
    assert not got.wants_stream
    assert json.loads(got.body)["messages"][0]["content"] == "\ud83d"


def test_headers_of_the_connection_and_of_ours_stay_here() -> None:
    headers = [
        (b"Host", b"127.0.0.1"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Accept-Encoding", b"br"),
        (b"Manystream-Group", b"g"),
        (b"X-Api-Key", b"secret"),
        (b"anthropic-beta", b"a-1, b-2"),
        (b"anthropic-beta", b"c-3"),
    ]
    got = incoming(b"{}", *headers, read=5.0)
    assert got.headers == [
        (b"X-Api-Key", b"secret"),
        (b"anthropic-beta", b"a-1, b-2"),
        (b"anthropic-beta", b"c-3"),
        (b"accept-encoding", b"identity"),
    ]
    assert got.request.betas == ("a-1", "b-2", "c-3")
    assert (got.request.group, got.key) == ("g", "secret")
    assert got.request.deadlines == Deadlines(total=99, silence=5.0)
    assert "secret" not in repr(got)


def test_attempts_are_those_of_the_engine_s_policy() -> None:
    got = incoming(b"{}", (b"manystream-max-attempts", b"7"))
    assert got.request.retry == RetryPolicy(base_delay=3, max_attempts=7)


@pytest.mark.parametrize(("coding", "encode"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_a_compressed_body_is_read(coding: bytes, encode: Any) -> None:
    body = json.dumps({**ASK, "stream": True}).encode()
    got = incoming(encode(body), (b"content-encoding", coding))
    assert got.request.params["messages"] == ASK["messages"]
    assert got.body == encode(body)
    assert (b"content-encoding", coding) in got.headers
    got = incoming(encode(json.dumps(ASK).encode()), (b"content-encoding", coding))
    assert json.loads(got.body) == {**ASK, "stream": True}
    assert (b"content-encoding", coding) not in got.headers


UNREADABLE = {
    "no JSON": (b"{", ()),
    "no object": (b"[1]", ()),
    "nothing": (b"", ()),
    "no UTF-8": (b'{"model": "\xff"}', ()),
    "an unknown coding": (b"1234", ((b"content-encoding", b"br"),)),
    "a broken gzip": (b"1234", ((b"content-encoding", b"gzip"),)),
    "a bomb": (gzip.compress(b" " * (65 << 20)), ((b"content-encoding", b"gzip"),)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_can_t_be_read_takes_a_slot_and_is_judged_by_the_api(name: str) -> None:
    body, headers = UNREADABLE[name]
    upstream = Upstream(refusal(400, "invalid_request_error"))
    client = httpx2.AsyncClient(transport=upstream)
    ended: list[StreamResult] = []
    async with engine_over(upstream) as engine:
        transit = Gateway(engine).begin(
            Foreign("POST", URL, headers, body),
            lambda request: client.send(request, stream=True),
            on_end=ended.append,
        )
        assert isinstance(transit, Transit)
        await transit.actor.closed.wait()
        assert transit.over
        answer = transit.answer
    assert upstream.requests[0].content == body
    assert isinstance(answer, Answer)
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (400, "no, thanks")
    assert [result.state for result in ended] == ["failed"]


@pytest.mark.anyio
async def test_under_a_spend_cap_what_can_t_be_read_is_refused() -> None:
    upstream = Upstream(stream_reply(TEXT))
    async with engine_over(upstream, spend_cap=5) as engine:
        answer = Gateway(engine).begin(Foreign("POST", URL, (), b"{"), upstream.handle_async_request)
        assert isinstance(answer, Answer)
        assert answer.status == 400
    assert not upstream.requests


@pytest.mark.anyio
async def test_a_server_s_way_through_a_transit() -> None:
    """As a server would: told of news, it takes what there is, and never waits."""
    upstream = Upstream(refusal(529, "overloaded_error"), stream_reply(TEXT, size=40))
    client = httpx2.AsyncClient(transport=upstream)
    sent: list[bytes] = []
    body = json.dumps({**ASK, "stream": True}).encode()
    async with engine_over(upstream) as engine:
        transit = Gateway(engine).begin(
            Foreign("POST", URL, ((b"x-api-key", b"k"),), body), lambda request: client.send(request, stream=True)
        )
        assert isinstance(transit, Transit)

        def flush() -> None:
            if transit.streams:
                if not sent:
                    sent.append(dict(transit.head)[b"manystream-attempts"])
                while data := transit.take():
                    sent.append(data)

        transit.news = flush
        await transit.actor.closed.wait()
        assert (transit.over, transit.broken) == (True, None)
    assert sent[0] == b"2"
    assert b"".join(sent[1:]) == TEXT
    assert len(sent) > 3, "it came piece by piece"
