"""A Messages API in memory for the gateway's tests: it serves what it is told, piece by piece, and keeps what came."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

import anthropic
import anyio
import attrs
import httpx2

from manystream import AnthropicModel, Engine, RetryPolicy

__all__ = [
    "ASK",
    "AT_ONCE",
    "Reply",
    "Upstream",
    "asking",
    "engine_over",
    "events_in",
    "json_reply",
    "plain_client",
    "refusal",
    "stream_reply",
]

ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hello"}],
}
AT_ONCE = RetryPolicy(base_delay=1e-9)


def asking(**more: Any) -> dict[str, Any]:
    """`ASK` with other parameters."""
    return {**ASK, **more}


@attrs.frozen
class Reply:
    """An answer. `ending` is what follows the last piece; a `stall` never ends. With `headless` not even the head
    comes, and with `refused` there is no connection."""

    status: int
    headers: Mapping[str, str]
    pieces: tuple[bytes, ...]
    ending: Literal["clean", "reset", "stall", "refused", "headless"] = "clean"


def stream_reply(
    body: bytes, *, size: int | None = None, ending: Literal["clean", "reset", "stall"] = "clean"
) -> Reply:
    """A stream, in pieces of `size` bytes, or as one."""
    step = size or max(1, len(body))
    pieces = tuple(body[at : at + step] for at in range(0, len(body), step))
    return Reply(200, {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_up"}, pieces, ending)


def json_reply(status: int, body: bytes, **headers: str) -> Reply:
    """A body of JSON."""
    return Reply(status, {"content-type": "application/json", "request-id": "req_up", **headers}, (body,))


def refusal(status: int, kind: str, **headers: str) -> Reply:
    """An error of the API's."""
    body = b'{"type":"error","error":{"type":"%b","message":"no, thanks"},"request_id":"req_up"}' % kind.encode()
    return json_reply(status, body, **headers)


def events_in(body: bytes) -> list[bytes]:
    """The events of a body, each with its blank line."""
    return [event + b"\n\n" for event in body.split(b"\n\n") if event]


class Upstream(httpx2.AsyncBaseTransport):
    """Serves the replies in their order; the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[httpx2.Request] = []
        self.open = 0
        """How many responses are open."""
        self.read = 0
        """How many bytes of bodies were read from it."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        await anyio.lowlevel.checkpoint()
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.ending == "refused":
            raise httpx2.ConnectError("nobody is there")
        if reply.ending == "headless":
            await anyio.sleep_forever()
        return httpx2.Response(reply.status, headers=reply.headers, stream=_Body(reply, self))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, reply: Reply, upstream: Upstream) -> None:
        self._reply = reply
        self._upstream = upstream
        self._open = True
        upstream.open += 1

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._reply.pieces:
            await anyio.lowlevel.checkpoint()
            self._upstream.read += len(piece)
            yield piece
        if self._reply.ending == "reset":
            raise httpx2.ReadError("the line broke")
        if self._reply.ending == "stall":
            await anyio.sleep_forever()

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._upstream.open -= 1


def engine_over(upstream: Upstream, **options: Any) -> Engine:
    """An engine whose requests `upstream` answers, and which hardly waits before it tries again."""
    options.setdefault("retry", AT_ONCE)
    client = httpx2.AsyncClient(transport=upstream)
    return Engine(AnthropicModel("claude-opus-5-5", api_key="key", base_url="http://up", http_client=client), **options)


def plain_client(replies: Iterable[Reply]) -> anthropic.AsyncAnthropic:
    """The SDK's own client, which is served the same."""
    client = httpx2.AsyncClient(transport=Upstream(*replies))
    return anthropic.AsyncAnthropic(api_key="key", base_url="http://up", http_client=client, max_retries=0)
