"""An answer that is begun anew: from then on nothing of the void one is given, however far its reader lags, and the
reader is told that what it was given is void."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest
from tests.support.engines import AT_ONCE, engine_for, happens, model_for
from tests.support.reference.streams import message, text, tool

from manystream import Conflate, Engine, Lossless, OutputSpec, Policy, StreamRequest, SyncEngine
from manystream.actors.given import Given
from manystream.engine.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]


@dataclass
class Line:
    sku: str
    qty: int


@dataclass
class Invoice:
    lines: list[Line]
    total: float


VOID = {"lines": [{"sku": f"void {n}", "qty": n} for n in range(4)], "total": "much"}
STANDS = {"lines": [{"sku": f"S{n}", "qty": n} for n in range(3)], "total": 3.5}
LINES = [Line(f"S{n}", n) for n in range(3)]
BRAKE = Lossless(buffer=20)
"""Of a subscriber who reads nothing: it holds an answer back behind its first line."""
POLICIES = pytest.mark.parametrize("policy", [Conflate(), Lossless()], ids=["conflate", "lossless"])


def wanted(via: Any = "format", **more: Any) -> StreamRequest[Invoice]:
    return StreamRequest("Read it", output=OutputSpec(Invoice, via=via, **more))


def answer(value: Any, via: str = "format") -> bytes:
    written = json.dumps(value)
    pieces = [written[place : place + 5] for place in range(0, len(written), 5)]
    return message(text(0, *pieces) if via == "format" else tool(0, *pieces, name="give_answer"))


CUT = answer(VOID).partition(b"event: content_block_stop")[0]
"""An answer whose connection ends in it."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
async def engine(simulator: Simulator, anyio_backend: str) -> AsyncIterator[Engine]:
    async with engine_for(simulator, recovery="restart") as engine:
        yield engine


async def asked(simulator: Simulator, times: int) -> None:
    await happens(simulator, lambda seen: len(seen.requests) == times)


# -- asked for again


@POLICIES
@pytest.mark.parametrize("via", ["format", "tool"])
async def test_a_lagging_reader_of_items_gets_none_of_the_answer_that_did_not_fit(
    engine: Engine, simulator: Simulator, policy: Policy, via: str
) -> None:
    simulator.script([answer(VOID, via), answer(VOID, via), answer(STANDS, via)])
    async with engine.stream(wanted(via, retry_invalid=2), policy=policy) as stream:
        lines = stream.items("lines")
        handle = engine.get(stream.id)
        assert handle is not None
        late = handle.items("lines")
        await asked(simulator, 3)
        assert [line async for line in lines] == [line async for line in late] == LINES
        assert lines.starts == late.starts == 1  # nobody was given anything that is void
    assert stream.result.output == Invoice(LINES, 3.5)


@POLICIES
async def test_a_lagging_reader_of_partials_is_told_first(engine: Engine, simulator: Simulator, policy: Policy) -> None:
    simulator.script([answer(VOID), answer(STANDS)])
    async with engine.stream(wanted(retry_invalid=1), policy=policy) as stream:
        partials = stream.partials()
        async with stream.subscribe(BRAKE):
            first = await anext(partials)
            assert not first.void
        await asked(simulator, 2)
        assert first.void
        assert "void" in repr(first)
        told = await anext(partials)
        assert (told.void, told.value, told.state(), told.state("lines")) == (False, None, "pending", "pending")
        shown = [json.dumps(partial.value) async for partial in partials]
    assert "void" not in "".join(shown)
    assert shown[-1] == json.dumps(STANDS)


async def test_a_reader_that_has_taken_an_item_keeps_the_answer(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(VOID)])
    handle = engine.submit(wanted(retry_invalid=1))
    async with handle.subscribe(BRAKE):
        lines = handle.items("lines")
        assert await anext(lines) == Line("void 0", 0)
    result = await handle.wait()
    assert len(result.attempts) == lines.starts == 1
    assert result.error is not None
    assert result.error.type == "output_invalid"


# -- begun anew by a restart


@POLICIES
async def test_items_that_were_given_before_a_restart_are_said_to_be_void(
    engine: Engine, simulator: Simulator, policy: Policy
) -> None:
    simulator.script([CUT, answer(STANDS)])
    async with engine.stream(wanted(), policy=policy) as stream:
        lines = stream.items("lines")
        async with stream.subscribe(BRAKE):
            assert (await anext(lines), lines.starts) == (Line("void 0", 0), 1)
        await asked(simulator, 2)
        assert lines.starts == 2  # before anything else is read
        assert [line async for line in lines] == LINES
        assert lines.starts == 2


async def test_they_are_said_to_be_void_though_no_others_come(engine: Engine, simulator: Simulator) -> None:
    simulator.script([CUT, answer({"lines": [], "total": 0.0})])
    async with engine.stream(wanted()) as stream:
        lines = stream.items("lines")
        async with stream.subscribe(BRAKE):
            assert await anext(lines) == Line("void 0", 0)
        await asked(simulator, 2)
        assert [line async for line in lines] == []
        assert lines.starts == 2


async def test_another_text_makes_the_items_of_the_one_before_void(engine: Engine, simulator: Simulator) -> None:
    written = [json.dumps(VOID), json.dumps(STANDS)]
    simulator.script([message(text(0, written[0]), text(1, written[1]))])
    async with engine.stream(wanted(), policy=Lossless()) as stream:
        lines = stream.items("lines")
        given = [(lines.starts, line.sku) async for line in lines]
    assert given == [*((1, f"void {n}") for n in range(4)), *((2, f"S{n}") for n in range(3))]


async def test_a_tool_s_arguments_are_void_when_the_answer_is_begun_anew(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(VOID, "tool"), answer(STANDS, "tool")])
    handle = engine.submit(wanted("tool", retry_invalid=1))
    async with handle.subscribe(Lossless(buffer=1)) as channel:
        async for event in channel:
            if event.event_kind == "part_delta":
                break
        before = handle.partial(0)
        assert not before.void
        async for _ in channel:
            pass
    assert before.void
    assert not handle.partial(0).void
    assert handle.partial(0).value == STANDS


# -- in synchronous code


@pytest.mark.parametrize("of", ["stream", "handle"])
def test_a_lagging_thread_gets_nothing_that_is_void(simulator: Simulator, of: str) -> None:
    simulator.script([answer(VOID), answer(STANDS)] * 2)
    with SyncEngine(model_for(simulator), retry=AT_ONCE) as engine:

        def begun() -> Any:
            request = wanted(retry_invalid=1)
            return engine.submit(request) if of == "handle" else engine.stream(request, policy=Lossless())

        one = begun()
        lines = one.items("lines")
        simulator.wait_until(lambda seen: len(seen.requests) == 2, timeout=5)
        assert ([*lines], lines.starts) == (LINES, 1)
        other = begun()
        partials = other.partials()
        simulator.wait_until(lambda seen: len(seen.requests) == 4, timeout=5)
        shown = [(partial.void, json.dumps(partial.value)) for partial in partials]
        assert not any(void or "void" in value for void, value in shown)
        assert one.wait(5).output == other.wait(5).output == Invoice(LINES, 3.5)


def test_of_two_threads_one_takes_an_item_or_the_other_asks_again() -> None:
    def race(act: Callable[[], bool], start: Barrier) -> bool:
        start.wait()
        return act()

    won: list[tuple[bool, bool]] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(300):
            given, start = Given(), Barrier(2)
            taken = pool.submit(race, lambda given=given: given.take(4), start)
            again = pool.submit(race, lambda given=given: given.withdraw_unless_taken(5), start)
            won.append((taken.result(), again.result()))
            assert given.take(4) is taken.result()
    assert {*won} <= {(True, False), (False, True)}


def test_what_was_given_is_told_by_the_number_of_the_last_event_that_was_read() -> None:
    given = Given()
    assert given.withdraw_unless_taken(5)
    assert [given.take(seq) for seq in (0, 4, 5, 6)] == [False, False, True, True]
    assert not given.withdraw_unless_taken(9)
    assert given.take(6)
    given.withdraw(9)
    assert [given.take(seq) for seq in (6, 8, 9)] == [False, False, True]


def test_a_reader_that_lags_takes_back_nothing_of_what_another_thread_takes_meanwhile() -> None:
    given: Any = Given()
    given.withdraw(5)
    lock = given._lock

    class BehindAnother:
        def __enter__(self) -> None:
            given._lock = lock
            assert given.take(6)

        def __exit__(self, *_: object) -> None: ...

    given._lock = BehindAnother()
    assert not given.take(4)
    assert not given.withdraw_unless_taken(9)
