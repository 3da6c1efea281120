"""The service of a rehearsal: what the API would do with each request, in virtual time, with nothing sent.

The limits are the simulator's own token buckets, one set for each pool. How long an answer is and how fast it comes is
decided before; the service decides who is let in, what is read from the prompt cache, and who is refused by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from random import Random

import anyio
import attrs

from ...actors.message import EMPTY
from ...actors.response import ResponseFailed, Sink
from ...actors.stream import ErrorInfo
from ..admission import Limits
from ..admission.prompt import Prefix
from ..simulator.service.conditions import ServiceLimits
from ..simulator.service.errors import RefusalError
from ..simulator.service.limits import RateLimits

__all__ = ["ExpectedAnswer", "ModelledService"]

_STEPS = 12  # in which an answer is produced: the output limit counts tokens as they come
_LONG_STEP = 10.0  # seconds, after which the service shows that it is alive
_LONGEST_STEP = 60.0  # below the deadline for silence
_ALL = "all"  # every pool has limits of its own, so that none needs another name within them
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@attrs.frozen(kw_only=True)
class ExpectedAnswer:
    """What is expected of one request and its answer."""

    pool: str
    input_tokens: int
    """All of it, whether cached or not."""
    prefixes: tuple[Prefix, ...] = ()
    """The parts of the prompt that the API will cache, the shortest first."""
    output_tokens: int
    ttft: float
    """Seconds from sending to the first content."""
    seconds: float
    """From the first content to the end."""


class ModelledService:
    """Answers requests as the API would, on the event loop's clock. `overload` is the share of attempts that are
    refused by chance."""

    def __init__(self, limits: Mapping[str, Limits], *, overload: float = 0.0, seed: int = 0) -> None:
        self._limits = {pool: RateLimits(_service_limits(limit)) for pool, limit in limits.items()}
        self._overload = overload
        self._random = Random(seed)
        self._cached: dict[bytes, float] = {}  # until when
        self.refused = 0
        """Attempts that were refused so far."""
        self.running = 0
        """Requests that were let in, and whose answers are not whole."""

    async def send(self, answer: ExpectedAnswer) -> ModelledResponse:
        """Returns the open response once its head would have come; raises `ResponseFailed` for a refusal."""
        now = anyio.current_time()
        read = max((one.tokens for one in answer.prefixes if self._cached.get(one.key, -1.0) > now), default=0)
        written = max(0, answer.prefixes[-1].tokens - read) if answer.prefixes else 0
        plain = max(0, answer.input_tokens - read - written)
        limits = self._limits.get(answer.pool)
        headers: Mapping[str, str] = EMPTY
        if limits is not None:
            try:
                limits.check(_ALL, plain + written, now)
            except RefusalError as refusal:
                raise self._refusal(refusal, limits, now) from None
        if self._random.random() < self._overload:
            raise self._refusal(RefusalError(529, "Overloaded"), limits, now)
        self.running += 1
        if limits is not None:
            limits.let_in(_ALL, plain + written, now)
            headers = _headers(limits, now)
        for one in answer.prefixes:
            if self._cached.get(one.key, -1.0) > now:
                self._cached[one.key] = now + one.ttl
        await anyio.sleep(answer.ttft)
        for one in answer.prefixes:
            self._cached[one.key] = anyio.current_time() + one.ttl
        usage = f'"input_tokens":{plain},"cache_creation_input_tokens":{written},"cache_read_input_tokens":{read}'
        return ModelledResponse(answer, usage, headers, self._produced(limits))

    def use_up(self) -> dict[tuple[str, str], float]:
        """Empties all buckets, as they are when requests that are not rehearsed have been answered. Returns what they
        held, by pool and limit."""
        now = anyio.current_time()
        return {
            (pool, name): left
            for pool, limits in self._limits.items()
            for name, left in limits.use_up(_ALL, now).items()
        }

    def _refusal(self, refusal: RefusalError, limits: RateLimits | None, now: float) -> ResponseFailed:
        self.refused += 1
        return ResponseFailed(
            ErrorInfo(
                "overloaded_error" if refusal.status == 529 else "rate_limit_error",
                refusal.message,
                refusal.status,
                retryable=True,
                retry_after=refusal.retry_after,
                rate_limits=EMPTY if limits is None else _headers(limits, now),
            )
        )

    def _produced(self, limits: RateLimits | None) -> Callable[[int, bool], None]:
        def produced(tokens: int, whole: bool) -> None:
            self.running -= whole
            if limits is not None:
                limits.produced(_ALL, tokens, anyio.current_time())

        return produced


class ModelledResponse:
    """An open response of the modelled service: a stream of as few events as show when it began, goes on and ends."""

    request_id = None

    def __init__(
        self, answer: ExpectedAnswer, usage: str, headers: Mapping[str, str], produced: Callable[[int, bool], None]
    ) -> None:
        self.rate_limits = headers
        self._steps = _steps(answer, usage, produced)

    async def pump(self, sink: Sink) -> bool:
        for step in self._steps:
            if not isinstance(step, bytes):
                await anyio.sleep(step)
            elif not sink(step):
                return False
        return True

    async def aclose(self) -> None:
        pass


def _steps(answer: ExpectedAnswer, usage: str, produced: Callable[[int, bool], None]) -> Iterator[bytes | float]:
    """What is sent, and how long the pauses between are."""
    yield (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg","type":"message",'
        b'"role":"assistant","model":"rehearsed","content":[],"stop_reason":null,"stop_sequence":null,"usage":{%b,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"."}}\n\n'
    ) % usage.encode()
    count = max(1, min(_STEPS, math.ceil(answer.seconds)), math.ceil(answer.seconds / _LONGEST_STEP))
    pause, done = answer.seconds / count, 0
    for number in range(1, count + 1):
        yield pause
        share = round(answer.output_tokens * number / count)
        produced(share - done, number == count)
        done = share
        if pause >= _LONG_STEP and number < count:
            yield _PING
    yield (
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        b'"usage":{"output_tokens":%d}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    ) % answer.output_tokens


def _service_limits(limits: Limits) -> ServiceLimits:
    return ServiceLimits(
        requests_per_minute=_whole(limits.requests_per_minute),
        input_tokens_per_minute=_whole(limits.input_tokens_per_minute),
        output_tokens_per_minute=_whole(limits.output_tokens_per_minute),
    )


def _whole(limit: float | None) -> int | None:
    return None if limit is None else max(1, round(limit))


def _headers(limits: RateLimits, now: float) -> Mapping[str, str]:
    return dict(limits.headers(_ALL, now))
