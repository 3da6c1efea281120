"""A soak in chaos: hundreds of streams over a line that misbehaves in every way, cancelled, late, read by all means.

Every result is looked at: what says `complete` is the answer word for word, everything ends once, and nothing is left.
A short one runs with the suite; `pytest -m slow -s tests/test_chaos.py` has a long one and tells its figures.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest
from tests.support.chaos import chaos_before
from tests.support.counts import open_files, tasks
from tests.support.engines import happens, model_for
from tests.support.served import assert_at_rest, assert_sound, reason_of

from manystream import (
    AnthropicModel,
    Conflate,
    Deadlines,
    Engine,
    Lossless,
    RetryPolicy,
    StreamError,
    StreamRequest,
    StreamResult,
)
from manystream.actors import Part, PartEvent, ServerToolCallPart, TextPart, ThinkingPart, ToolCallPart
from manystream.actors.stream.recovery import Recovery
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

QUESTIONS = 60
AT_ONCE = 40
AN_ENGINE = 250  # streams: the budget for retries, half of max_concurrency, is to last
TOOL = {"name": "lookup", "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}}}
KINDS: Sequence[Mapping[str, Any]] = ({}, {}, {"tools": [TOOL]}, {"thinking": {"type": "adaptive"}})
RECOVERIES: Sequence[Recovery] = ("fail", "restart", "continue")
DEADLINES = Deadlines(silence=0.6, connect=5, total=30)
RETRY = RetryPolicy(max_attempts=4, base_delay=0.001, max_delay=0.01)
Said = list[tuple[str, str]]


@pytest.fixture(params=["asyncio", "trio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "trio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def question(number: int, recovery: Recovery, stream: int) -> StreamRequest:
    """One of the questions. Each asks a model of another name, so that its trouble holds few others up."""
    params: Any = {"messages": [{"role": "user", "content": f"lookup {number}"}], "max_tokens": 40}
    return StreamRequest(
        params | KINDS[number % len(KINDS)] | {"model": f"claude-opus-{number}"},
        custom_id=str(stream),
        recovery=recovery,
        extra_headers={"x-soak": recovery},
        group=f"group {stream}",
    )


def said_by(parts: Sequence[Part]) -> Said:
    """What parts say, and of what kind it is; texts in a row are one text."""
    found: Said = []
    for part in parts:
        match part:
            case TextPart() | ThinkingPart():
                said = part.content
            case ToolCallPart() | ServerToolCallPart():
                said = f"{part.tool_name} {part.args}"
            case _:
                said = repr(part)
        if found and found[-1][0] == part.part_kind == "text":
            said = found.pop()[1] + said
        found.append((part.part_kind, said))
    return [(kind, said) for kind, said in found if said]


class Soak:
    """Streams of one engine, each treated by chance in another way."""

    def __init__(self, truth: Sequence[Said], seed: int) -> None:
        self._truth = truth
        self._seed = seed
        self.states: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.ways: Counter[str] = Counter()
        self.attempts = 0
        self.faults: Counter[str] = Counter()

    def looked_at(self, number: int, recovery: Recovery, events: Sequence[PartEvent], result: StreamResult) -> None:
        """One ending, and it doesn't lie."""
        assert_sound(events, result)
        self.count(number, recovery, result)

    def count(self, number: int, recovery: Recovery, result: StreamResult) -> None:
        self.states[result.state] += 1
        self.attempts += len(result.attempts)
        if result.error is not None:
            self.errors[result.error.type] += 1
            assert result.error.type not in ("engine_error", "internal_error"), result.error
        said, truth = said_by(result.parts), self._truth[number]
        if result.state == "complete":
            assert said == truth
        elif recovery == "continue":
            for (kind, text), (true_kind, true_text) in zip(said, truth, strict=False):
                assert kind == true_kind
                assert true_text.startswith(text)
        if result.state == "cancelled":
            assert result.cancelled_by in ("handle", "consumer", "group")

    async def play(self, engine: Engine, stream: int) -> None:
        """One stream, or a few that are merged."""
        chance = Random(f"{self._seed} {stream}")
        number, recovery = chance.randrange(QUESTIONS), chance.choice(RECOVERIES)
        request = question(number, recovery, stream)
        way = chance.choice(["lossless", "conflate", "waited for", "cancelled", "left", "scope", "group", "merge"])
        self.ways[way] += 1
        patience = chance.randrange(30)
        match way:
            case "lossless" | "conflate":
                handle = engine.submit(request)
                policy = Lossless(chance.randint(1, 8)) if way == "lossless" else Conflate()
                events: list[PartEvent] = []
                async for event in handle.subscribe(policy):
                    events.append(event)
                    if chance.random() < 0.05:
                        await anyio.sleep(0.002)
                self.looked_at(number, recovery, events, await handle.wait())
            case "waited for":
                self.count(number, recovery, await engine.submit(request).wait())
            case "cancelled" | "group":
                handle = engine.submit(request)
                mailbox = handle.subscribe()
                events = []
                async for event in mailbox:
                    events.append(event)
                    if len(events) >= patience:
                        break
                if way == "cancelled":
                    handle.cancel("chaos")
                else:
                    engine.cancel_group(request.group or "", reason="chaos")
                async for event in mailbox:
                    events.append(event)
                self.looked_at(number, recovery, events, await handle.wait())
            case "left" | "scope":
                stream_of = engine.stream(request)
                found = None
                with anyio.move_on_after(patience / 1_000 if way == "scope" else 30):
                    async with stream_of as found:
                        with suppress(StreamError):
                            async for event in found:
                                if way == "left" and event.seq >= patience:
                                    break
                assert found is not None
                self.count(number, recovery, found.result)
            case _:
                numbers = [chance.randrange(QUESTIONS) for _ in range(3)]
                requests = [question(n, recovery, 1_000_000 * (i + 1) + stream) for i, n in enumerate(numbers)]
                told: dict[str, list[PartEvent]] = {str(each.custom_id): [] for each in requests}
                async with engine.merge(requests) as channel:
                    async for tagged in channel:
                        told[str(tagged.custom_id)].append(tagged.event)
                for n, events in zip(numbers, told.values(), strict=True):
                    self.looked_at(n, recovery, events, events[-1].result)  # pyright: ignore[reportAttributeAccessIssue,reportUnknownArgumentType,reportUnknownMemberType]


async def truths(simulator: Simulator) -> Sequence[Said]:
    """What the answers are on a line that holds."""
    async with Engine(model_for(simulator)) as engine:
        results = await engine.gather([question(number, "fail", number) for number in range(QUESTIONS)])
    assert {result.state for result in results} == {"complete"}
    return [said_by(result.parts) for result in results]


async def soak(streams: int, seed: int) -> None:
    """So many streams, forty at a time, and then all is as it was."""
    with Simulator(tokens_per_second=5_000).in_thread() as simulator:
        port = urlsplit(simulator.url).port
        assert port is not None
        truth = await truths(simulator)
        before = tasks(), open_files()
        soaked = Soak(truth, seed)
        fates: Counter[str] = Counter()
        for first in range(0, streams, AN_ENGINE):
            left = iter(range(first, min(first + AN_ENGINE, streams)))
            async with chaos_before(port, seed + first) as proxy:
                model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=f"http://127.0.0.1:{proxy.port}")
                options: dict[str, Any] = {"deadlines": DEADLINES, "retry": RETRY, "max_concurrency": 1_000}
                with anyio.fail_after(120):
                    async with Engine(model, **options) as engine:
                        async with anyio.create_task_group() as group:

                            async def worker(engine: Engine = engine, left: Any = left) -> None:
                                for stream in left:
                                    try:
                                        await soaked.play(engine, stream)
                                    except AssertionError as exc:
                                        soaked.faults[reason_of(exc)] += 1

                            for _ in range(AT_ONCE):
                                group.start_soon(worker)
                        assert_at_rest(engine)  # whoever left waited for it
                    await proxy.deserted()
                fates += proxy.fates
        await happens(simulator, lambda simulator: simulator.open_connections == 0)
        assert soaked.states["complete"] > streams / 4
        for _ in range(1_000):
            if (tasks(), open_files()) <= before:
                break
            await anyio.lowlevel.checkpoint()
        assert tasks() <= before[0]
        assert open_files() <= before[1]
    sys.stdout.write(
        f"\n{soaked.states.total()} streams, {soaked.attempts} attempts; ended {dict(soaked.states)};"
        f" errors {dict(soaked.errors)}; read {dict(soaked.ways)}; the line {dict(fates)};"
        f" faults {dict(soaked.faults)}\n"
    )
    assert not soaked.faults


async def test_a_short_soak() -> None:
    await soak(45, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_a_long_soak(seed: int) -> None:
    await soak(2_000, seed)
