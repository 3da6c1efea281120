"""Starts that come to nothing: the store says no, the caller leaves, the hub is left. Nothing is sent then, nothing is
told as an answer, and no browser waits for it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from tests.support.asgi import Browser, frames_of
from tests.support.engines import engine_in_memory

from manystream import Simulator, StreamHub, StreamResult
from manystream.actors.channel import Audience, EventLog, Recording
from manystream.engine.relay.relayed import Relayed
from manystream.engine.relay.shared import SharedStreams
from manystream.engine.relay.stores import Head, SQLiteStore, StoreFailed

pytestmark = pytest.mark.anyio


class OddStore(SQLiteStore):
    """Creates a stream when it may, and then says what it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = threading.Event()
        self.may = threading.Event()
        self.fails = False
        self.refuses = False

    def create(self, head: Head, owner: str, lease: float) -> None:
        self.asked.set()
        assert self.may.wait(10)
        if self.refuses:
            raise StoreFailed("it is away")
        super().create(head, owner, lease)
        if self.fails:
            raise StoreFailed("its reply was lost")


async def yes(scope: Any, key: str, action: str) -> bool:
    return True


CONTINUE = {"takeover": "continue", "keep_request": True}


@pytest.mark.parametrize("settings", [{}, CONTINUE, {"deliver": "logged"}], ids=["plain", "continue", "logged"])
@pytest.mark.parametrize("why", ["refused", "reply lost", "cancelled", "left"])
async def test_a_start_that_comes_to_nothing_sends_nothing_and_nobody_waits_for_it(
    why: str, settings: Any, tmp_path: Path
) -> None:
    told: list[str] = []

    async def on_end(key: str, result: StreamResult) -> None:
        told.append(key)

    simulator = Simulator()
    store = OddStore(tmp_path / "relay.db")
    store.fails, store.refuses = why == "reply lost", why == "refused"
    raised: list[BaseException] = []

    over = anyio.Event()

    async def start(hub: StreamHub, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await hub.start("hi", key="chat")
        except (RuntimeError, ConnectionError) as exc:
            raised.append(exc)
        over.set()

    async with (
        engine_in_memory(simulator, grace=0) as engine,
        anyio.create_task_group() as tasks,
        StreamHub(engine, store=store, grace=0, on_end=on_end, **settings) as hub,
    ):
        scope = anyio.CancelScope()
        tasks.start_soon(start, hub, scope)
        await anyio.to_thread.run_sync(store.asked.wait)
        if why == "cancelled":
            scope.cancel()
        if why == "left":
            threading.Timer(0.05, store.may.set).start()  # once the hub is being left
        else:
            store.may.set()
            await over.wait()
            with anyio.fail_after(5):
                tab = await Browser(hub.response("chat", authorize=yes)).alone()
            assert tab.status == 404 if why == "refused" else frames_of(tab.body)[-1][1] == "stream_end"
            assert not await hub.stop("chat")
    if why == "left":
        assert [str(exc) for exc in raised] == ["the hub is going away"]
    assert simulator.requests == []
    assert told == []
    head = SQLiteStore(tmp_path / "relay.db").look("chat")
    assert head is None if why == "refused" else head is not None and head.ended


async def test_a_start_is_sent_once_the_store_has_it(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script(["hello"])
    store = OddStore(tmp_path / "relay.db")
    async with (
        engine_in_memory(simulator, grace=0) as engine,
        StreamHub(engine, store=store, grace=0) as hub,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(hub.start, "hi", "chat")
        await anyio.to_thread.run_sync(store.asked.wait)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert simulator.requests == []
        store.may.set()
        tab = Browser(hub.response("chat", authorize=yes))
        while (await tab.alone()).status == 404:
            tab = Browser(hub.response("chat", authorize=yes))
        assert tab.text == "hello"
        assert len(simulator.requests) == 1


async def test_who_leaves_the_store_waits_until_it_is_said_whether_a_stream_begins(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "relay.db")
    shared = SharedStreams(
        store,
        "owner",
        anyio.current_time,
        lease=10.0,
        retention=60.0,
        logged=False,
        go_on=lambda head, stream: None,
        told=lambda stream, result: None,
    )
    await shared.create("ms-1", "chat", "run", None)
    stream = Relayed("ms-1", "chat", Recording(EventLog("s"), Audience(lambda _: None)), anyio.current_time)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.leave, 5.0)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        shared.discard(stream)
    head = SQLiteStore(tmp_path / "relay.db").look("chat")
    assert head is not None
    assert head.ended


@pytest.mark.parametrize("left", [False, True])
def test_asyncio_s_own_cancellation_does_not_leave_a_ghost_either(left: bool, tmp_path: Path) -> None:
    simulator = Simulator()
    store = OddStore(tmp_path / "relay.db")

    async def main() -> None:
        async with engine_in_memory(simulator, grace=0) as engine, StreamHub(engine, store=store, grace=0) as hub:
            starting = asyncio.ensure_future(hub.start("hi", "chat"))
            await asyncio.to_thread(store.asked.wait)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            threading.Timer(0.3, store.may.set).start()  # when the writer has been at work
            if not left:
                await asyncio.to_thread(store.may.wait)
                tab = Browser(hub.response("chat", authorize=yes))
                while (await tab.alone()).status == 404:
                    tab = Browser(hub.response("chat", authorize=yes))
                assert frames_of(tab.body)[-1][1] == "stream_end"

    asyncio.run(asyncio.wait_for(main(), 10))
    assert simulator.requests == []
    head = SQLiteStore(tmp_path / "relay.db").look("chat")
    assert head is not None
    assert head.ended
