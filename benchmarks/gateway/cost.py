"""The kinds of client whose cost is compared: the SDK's own, plain and with the engine below, its raw bytes likewise,
and the engine's own stream.
"""

# pyright: basic

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ..speed.goals import Goal
from ..speed.kinds import KINDS as OF_SPEED
from ..speed.kinds import Ask, Kind, Reader, ask_sdk, look_at_bytes, sdk_client

__all__ = ["GOALS", "KINDS", "MODES"]

_MODEL = "claude-opus-5-5"
_MESSAGES: Any = [{"role": "user", "content": "hi"}]
MODES = ("steady", "burst", "requests")
"""As `benchmarks speed` has them: an event at a time, as fast as they are read, and answers of one delta."""


async def _ask_raw(client: Any, deltas: int, reader: Reader) -> None:
    asking = client.messages.with_streaming_response.create(
        model=_MODEL, max_tokens=deltas, messages=_MESSAGES, stream=True
    )
    async with asking as response:
        async for data in response.http_response.aiter_raw():
            look_at_bytes(data, reader)


@asynccontextmanager
async def _over_engine(url: str, streams: int) -> AsyncGenerator[Any]:
    from manystream import AnthropicModel, Engine

    async with Engine(AnthropicModel(_MODEL, api_key="none", base_url=url), max_concurrency=streams) as engine:
        yield engine.anthropic_client()


@asynccontextmanager
async def _sdk_over_engine(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with _over_engine(url, streams) as client:
        yield lambda deltas, reader: ask_sdk(client, deltas, reader)


@asynccontextmanager
async def _raw(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with sdk_client(url) as client:
        yield lambda deltas, reader: _ask_raw(client, deltas, reader)


@asynccontextmanager
async def _raw_over_engine(url: str, authority: str | None, streams: int) -> AsyncGenerator[Ask]:
    async with _over_engine(url, streams) as client:
        yield lambda deltas, reader: _ask_raw(client, deltas, reader)


KINDS: Mapping[str, Kind] = {
    "sdk": OF_SPEED["sdk"],
    "sdk-over-engine": Kind("sdk-over-engine", _sdk_over_engine),
    "raw": Kind("raw", _raw),
    "raw-over-engine": Kind("raw-over-engine", _raw_over_engine),
    "manystream": OF_SPEED["manystream"],
}
"""By name."""

_EVENT, _REQUEST = "cpu_us_per_event", "cpu_ms_per_request"
GOALS = (
    Goal("SDK over the engine, an event at a time", "steady", "sdk-over-engine", _EVENT, "at most", 0.75, "sdk"),
    Goal("SDK over the engine, in a burst", "burst", "sdk-over-engine", _EVENT, "at most", 1.0, "sdk"),
    Goal("raw bytes over the engine, an event at a time", "steady", "raw-over-engine", _EVENT, "at most", 0.75, "raw"),
    Goal("raw bytes over the engine's own stream", "steady", "raw-over-engine", _EVENT, "at most", 1.1, "manystream"),
    Goal("a request over the engine", "requests", "sdk-over-engine", _REQUEST, "at most", 1.0, "sdk"),
)
