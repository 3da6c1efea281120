"""Streams that browsers leave and come back to. On virtual time, over ASGI without a server."""

import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.support.asgi import Browser, frames_of
from tests.support.engines import engine_in_memory, stream_ids
from tests.support.virtual import virtual_backends

from manystream import Engine, Simulator, StreamHub, StreamResult, relay_response
from manystream.engine.relay.ids import tag_of
from manystream.engine.simulator import Cut

pytestmark = pytest.mark.anyio

WORDS = " ".join(str(number) for number in range(60))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends(settle=0.001)[request.param]


@asynccontextmanager
async def hub_of(*script: Any, speed: float = 6.0, **settings: Any) -> AsyncGenerator[tuple[Engine, StreamHub]]:
    simulator = Simulator(tokens_per_second=speed)
    simulator.script(list(script) or [WORDS])
    settings.setdefault("grace", 0.0)
    recovery = settings.pop("recovery", "fail")
    async with engine_in_memory(simulator, grace=0, recovery=recovery) as engine, StreamHub(engine, **settings) as hub:
        yield engine, hub


async def test_a_browser_reads_a_stream_from_its_beginning_to_its_end() -> None:
    async with hub_of() as (_, hub):
        ticket = await hub.start("count")
        browser = await Browser(hub.response(ticket.id)).alone()
        assert browser.status == 200
        assert browser.headers["content-type"].startswith("text/event-stream")
        assert browser.text == WORDS
        assert frames_of(browser.body)[-1][1:] == ("stream_end", frames_of(browser.body)[-1][2])
        assert browser.finished


async def test_a_hub_is_opened_and_closed_in_different_tasks_too() -> None:
    simulator = Simulator(tokens_per_second=6.0)
    simulator.script([WORDS] * 2)
    async with engine_in_memory(simulator, grace=0) as engine:
        hub = StreamHub(engine, grace=0)
        await hub.aclose()  # it was never opened
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.open)
        assert (await Browser(hub.response((await hub.start("count")).id)).alone()).text == WORDS
        with pytest.raises(RuntimeError, match="once"):
            await hub.open()
        tab = Browser(hub.response((await hub.start("count")).id))
        async with anyio.create_task_group() as tasks:
            tab.among(tasks)
            await tab.until(lambda tab: b"part_delta" in tab.body)
            tasks.start_soon(hub.aclose)
            tasks.start_soon(hub.aclose)
        assert b"retry: " in tab.body
        assert engine.stats().running == 0
        await hub.aclose()
        with pytest.raises(RuntimeError, match="going away"):
            await hub.start("count")


@pytest.mark.parametrize("cut", [0.5, 2.0, 5.0])
async def test_one_that_was_cut_goes_on_at_the_very_event(cut: float) -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        first = Browser(hub.response(ticket.id)).among(tasks)
        await anyio.sleep(cut)
        first.leave()
        await first.over.wait()
        last = next((name for name, _, _ in reversed(frames_of(first.body)) if name), "")
        assert last
        rest = await Browser(hub.response(ticket.id), headers=[("Last-Event-ID", last)]).alone()
        assert first.text + rest.text == WORDS
        assert frames_of(rest.body)[0][2]["first_seq"] == int(last.rpartition("-")[2]) + 1


async def test_two_tabs_and_a_reload_read_the_same() -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        tabs = [Browser(hub.response(ticket.id)).among(tasks)]
        await anyio.sleep(3)
        tabs.append(Browser(hub.response(ticket.id)).among(tasks))
        for tab in tabs:
            await tab.over.wait()
        reload = await Browser(hub.response(ticket.id)).alone()  # after the end, within the retention
        assert [tab.text for tab in (*tabs, reload)] == [WORDS] * 3
        assert len(reload.sent) <= 5


async def test_whoever_has_it_all_is_told_not_to_ask_again() -> None:
    async with hub_of("short") as (_, hub):
        ticket = await hub.start("count")
        browser = await Browser(hub.response(ticket.id)).alone()
        last = frames_of(browser.body)[-1][0]
        again = await Browser(hub.response(ticket.id), headers=[("last-event-id", last)]).alone()
        assert (again.status, again.body) == (204, b"")


OF_ANOTHER = ["1-3", "1", "-", "x-1", "1-2-3", "1-" + "9" * 40, "\N{SUPERSCRIPT TWO}-1", "TAG-1-\N{SUPERSCRIPT TWO}"]


@pytest.mark.parametrize("last", ["TAG-7-3", "TAG-1-999999", "TAG-1-5000000000", *OF_ANOTHER])
async def test_a_browser_that_has_something_else_is_reset(last: str) -> None:
    async with hub_of("short") as (_, hub):
        ticket = await hub.start("count")
        last = last.replace("TAG", tag_of(ticket.id))
        for _ in range(2):  # while it runs, and when it has ended
            browser = await Browser(hub.response(ticket.id), headers=[("last-event-id", last)]).alone()
            assert frames_of(browser.body)[0][1] == "reset"
            assert browser.text == "short"
        fresh = await Browser(hub.response(ticket.id), headers=[("last-event-id", "")]).alone()
        assert "reset" not in [event for _, event, _ in frames_of(fresh.body)]


async def test_a_browser_that_comes_back_by_key_is_not_told_the_rest_of_another_answer() -> None:
    async def yes(scope: Any, key: str, action: str) -> bool:
        return True

    async with hub_of("the first answer", "the second answer", authorize=yes) as (_, hub):
        await hub.start("count", key="chat")
        before = await Browser(hub.response("chat")).alone()
        await hub.start("count", key="chat")
        for place in (1, -1):  # in the middle of the first, and at its end
            last = frames_of(before.body)[place][0]
            back = await Browser(hub.response("chat"), headers=[("last-event-id", last)]).alone()
            assert (back.status, frames_of(back.body)[0][1]) == (200, "reset")
            assert back.text == "the second answer"


async def test_a_stream_that_began_anew_is_told_from_its_first_attempt_on() -> None:
    script = [Cut(8, "close", text=WORDS), "at last"]
    async with hub_of(*script, recovery="restart") as (_, hub):
        ticket = await hub.start("count")
        browser = await Browser(hub.response(ticket.id)).alone()
        late = await Browser(hub.response(ticket.id)).alone()
        for one in (browser, late):
            assert "restart" in [event for _, event, _ in frames_of(one.body)]
            assert one.text == "at last"
        # One that was cut before the restart goes on across it.
        names = [name for name, event, _ in frames_of(browser.body) if event == "part_delta"]
        rest = await Browser(hub.response(ticket.id), headers=[("last-event-id", names[0])]).alone()
        assert rest.text == "at last"


async def test_a_silent_disconnect_is_seen_while_nothing_is_sent() -> None:
    async with hub_of(speed=0.1) as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        browser = Browser(hub.response(ticket.id)).among(tasks)
        await anyio.sleep(1)
        began = anyio.current_time()
        browser.leave()
        await browser.over.wait()
        assert anyio.current_time() - began < 0.2


async def test_stop_ends_the_stream_for_all_and_a_disconnect_does_not() -> None:
    results: list[tuple[str, StreamResult]] = []

    async def on_end(key: str, result: StreamResult) -> None:
        results.append((key, result))

    async with hub_of(on_end=on_end) as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count", key="chat")
        one, two = (Browser(hub.response(ticket.id)).among(tasks) for _ in range(2))
        await anyio.sleep(2)
        one.leave()
        await anyio.sleep(2)
        assert not two.over.is_set()
        assert await hub.stop("chat", reason="enough")
        await two.over.wait()
        assert frames_of(two.body)[-1][1] == "stream_end"
        assert frames_of(two.body)[-1][2]["state"] == "cancelled"
        await anyio.sleep(0.1)
        assert [(key, result.state, result.cancel_reason) for key, result in results] == [
            ("chat", "cancelled", "enough")
        ]
        assert not await hub.stop("chat")
        assert not await hub.stop("nothing")


async def test_stop_by_a_key_ends_all_that_run_for_it_and_by_an_id_that_one() -> None:
    states: dict[str, str] = {}

    async def on_end(key: str, result: StreamResult) -> None:
        states[result.text.split()[0]] = result.state

    async with hub_of("a " * 60, "b " * 60, "c " * 60, "d " * 60, on_end=on_end) as (_, hub):
        tickets = [await hub.start("x", key="other" if number == 3 else "chat") for number in range(4)]
        await anyio.sleep(4)
        assert await hub.stop(tickets[1].id)
        await anyio.sleep(0.5)
        assert list(states.values()) == ["cancelled"]
        assert await hub.stop("chat")
        await anyio.sleep(0.5)
        assert list(states.values()) == ["cancelled"] * 3
        assert not await hub.stop("chat")
        await Browser(hub.response(tickets[3].id)).alone()
        await anyio.sleep(0.5)
        assert sorted(states.values()) == ["cancelled"] * 3 + ["complete"]


async def test_what_on_end_raises_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def on_end(key: str, result: StreamResult) -> None:
        raise OSError("the disk is full")

    async with hub_of("a", "b", on_end=on_end) as (_, hub):
        for _ in range(2):
            ticket = await hub.start("x")
            assert (await Browser(hub.response(ticket.id)).alone()).status == 200
    assert "on_end failed" in caplog.text


async def test_without_a_linger_a_stream_runs_on_and_with_one_it_is_cancelled() -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        Browser(hub.response(ticket.id)).among(tasks).leave()
        await anyio.sleep(60)
        assert (await Browser(hub.response(ticket.id)).alone()).text == WORDS

    async with hub_of(linger=3.0) as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        for _ in range(2):  # each look begins the time anew
            browser = Browser(hub.response(ticket.id)).among(tasks)
            await anyio.sleep(1)
            browser.leave()
            await anyio.sleep(2)
        await anyio.sleep(1.5)
        late = await Browser(hub.response(ticket.id)).alone()
        assert frames_of(late.body)[-1][2]["state"] == "cancelled"


async def test_keep_alives_come_only_when_nothing_else_does() -> None:
    async with hub_of("a b c", speed=0.1, keepalive=2.0) as (_, hub):
        ticket = await hub.start("count")
        browser = await Browser(hub.response(ticket.id)).alone()
        assert browser.body.count(b": keep-alive\n\n") >= 5
    async with hub_of(keepalive=2.0) as (_, hub):
        ticket = await hub.start("count")
        assert b"keep-alive" not in (await Browser(hub.response(ticket.id)).alone()).body


async def test_a_pace_joins_frames_and_loses_nothing() -> None:
    async with hub_of() as (_, hub):
        quick = await Browser(hub.response((await hub.start("count")).id)).alone()
    async with hub_of(pace=4.0) as (_, hub):
        began = anyio.current_time()
        paced = await Browser(hub.response((await hub.start("count")).id)).alone()
        taken = anyio.current_time() - began
    assert paced.text == quick.text == WORDS
    assert len(paced.sent) <= taken / 4 + 3 < len(quick.sent) / 3


async def test_a_client_that_takes_nothing_is_given_up_and_the_stream_goes_on() -> None:
    async with hub_of(send_timeout=5.0) as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        slow = Browser(hub.response(ticket.id)).among(tasks)
        await anyio.sleep(1)
        slow.stuck = True
        began = anyio.current_time()
        await slow.over.wait()
        assert 4.5 < anyio.current_time() - began < 6
        assert (await Browser(hub.response(ticket.id)).alone()).text == WORDS


@pytest.mark.parametrize("sends", [0, 1, 2])
@pytest.mark.parametrize("name", [None, "nothing"])
async def test_a_client_that_left_is_no_error_whichever_send_tells_of_it(sends: int, name: str | None) -> None:
    async with hub_of() as (_, hub):
        ticket = await hub.start("count")
        count = 0

        async def send(message: Any) -> None:
            nonlocal count
            if count == sends:
                raise ConnectionResetError("gone")
            count += 1

        browser = Browser(hub.response(name or ticket.id))
        browser._send = send  # type: ignore[method-assign]
        await browser.run()
        assert not [tab for stream in hub._streams.shelf for tab in stream.tabs]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("alone", [False, True])
async def test_a_client_that_takes_not_even_the_head_is_given_up(alone: bool) -> None:
    async with hub_of(send_timeout=5.0) as (engine, hub), anyio.create_task_group() as tasks:
        response = relay_response(engine.submit("count")) if alone else hub.response((await hub.start("count")).id)
        slow = Browser(response)
        slow.stuck = True
        began = anyio.current_time()
        slow.among(tasks)
        await slow.over.wait()
        assert 4.5 < anyio.current_time() - began < (66 if alone else 6)


async def test_a_client_that_leaves_before_the_head_is_seen() -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        slow = Browser(hub.response((await hub.start("count")).id))
        slow.stuck = True
        slow.among(tasks)
        await anyio.sleep(0.5)
        began = anyio.current_time()
        slow.leave()
        await slow.over.wait()
        assert anyio.current_time() - began < 0.2


async def test_what_ended_is_kept_for_its_time_and_no_more_than_so_much() -> None:
    async with hub_of("abc", retention=10.0) as (_, hub):
        ticket = await hub.start("x")
        await anyio.sleep(9)
        assert (await Browser(hub.response(ticket.id)).alone()).text == "abc"
        await anyio.sleep(3)
        assert (await Browser(hub.response(ticket.id)).alone()).status == 404
    async with hub_of("a" * 60, "b" * 60, "c" * 60, max_kept=5000) as (_, hub):
        tickets = [await hub.start("x") for _ in range(3)]
        await anyio.sleep(30)
        assert [(await Browser(hub.response(one.id)).alone()).status for one in tickets].count(404) == 1


async def test_what_a_stream_was_asked_is_not_kept_past_its_end() -> None:
    held: list[weakref.ref[Any]] = []

    async def on_end(key: str, result: StreamResult) -> None:
        held.append(weakref.ref(result))

    async with hub_of("abc", on_end=on_end) as (engine, hub):
        ticket = await hub.start("x" * 1000)
        (held_by_the_engine,) = [engine.find(name) for name in stream_ids(engine)]
        held.append(weakref.ref(held_by_the_engine))
        del held_by_the_engine
        await Browser(hub.response(ticket.id)).alone()
        await anyio.sleep(3)
        gc.collect()
        assert len(held) == 2
        assert [one() for one in held] == [None, None]
        assert (await Browser(hub.response(ticket.id)).alone()).text == "abc"


async def test_streams_that_say_nothing_are_not_kept_without_bound() -> None:
    async with hub_of(*[""] * 10, max_kept=10_000) as (_, hub):
        tickets = [await hub.start("x") for _ in range(10)]
        await anyio.sleep(30)
        kept = [(await Browser(hub.response(one.id)).alone()).status for one in tickets].count(200)
        assert kept == 5


async def test_draining_sends_tabs_away_without_an_ending() -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        tabs = [Browser(hub.response(ticket.id)).among(tasks) for _ in range(3)]
        await anyio.sleep(2)
        await hub.drain()
        assert all(tab.over.is_set() and tab.finished for tab in tabs)
        for tab in tabs:
            assert tab.body.endswith(b"\n\n")
            assert b"retry: " in tab.sent[-1]
            assert "stream_end" not in tab.body.decode()
        with pytest.raises(RuntimeError, match="going away"):
            await hub.start("more")


@pytest.mark.parametrize("by", ["hand", "signal", "both"])
async def test_a_tab_that_comes_while_the_hub_goes_is_sent_away_too(by: str) -> None:
    let_in = anyio.Event()

    async def slow(scope: Any, key: str, action: str) -> bool:
        await let_in.wait()
        return True

    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        await hub.start("count", key="chat")
        await anyio.sleep(2)
        asking = Browser(hub.response("chat", authorize=slow)).among(tasks)  # its `authorize` is under way
        await anyio.sleep(0.1)
        if by != "signal":
            await hub.drain()
        if by != "hand":
            hub._signalled()  # pyright: ignore[reportPrivateUsage]
            await anyio.sleep(0.1)
        let_in.set()
        later = Browser(hub.response("chat", authorize=slow)).among(tasks)
        began = anyio.current_time()
        for tab in (asking, later):
            await tab.over.wait()
            assert tab.finished
            assert WORDS.startswith(tab.text)
            assert tab.text
            assert b"retry: " in tab.sent[-1]
        assert anyio.current_time() - began < 1


async def test_a_stream_that_has_ended_is_told_to_its_end_while_the_hub_goes() -> None:
    async with hub_of("short") as (_, hub):
        ticket = await hub.start("count")
        await anyio.sleep(3)
        await hub.drain()
        tab = await Browser(hub.response(ticket.id)).alone()
        assert frames_of(tab.body)[-1][1] == "stream_end"
        assert b"retry: " not in tab.body


async def test_a_client_that_takes_nothing_does_not_hold_up_a_hub_that_goes() -> None:
    async with hub_of() as (_, hub), anyio.create_task_group() as tasks:
        ticket = await hub.start("count")
        stuck = Browser(hub.response(ticket.id)).among(tasks)
        await anyio.sleep(2)
        stuck.stuck = True
        began = anyio.current_time()
        await hub.drain()
        await stuck.over.wait()
        assert anyio.current_time() - began < 8


async def test_leaving_the_hub_cancels_what_still_runs_and_tells_of_it() -> None:
    ended: list[str] = []

    async def on_end(key: str, result: StreamResult) -> None:
        ended.append(result.state)

    async with hub_of(on_end=on_end, grace=1.0) as (_, hub):
        await hub.start("count")
        await anyio.sleep(1)
    assert ended == ["cancelled"]


async def test_an_engine_that_ends_before_its_hub_or_crashes_does_not_keep_answers_from_being_told() -> None:
    told: list[tuple[str, str]] = []

    async def on_end(key: str, result: StreamResult) -> None:
        await anyio.sleep(0.1)
        told.append((key, result.state))

    engine = engine_in_memory(Simulator(tokens_per_second=1), grace=0)
    await engine.open()
    async with StreamHub(engine, grace=0, on_end=on_end) as hub:
        for key in ("a", "b"):
            await hub.start("x", key=key)
        await anyio.sleep(2)
        await engine.aclose()
        assert told == []
    assert sorted(told) == [("a", "cancelled"), ("b", "cancelled")]

    async def crash() -> None:
        raise OSError("a bug")

    told.clear()
    with pytest.raises(ExceptionGroup) as caught:
        async with (
            engine_in_memory(Simulator(tokens_per_second=1), grace=0, max_concurrency=1) as engine,
            StreamHub(engine, grace=0, on_end=on_end) as hub,
        ):
            for key in ("runs", "waits"):
                await hub.start("x", key=key)
            await anyio.sleep(2)
            engine.start_side_task(crash())
            await anyio.sleep_forever()
    assert "a bug" in repr(caught.value)
    assert sorted(told) == [("runs", "failed"), ("waits", "failed")]


@pytest.mark.parametrize("ended", [True, False])
async def test_an_on_end_that_hangs_does_not_keep_the_hub_from_closing(
    ended: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    async def on_end(key: str, result: StreamResult) -> None:
        told.append(key)
        if key == "hangs":
            await anyio.sleep_forever()

    async with engine_in_memory(Simulator(tokens_per_second=0 if ended else 1), grace=0) as engine:
        async with StreamHub(engine, grace=2.0, on_end=on_end) as hub:
            for key in ("hangs", "returns"):
                await hub.start("x", key=key)
            await anyio.sleep(1)
            began = anyio.current_time()
        assert anyio.current_time() - began < 8
        await anyio.sleep(0.1)
        assert sorted(told) == ["hangs", "returns"]
        assert caplog.text.count("on_end was cut off") == 1


@pytest.mark.parametrize(
    "settings", [{"retention": -1}, {"pace": -1}, {"keepalive": 0}, {"linger": -1}, {"max_kept": 1.5}, {"shown": 1}]
)
async def test_settings_that_make_no_sense_are_refused(settings: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        StreamHub(engine_in_memory(Simulator()), **settings)


async def test_a_hub_needs_its_engine_and_is_entered_once() -> None:
    engine = engine_in_memory(Simulator())
    hub = StreamHub(engine)
    with pytest.raises(RuntimeError, match="enter the hub first"):
        await hub.start("x")
    with pytest.raises(RuntimeError, match="enter the engine first"):
        async with hub:
            pass
    async with engine:
        async with hub:
            with pytest.raises(ValueError, match="protocol is one of"):
                hub.response("x", protocol="nothing")  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="once"):
            async with hub:
                pass
