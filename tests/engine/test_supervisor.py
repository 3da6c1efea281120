"""The supervisor alone: what it tells admission, what it starts and cancels, and what it forgets. On virtual time."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import attrs
import pytest
from anyio import TaskHandle
from anyio.lowlevel import checkpoint
from tests.support.reference.streams import event, message, start, text
from tests.support.stage import Wire, settle, task_group
from tests.support.virtual import virtual_backends

from manystream import Deadlines, ErrorInfo, RetryPolicy, State, StreamHandle, StreamRequest, Usage
from manystream.actors.actor import StreamActor
from manystream.actors.channel import Audience
from manystream.actors.response import ResponseFailed
from manystream.engine.admission import Admission, Ticket
from manystream.engine.admission.prompt import Prompt
from manystream.engine.supervisor import EngineFault, Job, Supervisor
from manystream.engine.telemetry import Observers

pytestmark = pytest.mark.anyio

ANSWER = message(text(0, "whole"))
OVERLOADED = ErrorInfo(type="overloaded_error", message="later", retryable=True)
CUT = start() + event("error", error={"type": "overloaded_error", "message": "later"})


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


class Watched(Admission):
    """Admission that keeps what it was told, stream by stream."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: dict[str, list[Any]] = {}
        self.fault: str | None = None

    def _note(self, ticket: Ticket, *said: Any) -> None:
        self.told.setdefault(ticket.stream_id, []).append(said)
        if said[0] == self.fault:
            raise ZeroDivisionError

    def enter(self, ticket: Ticket) -> None:
        self._note(ticket, "enter", ticket.attempt)
        super().enter(ticket)

    def accepted(self, ticket: Ticket, headers: Mapping[str, str]) -> None:
        self._note(ticket, "accepted")
        super().accepted(ticket, headers)

    def refused(self, ticket: Ticket, info: ErrorInfo) -> None:
        self._note(ticket, "refused", info.type)
        super().refused(ticket, info)

    def began(self, ticket: Ticket, usage: Usage) -> None:
        self._note(ticket, "began", usage.input_tokens)
        super().began(ticket, usage)

    def leave(
        self, ticket: Ticket, usage: Usage | None = None, *, whole: bool = False, overloaded: bool = False
    ) -> None:
        self._note(ticket, "leave", None if usage is None else usage.output_tokens, whole, overloaded)
        super().leave(ticket, usage, whole=whole, overloaded=overloaded)


class Noted(Observers):
    """Observers that keep what they were told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def retrying(self, actor: StreamActor, delay: float) -> None:
        self.told.append((actor.stream_id, "retrying", delay))

    def ended(self, actor: StreamActor) -> None:
        self.told.append((actor.stream_id, "ended"))


@attrs.define
class Floor:
    """A supervisor with an admission and streams, whose responses the test writes."""

    supervisor: Supervisor
    admission: Watched
    observers: Noted
    released: list[str]
    wires: dict[str, Wire] = attrs.field(factory=dict[str, Wire])

    def submit(
        self,
        name: str,
        *answers: bytes | ErrorInfo | None,
        deadlines: Deadlines | None = None,
        context: contextvars.Context | None = None,
        released: Callable[[StreamActor], None] | None = None,
    ) -> StreamActor:
        """A stream. Each attempt takes the next answer: whole, a failure, or None for bytes that the test writes."""
        actor = StreamActor(
            name,
            StreamRequest(name),
            retry=RetryPolicy(base_delay=8, max_delay=8),
            clock=anyio.current_time,
            on_abandon="detach",
            deadlines=deadlines or Deadlines(connect=None, silence=None),
            owner=self.supervisor,
        )
        left = list(answers)

        async def open_response(request: StreamRequest) -> Wire:
            await checkpoint()
            assert request is actor.request
            answer = left.pop(0)
            if isinstance(answer, ErrorInfo):
                raise ResponseFailed(answer)
            self.wires[name] = wire = Wire()
            if answer is not None:
                wire.write(answer)
                wire.write(None)
            return wire

        pool = self.admission.pool("key", "model")
        ticket = Ticket(model_name="model", prompt=Prompt(1), max_tokens=1, stream_id=name, pool=pool)
        self.supervisor.take_in(
            Job(actor, open_response, context or contextvars.copy_context(), released, None), ticket
        )
        return actor

    def ticket(self, name: str) -> Ticket:
        return self.supervisor._jobs[name].ticket  # pyright: ignore[reportPrivateUsage]

    def told(self, name: str) -> list[Any]:
        return self.admission.told[name]


@asynccontextmanager
async def a_floor(slots: int = 2) -> AsyncGenerator[Floor]:
    """A supervisor that is at work for the length of the block."""
    released: list[str] = []
    async with task_group() as tasks:
        admission = Watched(slots, clock=anyio.current_time, woken=lambda: supervisor.wake())
        observers = Noted()
        supervisor = Supervisor(
            tasks, anyio.current_time, admission, lambda actor: released.append(actor.stream_id), observers
        )
        supervisor.begin()
        yield Floor(supervisor, admission, observers, released)
        supervisor.stop_side_tasks()


def result(actor: StreamActor) -> tuple[str, str | None, str | None]:
    assert actor.result is not None
    return actor.result.state, actor.result.cancelled_by, actor.result.cancel_reason


async def test_from_submission_to_release() -> None:
    async with a_floor() as floor:
        supervisor = floor.supervisor
        assert len(supervisor) == 0
        own: list[str] = []
        actor = floor.submit("a", None, released=lambda actor: own.append(actor.stream_id))
        assert (len(supervisor), list(supervisor), supervisor.get("a"), supervisor.get("b")) == (
            1,
            [actor],
            actor,
            None,
        )
        assert actor.life.state is State.QUEUED
        assert actor.watch.queued is not None
        await settle()
        assert actor.life.state is State.STREAMING
        floor.wires["a"].write(ANSWER)
        await settle()
        assert actor.life.state is State.DONE
        assert floor.released == own == []  # its connection is still in use
        floor.wires["a"].write(None)
        await supervisor.wait_until_empty()
        assert actor.closed.is_set()
        assert floor.released == own == ["a"]
        assert floor.observers.told == [("a", "ended")]
        assert (len(supervisor), supervisor.get("a")) == (0, None)
        used = actor.attempts[0].usage
        assert floor.told("a") == [
            ("enter", 1),
            ("accepted",),
            ("began", used.input_tokens),
            ("leave", used.output_tokens, True, False),
        ]
        await supervisor.wait_until_empty()  # at once


async def test_it_is_empty_when_the_last_has_left() -> None:
    async with a_floor() as floor, task_group() as tasks:
        floor.submit("a", None)
        floor.submit("b", None)
        await settle()
        waiting: TaskHandle[None] = tasks.create_task(floor.supervisor.wait_until_empty())
        for name in ("b", "a"):
            assert waiting.status is TaskHandle.Status.PENDING
            floor.wires[name].write(ANSWER)
            floor.wires[name].write(None)
            await settle()
        assert waiting.status is not TaskHandle.Status.PENDING


async def test_between_attempts_it_has_no_slot() -> None:
    async with a_floor(slots=1) as floor:
        began = anyio.current_time()
        first = floor.submit("first", OVERLOADED, ANSWER)
        second = floor.submit("second", None)
        await settle()
        assert (first.life.state, second.life.state) == (State.BACKOFF, State.STREAMING)
        ((name, said, delay),) = floor.observers.told
        assert (name, said) == ("first", "retrying")
        assert 0 < delay <= 8
        assert floor.told("first") == [("enter", 1), ("refused", "overloaded_error"), ("leave", 0, False, True)]
        await anyio.sleep(9)
        assert first.life.state is State.QUEUED  # the pause is over, and the slot is taken
        assert floor.told("first")[3:] == [("enter", 2)]
        floor.wires["second"].write(ANSWER)
        floor.wires["second"].write(None)
        await first.closed.wait()
        assert result(first)[0] == "complete"
        assert floor.released == ["second", "first"]
        assert anyio.current_time() - began < 30


async def test_an_answer_that_was_broken_off_gives_its_slot_back_and_is_settled() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", CUT, ANSWER)
        await actor.closed.wait()
        assert [said[0] for said in floor.told("a")] == ["enter", "accepted", "began", "leave"] * 2
        assert [said[2:] for said in floor.told("a") if said[0] == "leave"] == [(False, True), (True, False)]
        assert floor.admission.running == 0


async def test_a_failure_of_another_kind_is_no_overload() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", ErrorInfo(type="invalid_request_error", message="no", retryable=False))
        await actor.closed.wait()
        assert floor.told("a")[-1] == ("leave", 0, False, False)
        assert result(actor)[0] == "failed"


async def test_what_waits_is_cancelled_at_once_and_what_runs_by_its_task() -> None:
    async with a_floor(slots=1) as floor:
        supervisor = floor.supervisor
        running, waiting = floor.submit("running", None), floor.submit("waiting", None)
        await settle()
        supervisor.cancel(waiting, "handle", "enough")
        assert result(waiting) == ("cancelled", "handle", "enough")
        assert floor.released == ["waiting"]
        assert floor.told("waiting") == [("enter", 1), ("leave", None, False, False)]
        supervisor.cancel(running, "handle", "enough")
        assert not running.life.ended
        await running.closed.wait()
        assert result(running) == ("cancelled", "handle", "enough")
        assert floor.told("running")[-1] == ("leave", 0, False, False)
        supervisor.cancel(running, "handle", "again")
        assert floor.released == ["waiting", "running"]


async def test_a_stream_that_has_ended_is_not_cancelled_while_its_connection_is_given_back() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None)
        await settle()
        floor.wires["a"].write(ANSWER)
        await settle()
        floor.supervisor.cancel(actor, "handle", None)
        assert actor.cancel_request is None
        await settle()
        assert not actor.closed.is_set()
        await actor.closed.wait()
        assert result(actor)[0] == "complete"


async def test_none_that_waits_takes_the_slot_of_one_that_is_cancelled() -> None:
    async with a_floor(slots=1) as floor:
        running = floor.submit("running", None)
        waiting = [floor.submit(name) for name in ("a", "b", "c")]
        await settle()
        floor.supervisor.cancel_waiting("engine", "over")
        assert {result(actor) for actor in waiting} == {("cancelled", "engine", "over")}
        assert floor.released == ["c", "b", "a"]
        assert list(floor.supervisor) == [running]
        floor.supervisor.cancel(running, "engine", "over")


async def test_cancelled_before_its_first_step_it_sends_nothing() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None)
        floor.supervisor.cancel(actor, "handle", None)
        await actor.closed.wait()
        assert result(actor)[:2] == ("cancelled", "handle")
        assert floor.told("a") == [("enter", 1), ("leave", 0, False, False)]
        assert floor.released == ["a"]


async def test_cancelled_while_it_waits_for_another_attempt_it_leaves_no_usage() -> None:
    async with a_floor(slots=1) as floor:
        again, running = floor.submit("again", CUT, ANSWER), floor.submit("running", None)
        await anyio.sleep(9)
        assert (again.life.state, running.life.state) == (State.QUEUED, State.STREAMING)
        floor.supervisor.cancel(again, "handle", None)
        await again.closed.wait()
        assert floor.told("again")[-2:] == [("enter", 2), ("leave", None, False, False)]
        floor.supervisor.cancel(running, "handle", None)


async def test_streams_whose_task_never_ran_are_ended() -> None:
    async with a_floor(slots=1) as floor:
        actors = [floor.submit("a", None), floor.submit("b", None)]
        await settle()
        floor.supervisor.end_unstarted("engine", "over")
        assert [result(actor) for actor in actors] == [("cancelled", "engine", "over")] * 2
        assert (floor.released, floor.admission.running) == (["a", "b"], 0)
        for wire in floor.wires.values():
            wire.write(None)


async def test_a_deadline_gives_the_next_attempt_a_task_of_its_own() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None, ANSWER, deadlines=Deadlines(first_event=3))
        await actor.closed.wait()
        assert result(actor)[0] == "complete"
        assert [attempt.error and attempt.error.deadline for attempt in actor.attempts] == ["first_event", None]
        assert [said[0] for said in floor.told("a")] == [
            *("enter", "accepted", "leave"),
            *("enter", "accepted", "began", "leave"),
        ]
        assert floor.released == ["a"]
        assert [told[1] for told in floor.observers.told] == ["retrying", "ended"]


async def test_when_the_engine_closes_a_deadline_is_the_end() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None, ANSWER, deadlines=Deadlines(first_event=3))
        await settle()
        floor.supervisor.closing = True
        await actor.closed.wait()
        assert result(actor) == ("cancelled", "engine", "the engine shut down")
        assert floor.released == ["a"]


async def test_one_that_was_cancelled_is_not_tried_again_for_its_deadline() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None, ANSWER)
        await settle()
        actor.expire("idle")
        floor.supervisor.cancel(actor, "handle", None)
        await actor.closed.wait()
        assert result(actor)[:2] == ("cancelled", "handle")


async def test_a_deadline_of_one_that_waits_ends_it_at_once() -> None:
    async with a_floor(slots=1) as floor:
        running = floor.submit("running", None)
        began = anyio.current_time()
        waiting = floor.submit("waiting", None, deadlines=Deadlines(queued=3))
        await waiting.closed.wait()
        assert 3 <= anyio.current_time() - began < 3.1
        assert waiting.result is not None
        assert waiting.result.error is not None
        assert waiting.result.error.deadline == "queued"
        assert floor.told("waiting") == [("enter", 1), ("leave", None, False, False)]
        floor.supervisor.cancel(running, "handle", None)


async def test_those_that_are_turned_away_end_a_step_later() -> None:
    async with a_floor(slots=1) as floor:
        again, running = floor.submit("again", OVERLOADED), floor.submit("running", None)
        waiting, gone = floor.submit("waiting"), floor.submit("gone")
        await settle()
        turned_away = [floor.ticket(name).turned_away for name in ("again", "waiting", "gone")]
        floor.supervisor.cancel(gone, "handle", None)
        for turn_away in turned_away:
            turn_away("no more money")
        assert not again.life.ended  # whoever submitted it has it in hand first
        assert not waiting.life.ended
        await settle()
        for actor in (again, waiting):
            assert actor.result is not None
            assert actor.result.error is not None
            assert (actor.result.error.type, actor.result.error.message) == ("spend_cap_reached", "no more money")
            assert actor.closed.is_set()
        assert sorted(floor.released) == ["again", "gone", "waiting"]
        assert result(gone)[0] == "cancelled"
        floor.supervisor.cancel(running, "handle", None)


async def test_it_runs_in_its_own_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    context = contextvars.copy_context()
    context.run(name.set, "the submitter's")
    seen: list[str] = []
    async with a_floor() as floor:
        actor = floor.submit("a", ANSWER, context=context)
        job = floor.supervisor._jobs["a"]  # pyright: ignore[reportPrivateUsage]
        inner = job.open

        async def looks(request: StreamRequest) -> Any:
            seen.append(name.get("none"))
            name.set("changed")
            return await inner(request)

        job.open = looks
        await actor.closed.wait()
    assert seen == ["the submitter's"]
    assert context[name] == "the submitter's"  # the task has a copy


@pytest.mark.parametrize("where", ["accepted", "refused", "began", "leave"])
async def test_a_fault_of_what_all_share_is_the_engines(where: str) -> None:
    actors: list[StreamActor] = []
    with pytest.raises(ExceptionGroup) as caught:
        async with a_floor() as floor:
            floor.admission.fault = where
            actors.append(floor.submit("a", OVERLOADED if where == "refused" else ANSWER))
            await anyio.sleep(1)
    fault: BaseException = caught.value
    while isinstance(fault, BaseExceptionGroup):
        (fault,) = cast("BaseExceptionGroup[BaseException]", fault).exceptions
    assert isinstance(fault, EngineFault)
    assert isinstance(fault.__cause__, ZeroDivisionError)
    assert "ZeroDivisionError" in str(fault)
    assert actors[0].result is not None
    error = actors[0].result.error
    if where == "leave":
        assert error is None
    else:
        assert error is not None
        assert (error.type, error.message) == ("engine_error", "the engine crashed")


async def test_what_is_raised_on_a_streams_way_is_its_own() -> None:
    async with a_floor() as floor:
        bad, good = floor.submit("bad"), floor.submit("good", ANSWER)  # the first finds no answer to pop
        await floor.supervisor.wait_until_empty()
        assert bad.result is not None
        assert bad.result.error is not None
        assert bad.result.error.type == "internal_error"
        assert result(good)[0] == "complete"


async def test_a_finished_stream_is_kept_by_nothing() -> None:
    async with a_floor() as floor:
        found: list[weakref.ref[StreamActor]] = []
        gc.collect()
        gc.disable()
        try:
            for answers in ((ANSWER,), (OVERLOADED, ANSWER)):
                actor = floor.submit("a", *answers)
                found.append(weakref.ref(actor))
                await actor.closed.wait()
                del actor
                await settle()
            assert [ref() for ref in found] == [None, None]
        finally:
            gc.enable()


async def test_side_tasks_that_have_ended_are_forgotten() -> None:
    async with a_floor() as floor:
        supervisor = floor.supervisor
        most = 0
        lasting = supervisor.start_side_task(anyio.sleep_forever())
        for _ in range(10):
            for _ in range(20):
                supervisor.start_side_task(anyio.lowlevel.checkpoint())
            await anyio.sleep(1)
            most = max(most, len(supervisor._side_tasks))  # pyright: ignore[reportPrivateUsage]
        assert most < 60
        for _ in range(100):
            supervisor.start_side_task(anyio.sleep_forever())
        assert supervisor._prune_at > 100  # pyright: ignore[reportPrivateUsage]  # not at every start
        supervisor.stop_side_tasks()
        await settle()
        assert lasting.status is TaskHandle.Status.CANCELLED


async def test_it_asks_admission_when_time_has_passed_and_when_it_is_woken() -> None:
    async with a_floor() as floor:
        await settle()
        asked: list[float] = []
        admit = floor.admission.admit
        began = anyio.current_time()

        def counted() -> None:
            asked.append(anyio.current_time() - began)
            admit()

        floor.admission.admit = counted
        floor.supervisor.wake()
        await settle()
        assert asked == [0]
        await anyio.sleep(1000)
        assert len(asked) == 1  # nothing is due
        floor.admission.waiting, floor.admission.due = 1, anyio.current_time() + 5

        def due_again() -> None:
            asked.append(anyio.current_time() - began)
            floor.admission.due += 5

        floor.admission.admit = due_again
        floor.supervisor.wake()
        await anyio.sleep(21)
        floor.admission.waiting, floor.admission.due = 0, float("inf")
        assert [round(moment) for moment in asked[1:]] == [1000, 1010, 1015, 1020]
        floor.admission.admit = admit


async def test_what_is_due_already_is_not_asked_for_in_a_loop() -> None:
    async with a_floor() as floor:
        asked = 0

        def never() -> None:
            nonlocal asked
            asked += 1
            floor.admission.due = anyio.current_time() - 1

        floor.admission.admit = never
        floor.supervisor.wake()
        await anyio.sleep(0.02)
        assert 10 <= asked <= 22


async def test_held_streams_are_watched_by_one_task_and_not_when_it_closes() -> None:
    async with a_floor() as floor:
        supervisor = floor.supervisor
        actor = floor.submit("a", None)
        await settle()
        actor.watch.pause()
        before = len(supervisor._side_tasks)  # pyright: ignore[reportPrivateUsage]
        supervisor.closing = True
        supervisor.held(actor)
        assert len(supervisor._side_tasks) == before  # pyright: ignore[reportPrivateUsage]
        supervisor.closing = False
        supervisor.held(actor)
        supervisor.held(actor)
        assert len(supervisor._side_tasks) == before + 1  # pyright: ignore[reportPrivateUsage]
        supervisor.cancel(actor, "handle", None)


@pytest.mark.parametrize("how", ["cancel", "linger", "detach"])
@pytest.mark.parametrize("closing", [False, True])
async def test_what_its_last_consumer_wanted(how: Any, closing: bool) -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None)
        await settle()
        floor.supervisor.closing = closing
        floor.supervisor.abandoned(actor, how)
        await settle()
        assert actor.life.ended == (how == "cancel")
        await anyio.sleep(9.9)
        assert actor.life.ended == (how == "cancel")
        await anyio.sleep(0.2)
        assert actor.life.ended == (how == "cancel" or (how == "linger" and not closing))
        if actor.life.ended:
            assert result(actor) == ("cancelled", "consumer", "its last consumer left")
        else:
            floor.supervisor.cancel(actor, "handle", None)
    floor.supervisor.abandoned(actor, how)  # it is gone: no task is begun, and the task group has ended


async def test_another_consumer_keeps_it() -> None:
    async with a_floor() as floor:
        actor = floor.submit("a", None)
        handle = StreamHandle(actor, lambda _actor, _reason: None)
        handle.subscribe(on_abandon="linger").close()
        await anyio.sleep(1)
        async with handle.subscribe():
            await anyio.sleep(20)
            assert not actor.life.ended
        floor.supervisor.cancel(actor, "handle", None)


async def test_draining_no_consumer_holds_a_stream_back(monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[Audience] = []

    def drain(audience: Audience) -> None:
        drained.append(audience)

    monkeypatch.setattr(Audience, "drain", drain)
    async with a_floor(slots=1) as floor:
        actors = [floor.submit("a", None), floor.submit("b")]
        floor.supervisor.drain()
        assert drained == [actor.audience for actor in actors]
        floor.supervisor.cancel_waiting("engine", "over")
        floor.supervisor.cancel(actors[0], "engine", "over")
