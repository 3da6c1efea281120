"""Streamed answers under the SDK's asynchronous client: byte for byte the API's own, retries unseen, endings true."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from tests.support.reference.streams import STREAMS, ReferenceStream, recordings
from tests.support.upstream import (
    ASK,
    Reply,
    Upstream,
    engine_over,
    events_in,
    plain_client,
    refusal,
    stream_reply,
)

from manystream import AnswerFailed, Deadlines, StreamResult

pytestmark = pytest.mark.anyio

CORPUS = [*STREAMS.values(), *recordings()]
TEXT = STREAMS["text"].body
BLANK_LINE = b"\n\n"  # which a last event gets that has none, or else its reader would pass it over


async def raw_bytes(client: Any, *, beta: bool = False) -> tuple[bytes, Exception | None]:
    """The bytes of a streamed answer, and what was raised at their end."""
    messages = client.beta.messages if beta else client.messages
    got: list[bytes] = []
    try:
        async with messages.with_streaming_response.create(**ASK, stream=True) as response:
            async for piece in response.http_response.aiter_raw():
                got.append(piece)  # noqa: PERF401 - what came before an error is kept
    except anthropic.APIError as exc:
        return b"".join(got), exc
    return b"".join(got), None


@pytest.mark.parametrize("stream", CORPUS, ids=lambda stream: stream.name)
async def test_the_bytes_are_the_api_s_own_however_they_are_cut(stream: ReferenceStream) -> None:
    body = stream.body
    ended: list[StreamResult] = []
    replies = [stream_reply(body, size=size) for size in (None, 997, *([1] if len(body) < 4_000 else []))]
    assert await raw_bytes(plain_client(replies), beta=stream.beta) == (body, None)
    seen: set[tuple[bytes, str]] = set()
    async with engine_over(Upstream(*replies)) as engine:
        client: Any = engine.anthropic_client(on_end=ended.append, max_retries=0)
        for _ in replies:
            got, error = await raw_bytes(client, beta=stream.beta)
            # How much of what follows the answer's end has come when reading stops is a matter of time.
            seen.add((got.partition(b'"message_stop"')[0], type(error).__name__))
            handed_on = got.removesuffix(BLANK_LINE) if len(got) > len(body) else got
            assert body.startswith(handed_on)
            if ended[-1].state == "complete":
                assert error is None
                assert handed_on == body or not stream.comparable
            else:
                assert isinstance(error, anthropic.APIError) or b"event: error" in got
    assert len(ended) == len(replies)
    assert len(seen) == 1, "the cuts are seen"


async def test_the_events_are_those_of_the_plain_client() -> None:
    reply = stream_reply(TEXT, size=50)
    plain = [event async for event in await plain_client([reply]).messages.create(**ASK, stream=True)]
    async with engine_over(Upstream(reply)) as engine:
        client: Any = engine.anthropic_client()
        assert isinstance(client, anthropic.AsyncAnthropic)
        stream = await client.messages.create(**ASK, stream=True)
        events = [event async for event in stream]
        headers = stream.response.headers
    assert events == plain
    assert headers["request-id"] == "req_up"
    assert headers["manystream-attempts"] == "1"
    assert headers["manystream-stream-id"].startswith("stream_")


async def test_attempts_that_fail_before_content_are_unseen() -> None:
    begun = b"".join(events_in(TEXT)[:2])
    replies = [
        refusal(529, "overloaded_error"),
        refusal(429, "rate_limit_error"),
        stream_reply(begun, ending="reset"),
        stream_reply(TEXT, size=100),
    ]
    upstream = Upstream(*replies)
    async with engine_over(upstream) as engine:
        stream = await engine.anthropic_client().messages.create(**ASK, stream=True)
        assert stream.response.headers["manystream-attempts"] == "4"
        got = b"".join([piece async for piece in stream.response.aiter_raw()])
    assert got == TEXT
    assert len(upstream.requests) == 4
    assert len({request.content for request in upstream.requests}) == 1


ERROR = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too much"}}\n\n'


async def test_an_error_in_the_stream_before_content_is_an_error_with_its_status() -> None:
    upstream = Upstream(stream_reply(b"".join(events_in(TEXT)[:2]) + ERROR))
    async with engine_over(upstream) as engine:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await engine.anthropic_client().messages.create(**ASK, stream=True)
    assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["manystream-attempts"] == "4"
    assert len(upstream.requests) == 4


async def test_an_error_in_the_stream_after_content_is_the_api_s_own_event() -> None:
    body = b"".join(events_in(TEXT)[:4]) + ERROR
    async with engine_over(Upstream(stream_reply(body))) as engine:
        got, error = await raw_bytes(engine.anthropic_client())
        assert (got, error) == (body, None)
        with pytest.raises(anthropic.APIStatusError, match="too much"):
            [event async for event in await engine.anthropic_client().messages.create(**ASK, stream=True)]


@pytest.mark.parametrize("ending", ["clean", "reset"])
async def test_a_cut_anywhere_is_never_a_normal_end(ending: Any) -> None:
    content = TEXT.index(b"content_block_delta")
    last_word = TEXT.index(b"event: message_stop")  # the answer is whole before it
    for cut in range(1, last_word, 13):
        upstream = Upstream(stream_reply(TEXT[:cut], ending=ending))
        async with engine_over(upstream) as engine:
            client: Any = engine.anthropic_client()
            got = b""
            with pytest.raises(AnswerFailed) as caught:
                stream = await client.messages.create(**ASK, stream=True)
                async for piece in stream.response.aiter_raw():
                    got += piece
        assert isinstance(caught.value, anthropic.APIConnectionError)
        assert caught.value.result.state == "truncated"
        whole = [event.partition(b"data: ")[2] for event in got.strip().split(BLANK_LINE) if event]
        assert all(map(json.loads, whole))
        assert not got or got.endswith(BLANK_LINE)
        assert TEXT.startswith((got, got.removesuffix(BLANK_LINE)))
        assert len(upstream.requests) == (1 if got else 4), cut
        assert got or cut < content + 200


async def test_nothing_of_a_malformed_event_is_handed_on() -> None:
    before = b"".join(events_in(TEXT)[:4])
    body = before + b'event: content_block_delta\ndata: {"type":"content_block_delta","index":\n\n' + TEXT
    for size in (None, 10):
        async with engine_over(Upstream(stream_reply(body, size=size))) as engine:
            got, error = await raw_bytes(engine.anthropic_client())
        assert got == before
        assert isinstance(error, AnswerFailed)
        assert error.result.error is not None
        assert error.result.error.type == "protocol_error"


async def test_what_follows_the_answer_is_handed_on() -> None:
    for more in (b": a comment\n\n", b"data: [DONE]\n\n"):
        for size in (None, 5):
            async with engine_over(Upstream(stream_reply(TEXT + more, size=size))) as engine:
                assert await raw_bytes(engine.anthropic_client()) == (TEXT + more, None)


async def test_a_whole_message_where_a_stream_was_asked_for_is_a_stream() -> None:
    body = (
        b'{"type":"message","id":"m","role":"assistant","model":"claude-opus-5-5","content":[{"type":"text","text":'
        b'"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
    )
    reply = Reply(200, {"content-type": "application/json", "content-length": str(len(body))}, (body,))
    async with engine_over(Upstream(reply)) as engine, engine.anthropic_client().messages.stream(**ASK) as stream:
        assert await stream.get_final_text() == "Hi"


async def test_the_request_goes_on_as_it_is() -> None:
    upstream = Upstream(stream_reply(TEXT))
    extra = {"x-mine": "1", "manystream-group": "live", "anthropic-beta": "one-2026-01-01"}
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        async with client.messages.stream(**ASK, extra_headers=extra, extra_body={"newer": {"than": "we"}}) as stream:
            await stream.until_done()
    plain = Upstream(stream_reply(TEXT))
    sdk = anthropic.AsyncAnthropic(
        api_key="key",
        base_url="http://up",
        http_client=httpx2.AsyncClient(transport=plain),
        max_retries=0,
        open_telemetry=False,  # as ours: the engine tells of a request, and no header of it goes on
    )
    async with sdk.messages.stream(**ASK, extra_headers=extra, extra_body={"newer": {"than": "we"}}) as stream:
        await stream.until_done()
    ours, theirs = upstream.requests[0], plain.requests[0]
    assert ours.content == theirs.content
    assert ours.url == theirs.url
    apart = {"manystream-group", "accept-encoding", "x-stainless-read-timeout", "x-stainless-timeout", "connection"}
    assert {name: value for name, value in ours.headers.items() if name not in apart} == {
        name: value for name, value in theirs.headers.items() if name not in apart
    }
    assert "manystream-group" not in ours.headers
    assert ours.headers["accept-encoding"] == "identity"


async def test_a_parameter_that_is_wrong_is_judged_by_the_api() -> None:
    upstream = Upstream(refusal(400, "invalid_request_error"))
    async with engine_over(upstream) as engine:
        with pytest.raises(anthropic.BadRequestError, match="no, thanks"):
            await engine.anthropic_client().messages.create(**ASK, stream=True, extra_body={"max_token": 5})
    assert b'"max_token"' in upstream.requests[0].content


async def test_the_engine_s_own_requests_share_the_pool() -> None:
    async with engine_over(Upstream(stream_reply(TEXT)), deadlines=Deadlines(total=60)) as engine:
        await engine.submit("Hello").wait()
        await raw_bytes(engine.anthropic_client())
        assert len(engine.stats().pools) == 1
