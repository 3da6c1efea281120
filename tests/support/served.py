"""Answers served from memory to a real engine, by the words of the request; what must hold of whatever comes out."""

import json
import math
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

import anyio
import attrs
import httpx2
from tests.support.engines import assert_one_ending
from tests.support.odd import Reply
from tests.support.stage import fold

from manystream import AnthropicModel, Engine, RetryPolicy, StreamError, StreamRequest, StreamResult
from manystream.actors import (
    ErrorInfo,
    Mailbox,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    StreamStartEvent,
    UnknownEvent,
    Usage,
    decode_event,
    encode_event,
)
from manystream.actors.channel.mailbox import Policy
from manystream.actors.stream.result import Ending
from manystream.engine.runs.results import batch_result, encode_line

__all__ = [
    "TWICE",
    "Served",
    "answer",
    "assert_at_rest",
    "assert_nothing_lost",
    "assert_sound",
    "engine_served",
    "reason_of",
    "strictly",
    "watch",
]

TWICE = RetryPolicy(max_attempts=2, base_delay=1e-6, max_delay=1e-6)
"""One more try, hardly waited for."""

_LARGEST_COUNT = 2**53
_LONGEST_WORDS = 600  # an error's message: 300 characters of the server's, and ours around them
_ENDINGS = get_args(Ending)


# -- serving


class Served(httpx2.AsyncBaseTransport):
    """Serves to each request what `find` gives for its first words and the number of its attempt, from 1."""

    def __init__(self, find: Callable[[str, int], Reply]) -> None:
        self.find = find
        self.attempts: Counter[str] = Counter()
        """How often each was asked for."""
        self.sent: list[dict[str, Any]] = []
        """The bodies of all requests."""
        self.gate: anyio.Event | None = None
        """Where the words of a request begin with `held`, the second half of the answer waits for this."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(await request.aread())
        self.sent.append(body)
        words: str = body["messages"][0]["content"]
        self.attempts[words] += 1
        reply = self.find(words, self.attempts[words])
        gate = self.gate if words.startswith("held") else None
        headers = {"content-type": reply.content_type, "request-id": f"req_{len(self.sent)}", **reply.headers}
        return httpx2.Response(reply.status, headers=headers, stream=_Body(reply, gate))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, reply: Reply, gate: anyio.Event | None) -> None:
        self._reply = reply
        self._gate = gate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._reply.body
        half = len(body) // 2
        yield body[:half]
        if self._gate is not None:
            await self._gate.wait()
        yield body[half:]
        if self._reply.ending == "reset":
            raise httpx2.ReadError("the line broke")
        if self._reply.ending == "stall":
            await anyio.sleep_forever()


def engine_served(served: Served, **options: Any) -> Engine:
    """An engine that is served from memory."""
    model = AnthropicModel(
        "claude-opus-5-5",
        api_key="k",
        base_url="http://served",
        http_client=httpx2.AsyncClient(transport=served),
    )
    options.setdefault("retry", TWICE)
    return Engine(model, **options)


async def watch(
    engine: Engine, request: StreamRequest, policy: Policy | None = None
) -> tuple[list[PartEvent], StreamResult]:
    """All events of a request, and its result."""
    handle = engine.submit(request)
    mailbox: Mailbox = handle.subscribe(policy)
    events = [event async for event in mailbox]
    return events, await handle.wait()


def answer(result: StreamResult) -> tuple[Any, ...]:
    """What an answer is, apart from when and under which number it came."""
    return result.state, result.parts, result.message, result.usage, result.stop_reason, result.error, result.extra


# -- what must hold


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond what a reader can hold")
    return number


def strictly(line: str | bytes) -> Any:
    """What a line of JSON says, to a reader that knows RFC 8259 and nothing else."""
    if isinstance(line, bytes):
        line = line.decode()
    assert len(line.splitlines()) == 1, "more than one line"
    return json.loads(line, parse_constant=_no_constant, parse_float=_finite)


def _strings(value: object) -> Iterable[str]:
    """All texts in a JSON value, but for keys."""
    pending: list[Any] = [value]
    while pending:
        each: Any = pending.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            pending.extend(cast("dict[str, Any]", each).values())
        elif isinstance(each, list):
            pending.extend(cast("list[Any]", each))


def assert_words(value: str | None, longest: int = _LONGEST_WORDS) -> None:
    """Words fit to be shown and kept."""
    if value is not None:
        assert type(value) is str
        assert value, "no words at all"
        assert value.isprintable(), f"unprintable: {value[:80]!a}"
        assert len(value) <= longest, f"{len(value)} characters"


def _assert_error(info: ErrorInfo) -> None:
    for words in (info.type, info.message, info.request_id, info.code):
        assert_words(words)
    assert info.type is not None  # pyright: ignore[reportUnnecessaryComparison]
    assert info.status is None or type(info.status) is int
    assert repr(info)


def _assert_counts(usage: Usage) -> None:
    for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
        count = getattr(usage, name)
        assert type(count) is int, f"{name} is {count!r}"
        assert 0 <= count <= _LARGEST_COUNT, f"{name} is {count}"


def assert_sound(events: Sequence[PartEvent], result: StreamResult) -> None:
    """What a stream told and how it ended fit together, can be kept and shown, and don't lie."""
    end = assert_one_ending(events)
    assert end.result is result
    parts, _ = fold(events)
    began = Counter(event.index for event in _of_last_attempt(events, result) if isinstance(event, PartStartEvent))
    if max(began.values(), default=0) <= 1:  # the wire may use an index twice, of which `fold` keeps the later
        assert tuple(part for _, part in sorted(parts.items())) == result.parts
    assert result.state in _ENDINGS
    if result.state == "complete":
        _assert_whole(events, result)
    else:
        error = result.exception()
        assert isinstance(error, StreamError)
        assert str(error).isprintable()
        assert repr(error)
        if result.state == "cancelled":
            assert result.error is None
        else:
            assert result.error is not None
            _assert_error(result.error)
            assert result.attempts[-1].error is not None
    for attempt in result.attempts:
        _assert_counts(attempt.usage)
        if attempt.error is not None:
            _assert_error(attempt.error)
    _assert_counts(result.usage)
    _assert_counts(result.billed)
    for name in ("model_name", "message_id", "stop_reason", "stop_sequence", "request_id", "custom_id"):
        value = getattr(result, name)
        assert value is None or type(value) is str, f"{name} is {value!r}"
    assert all(line.isprintable() for line in repr(result).splitlines())
    assert repr(events)
    for event in events:
        encoded = encode_event(event)
        strictly(encoded)
        again = decode_event(encoded)
        assert attrs.evolve(again, first_seq=event.first_seq) == again
        assert encode_event(again) == encoded
    line = batch_result(result)
    if line is not None:
        written = encode_line(result.custom_id, line)
        assert written.endswith(b"\n")
        told = strictly(written)
        assert told["custom_id"] == result.custom_id
        assert told["result"]["type"] in ("succeeded", "errored", "expired", "canceled")
        assert (told["result"]["type"] == "succeeded") == (result.state == "complete")
    assert isinstance(result.text, str)
    turn = result.to_message_param()
    if turn is not None:
        strictly(json.dumps(turn))
    for call in result.tool_calls:
        strictly(json.dumps(call.args_as_dict()))


_CONTENT = ("content_block_start", "content_block_delta")  # the loss of a stop loses no content


def _assert_whole(events: Sequence[PartEvent], result: StreamResult) -> None:
    """`complete`: a message, a stop reason, every block ended, nothing of its content dropped."""
    assert result.error is None
    assert result.exception() is None
    assert isinstance(result.message, dict)
    assert isinstance(result.stop_reason, str)
    assert result.stop_reason
    assert all(part.complete for part in result.parts)
    assert len(result.message["content"]) == len(result.parts)
    for event in _of_last_attempt(events, result):
        raw: Any = event.raw if isinstance(event, UnknownEvent) else None
        if isinstance(raw, dict):
            kind = cast("dict[str, Any]", raw).get("type")
            assert not isinstance(kind, str) or kind not in _CONTENT, f"a {kind} was dropped"


def _of_last_attempt(events: Sequence[PartEvent], result: StreamResult) -> Sequence[PartEvent]:
    kind = RestartEvent if any(isinstance(event, RestartEvent) for event in events) else StreamStartEvent
    begins = [number for number, event in enumerate(events) if isinstance(event, kind)]
    return events[begins[-1] :] if len(result.attempts) > 1 and begins else events


_KNOWN_DELTAS = frozenset(
    {"text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "compaction_delta"}
)


def _number(digits: str) -> float | str:
    """A number; one that no reader can hold stays a text."""
    return float(digits) if len(digits) < 1_000 and math.isfinite(float(digits)) else digits


def assert_nothing_lost(body: bytes, result: StreamResult) -> None:
    """Of a `complete` stream: all that the body's deltas say is in the parts, and all of the body could be read."""
    said = "\n".join(text for part in result.parts for text in _strings(attrs.asdict(part, value_serializer=_plainly)))
    for name, data in _frames(body):
        try:
            event: Any = json.loads(data.decode(), parse_constant=_no_constant, parse_int=_number, parse_float=_number)
        except RecursionError:
            continue
        except ValueError:
            assert name in ("ping", "message_stop"), f"a {name} event that is no JSON, in a complete answer"
            continue
        assert isinstance(event, dict) or name not in _CONTENT, f"a {name} that is no object, in a complete answer"
        if not isinstance(event, dict):
            continue
        kind: Any = cast("dict[str, Any]", event).get("type")
        if (kind if isinstance(kind, str) else name) != "content_block_delta":
            continue
        delta: Any = cast("dict[str, Any]", event).get("delta")
        if not isinstance(delta, dict):
            continue
        fields = cast("dict[str, Any]", delta)
        told = fields if str(fields.get("type")) not in _KNOWN_DELTAS else {**fields, "type": None}
        for text in _strings(told):
            assert text in said, f"lost: {text[:60]!a}"


def _plainly(_instance: Any, _field: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _frames(body: bytes) -> Iterable[tuple[str, bytes]]:
    for block in body.split(b"\n\n"):
        lines = block.split(b"\n")
        data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data:")]
        if any(data):
            yield lines[0].removeprefix(b"event: ").decode(), b"\n".join(data)


def assert_at_rest(engine: Engine) -> None:
    """Nothing runs, waits or is set aside in the engine any more."""
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.backoff, stats.waits) == (0, 0, 0, ())
    assert {pool.running for pool in stats.pools} <= {0}
    supervisor = engine._supervisor  # pyright: ignore[reportPrivateUsage]
    admission: Any = engine._admission  # pyright: ignore[reportPrivateUsage]
    assert supervisor is not None
    assert len(supervisor) == 0
    assert not admission._followers
    assert admission._no_group.running == 0
    assert [lane for lane in admission._lanes for _ in lane] == []


def reason_of(exc: BaseException) -> str:
    """What was raised and where, without the groups around it."""
    while isinstance(exc, BaseExceptionGroup):
        exc = cast("BaseExceptionGroup[BaseException]", exc).exceptions[0]
    where = traceback.extract_tb(exc.__traceback__)[-1]
    said = (str(exc).splitlines() or [where.line or ""])[0]
    return f"{type(exc).__name__} in {Path(where.filename).name}, {where.name}: {ascii(said[:120])[1:-1]}"
