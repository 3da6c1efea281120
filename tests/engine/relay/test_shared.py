"""Streams that several processes share by a store: each is a hub of its own here, and one that dies simply stops."""

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.support.asgi import Browser, frames_of
from tests.support.engines import engine_in_memory
from tests.support.redis_server import NEEDS_REDIS, redis_server

from manystream import Simulator, StreamHub, StreamRequest, StreamResult
from manystream.actors.channel import Entry
from manystream.engine.relay.stores import Row

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WORDS = " ".join(str(number) for number in range(80))


class Processes:
    """Hubs over one store."""

    def __init__(self, place: str, stack: AsyncExitStack, **settings: Any) -> None:
        self.place = place
        self.stack = stack
        self.settings: dict[str, Any] = {"lease": 1.0, "grace": 0, **settings}
        self.ended: list[tuple[str, StreamResult]] = []

    async def start(self, *script: Any, speed: float = 40.0, **settings: Any) -> StreamHub:
        simulator = Simulator(tokens_per_second=speed)
        simulator.script(list(script) or [WORDS])
        engine = engine_in_memory(simulator, grace=0)
        await engine.open()  # in a task of its own, as the tests have task groups of theirs
        self.stack.push_async_callback(engine.aclose)
        hub = StreamHub(engine, store=self.place, on_end=self._on_end, **{**self.settings, **settings})
        return await self.stack.enter_async_context(hub)

    async def _on_end(self, key: str, result: StreamResult) -> None:
        self.ended.append((key, result))


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=NEEDS_REDIS)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/relay.db"
    else:
        with redis_server(tmp_path) as url:
            yield url


@asynccontextmanager
async def processes(place: str, **settings: Any) -> AsyncGenerator[Processes]:
    async with AsyncExitStack() as stack:
        yield Processes(place, stack, **settings)


def dies(hub: StreamHub) -> None:
    """The hub's process stands still as far as others can see: it writes no more."""
    shared: Any = hub._streams.shared  # pyright: ignore[reportPrivateUsage]

    async def nothing() -> None:
        await anyio.lowlevel.checkpoint()

    shared._write = nothing


def lives(hub: StreamHub) -> None:
    shared: Any = hub._streams.shared  # pyright: ignore[reportPrivateUsage]
    del shared._write


async def yes(scope: Any, key: str, action: str) -> bool:
    return True


async def test_a_tab_on_another_process_reads_the_same_and_resumes_there(place: str) -> None:
    async with processes(place) as them, anyio.create_task_group() as tasks:
        one, two = await them.start(), await them.start()
        ticket = await one.start("count", key="chat")
        local = Browser(one.response(ticket.id)).among(tasks)
        remote = Browser(two.response("chat", authorize=yes)).among(tasks)
        cut = Browser(two.response(ticket.id)).among(tasks)
        await anyio.sleep(1)
        cut.leave()
        await cut.over.wait()
        last = [name for name, _, _ in frames_of(cut.body) if name][-1]
        rest = await Browser(one.response(ticket.id), headers=[("last-event-id", last)]).alone()
        await remote.over.wait()
        await local.over.wait()
        assert local.text == remote.text == cut.text + rest.text == WORDS
        late = await Browser(two.response(ticket.id)).alone()
        assert late.text == WORDS
        assert [(key, result.state) for key, result in them.ended] == [("chat", "complete")]


async def test_stop_reaches_the_process_that_runs_it(place: str) -> None:
    async with processes(place) as them, anyio.create_task_group() as tasks:
        one, two = await them.start(speed=2), await them.start()
        ticket = await one.start("count", key="chat")
        tab = Browser(one.response(ticket.id)).among(tasks)
        assert await two.stop("chat", reason="enough")
        await tab.over.wait()
        assert frames_of(tab.body)[-1][2]["state"] == "cancelled"
        assert not await two.stop("nothing")


async def test_a_reader_elsewhere_keeps_a_stream_from_being_abandoned(place: str) -> None:
    async with processes(place, linger=1.0) as them, anyio.create_task_group() as tasks:
        one, two = await them.start(speed=20), await them.start()
        ticket = await one.start("count")
        tab = Browser(two.response(ticket.id)).among(tasks)
        await tab.over.wait()
        assert tab.text == WORDS


@pytest.mark.parametrize("deliver", ["at-once", "logged"])
async def test_a_process_that_dies_loses_its_streams_which_end_once_for_all(place: str, deliver: str) -> None:
    async with processes(place, deliver=deliver) as them, anyio.create_task_group() as tasks:
        one, two, three = [await them.start(speed=10) for _ in range(3)]
        ticket = await one.start("count", key="chat")
        tabs = [Browser(hub.response(ticket.id)).among(tasks) for hub in (two, three)]
        await anyio.sleep(1)
        began = anyio.current_time()
        dies(one)
        for tab in tabs:
            await tab.over.wait()
        assert anyio.current_time() - began < 1.0 + 1.5
        assert tabs[0].text == tabs[1].text
        assert WORDS.startswith(tabs[0].text)
        endings = [frames_of(tab.body)[-1] for tab in tabs]
        assert endings[0] == endings[1]
        assert endings[0][2]["state"] == "truncated"
        assert endings[0][2]["error"]["type"] == "interrupted"
        await anyio.sleep(0.3)
        assert [(key, result.state, result.text) for key, result in them.ended] == [("chat", "truncated", tabs[0].text)]
        # It only stood still: now it finds that it has lost the stream, and its own tabs are told what the others were.
        own = Browser(one.response(ticket.id)).among(tasks)
        await anyio.sleep(0.1)
        lives(one)
        await own.over.wait()
        assert own.text == tabs[0].text
        if deliver == "at-once":
            assert "reset" in [event for _, event, _ in frames_of(own.body)]
        await anyio.sleep(0.3)
        assert len(them.ended) == 1


async def test_an_answer_that_was_left_is_continued_where_it_broke_off(place: str) -> None:
    async with processes(place, takeover="continue", keep_request=True) as them, anyio.create_task_group() as tasks:
        one = await them.start(speed=10)
        two = await them.start(" and the rest", speed=10)
        ticket = await one.start(StreamRequest("count"), key="chat")
        tab = Browser(two.response(ticket.id)).among(tasks)
        await anyio.sleep(1.5)
        dies(one)
        await tab.over.wait()
        said = tab.text.removesuffix(" and the rest")
        assert said != tab.text
        assert said
        assert WORDS.startswith(said)
        last = frames_of(tab.body)[-1]
        assert (last[1], last[2]["state"]) == ("stream_end", "complete")
        await anyio.sleep(0.3)
        assert [(key, result.state, result.text) for key, result in them.ended] == [("chat", "complete", tab.text)]
        late = await Browser(two.response(ticket.id)).alone()
        assert late.text == tab.text


async def test_what_is_no_entry_hurts_one_stream_alone(place: str, caplog: pytest.LogCaptureFixture) -> None:
    async with processes(place) as them, anyio.create_task_group() as tasks:
        one, two = await them.start(WORDS, WORDS, speed=20), await them.start()
        bad, good = await one.start("count"), await one.start("count")
        tabs = [Browser(two.response(ticket.id)).among(tasks) for ticket in (bad, good)]
        await anyio.sleep(1)
        shared: Any = one._streams.shared  # pyright: ignore[reportPrivateUsage]
        writing = shared._writing[bad.id]
        writing.take()
        number = writing.cursor.seq + 1
        writing.rows.append(Row(bad.id, 1, Entry(number, number + 99, '{"v":99,"items":[]}')))
        for tab in tabs:
            await tab.over.wait()
        assert "another version" in caplog.text
        assert tabs[0].finished
        assert "stream_end" not in tabs[0].body.decode()
        assert tabs[1].text == WORDS


def test_going_on_needs_the_requests() -> None:
    with pytest.raises(ValueError, match="keep_request"):
        StreamHub(engine_in_memory(Simulator()), takeover="continue")
