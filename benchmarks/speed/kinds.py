"""The kinds of client. Each is an async context manager that gives one function: `await ask(deltas, reader)` sends one
request, reads the answer to its end, and hands what comes to the reader."""

# pyright: basic, reportMissingImports=false
# The peers are in an extra, and what they give back is typed as a union of everything.

import json
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import attrs

__all__ = ["KINDS", "Ask", "Kind", "Reader", "ask_sdk", "look_at_bytes", "sdk_client"]

_MODEL = "claude-opus-5-5"
_MESSAGES: Any = [{"role": "user", "content": "hi"}]
_STAMP = re.compile(rb'"text":"(\d+) "')


class Reader(Protocol):
    """Who is told how late a delta is."""

    def arrived(self, late: int) -> None:
        """A delta with a stamp has come, `late` nanoseconds after it was sent."""
        ...


Ask = Callable[[int, Reader], Coroutine[Any, Any, None]]


@attrs.frozen
class Kind:
    """A kind of client. `connect` is given the base URL, the certificate authority's file if it is to be trusted, and
    how many streams there will be at a time."""

    name: str
    connect: Callable[[str, str | None, int], AbstractAsyncContextManager[Ask]]
    backend: str = "asyncio"
    uvloop: bool = False
    needs: tuple[str, ...] = ()
    """The modules without which it is left out."""
    guess: int = 100
    """About half of the streams it may carry: where the search begins."""

    def missing(self) -> list[str]:
        """The modules it needs that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def _look_at_text(text: str, reader: Reader) -> None:
    now = time.monotonic_ns()
    for word in text.split():
        if word.isdigit():
            reader.arrived(now - int(word))


def look_at_bytes(data: bytes, reader: Reader) -> None:
    """Tells the reader how late the deltas are whose stamps are in a piece of a body."""
    now = time.monotonic_ns()
    for stamp in _STAMP.findall(data):
        reader.arrived(now - int(stamp))


@asynccontextmanager
async def _bytes_aiohttp(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    """The floor: the bytes are read and searched for stamps, and nothing is decoded."""
    import aiohttp

    trusted = ssl.create_default_context(cafile=authority)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trusted), timeout=aiohttp.ClientTimeout(total=None)
    ) as client:

        async def ask(deltas: int, reader: Reader) -> None:
            body = {"model": _MODEL, "max_tokens": deltas, "messages": _MESSAGES, "stream": True}
            async with client.post(
                f"{url}/v1/messages", data=json.dumps(body), headers={"content-type": "application/json"}
            ) as response:
                async for data in response.content.iter_any():
                    look_at_bytes(data, reader)

        yield ask


@asynccontextmanager
async def _manystream(url: str, authority: str | None, streams: int, *, http2: bool = False) -> AsyncGenerator[Ask]:
    """With everything on that is on by default. The authority is found by the environment's `SSL_CERT_FILE`."""
    from manystream import AnthropicModel, Engine, PartDeltaEvent, StreamRequest, TextPartDelta

    model = AnthropicModel(_MODEL, api_key="none", base_url=url, http2=http2)
    async with Engine(model, max_concurrency=streams) as engine:

        async def ask(deltas: int, reader: Reader) -> None:
            request = StreamRequest({"max_tokens": deltas, "messages": _MESSAGES})
            async with engine.stream(request) as stream:
                async for event in stream:
                    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        _look_at_text(event.delta.content_delta, reader)

        yield ask


_http2 = partial(_manystream, http2=True)


def sdk_client(url: str, *, aiohttp: bool = False, http2: bool = False) -> Any:
    """The SDK's own client, whose connections no limit holds back."""
    import anthropic
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    make = anthropic.DefaultAioHttpClient if aiohttp else anthropic.DefaultAsyncHttpxClient
    options: Any = {"http2": True} if http2 else {}
    return anthropic.AsyncAnthropic(api_key="none", base_url=url, http_client=make(limits=limits, **options))


async def ask_sdk(client: Any, deltas: int, reader: Reader) -> None:
    """Asks by a client of the SDK's."""
    stream = await client.messages.create(model=_MODEL, max_tokens=deltas, messages=_MESSAGES, stream=True)
    async for event in stream:
        if event.type == "content_block_delta":
            _look_at_text(event.delta.text, reader)


@asynccontextmanager
async def _sdk(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with sdk_client(url) as client:
        yield lambda deltas, reader: ask_sdk(client, deltas, reader)


@asynccontextmanager
async def _sdk_http2(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with sdk_client(url, http2=True) as client:
        yield lambda deltas, reader: ask_sdk(client, deltas, reader)


@asynccontextmanager
async def _sdk_aiohttp(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with sdk_client(url, aiohttp=True) as client:
        yield lambda deltas, reader: ask_sdk(client, deltas, reader)


@asynccontextmanager
async def _pydantic_ai(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import ModelRequest, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    async with sdk_client(url) as client:
        model = AnthropicModel(_MODEL, provider=AnthropicProvider(anthropic_client=client))
        prompt = [ModelRequest.user_text_prompt("hi")]

        async def ask(deltas: int, reader: Reader) -> None:
            async with model_request_stream(model, prompt, model_settings={"max_tokens": deltas}) as stream:
                async for event in stream:
                    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                        _look_at_text(event.delta.content_delta, reader)
                    elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                        _look_at_text(event.part.content, reader)  # a part begins with its first text

        yield ask


_ALL = (
    Kind("bytes-aiohttp", _bytes_aiohttp, needs=("aiohttp",), guess=600),
    Kind("manystream", _manystream, guess=500),
    Kind("manystream-uvloop", _manystream, uvloop=True, needs=("uvloop",), guess=600),
    Kind("manystream-trio", _manystream, backend="trio", needs=("trio",), guess=300),
    Kind("sdk", _sdk, guess=80),
    Kind("sdk-aiohttp", _sdk_aiohttp, needs=("aiohttp",), guess=200),
    Kind("sdk-trio", _sdk, backend="trio", needs=("trio",), guess=80),
    Kind("pydantic-ai", _pydantic_ai, needs=("pydantic_ai",), guess=60),
    Kind("manystream-http2", _http2, needs=("trustme",)),
    Kind("manystream-uvloop-http2", _http2, uvloop=True, needs=("uvloop", "trustme")),
    Kind("manystream-trio-http2", _http2, backend="trio", needs=("trio", "trustme")),
    Kind("sdk-http2", _sdk_http2, needs=("trustme",)),
)
KINDS = {kind.name: kind for kind in _ALL}
"""By name, the floor first."""
