"""The supervisor: the streams an engine has taken in, each from its submission to the release of its connection.

A stream that waits is a record; one that runs is a task. The supervisor starts the tasks, carries them from attempt to
attempt, and stops them: one by one, by their own task handles, so that the caller's own cancellation is never mistaken
for ours.
"""

import contextvars
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import attrs
from anyio import TaskHandle
from anyio.abc import TaskGroup

from ..actors.actor import StreamActor
from ..actors.channel import OnAbandon
from ..actors.response import Open, Response, ResponseFailed
from ..actors.stream import DeadlineName, ErrorInfo, State, StreamRequest
from .admission import Admission, Ticket
from .finish import is_cancellation
from .held import HeldWatch
from .telemetry import Observers
from .watchdog import Watchdog

__all__ = ["EngineFault", "Job", "Supervisor"]


class EngineFault(RuntimeError):
    """What all streams share is at fault, by a bug: going on could lose streams or slots unseen, so the engine crashes.
    The cause is what was raised."""


@contextmanager
def _shared() -> Generator[None]:
    """Work on what all streams share."""
    try:
        yield
    except Exception as exc:
        raise EngineFault(f"the engine's own state is at fault: {type(exc).__name__}: {exc}") from exc


_LINGER_SECONDS = 10.0
_RESOLUTION = 0.001  # seconds
_OVERLOADED = "overloaded_error"


@attrs.define(eq=False)
class Job:
    """A stream and what it takes to run it."""

    actor: StreamActor
    open: Open
    context: contextvars.Context
    released: Callable[[StreamActor], None] | None
    ticket: Ticket = attrs.field(init=False)
    task: TaskHandle[None] | None = None
    turn: anyio.Event | None = None


class Supervisor:
    """Runs jobs in `tasks`, when `admission` lets them; the `Owner` of their actors. `released` is called with each
    job whose connection is released."""

    def __init__(
        self,
        tasks: TaskGroup,
        clock: Callable[[], float],
        admission: Admission,
        released: Callable[[StreamActor], None],
        observers: Observers,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._admission = admission
        self._released = released
        self._observers = observers
        self._jobs: dict[str, Job] = {}
        self._helpers: set[TaskHandle[None]] = set()
        self._prune_at = 16
        self._watchdog = Watchdog(clock, self._expired)
        self._sooner = anyio.Event()
        self._idle: anyio.Event | None = None
        self._held_watch = HeldWatch(clock, admission)
        self.closing = False
        """Whether nothing is begun any more."""

    # -- from outside

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[StreamActor]:
        return iter([job.actor for job in self._jobs.values()])

    def get(self, stream_id: str) -> StreamActor | None:
        """The stream with this id, if it waits or runs."""
        job = self._jobs.get(stream_id)
        return None if job is None else job.actor

    def take_in(self, job: Job, ticket: Ticket) -> None:
        """A stream waits from now on; its turn may come at once."""
        actor = job.actor
        ticket.admitted = lambda: self._admitted(job)
        ticket.turned_away = lambda why: self._turned_away(job, why)
        job.ticket = ticket
        self._jobs[actor.stream_id] = job
        actor.life.to(State.QUEUED)
        self._watchdog.look_at(actor)
        self._admission.enter(ticket)

    def cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread. Does nothing when it has ended."""
        job = self._jobs.get(actor.stream_id)
        if job is None or actor.life.ended:
            return  # gone, or giving its connection back
        actor.ask_to_stop(by, reason)
        if job.task is not None:
            job.task.cancel()
        else:
            actor.finish_cancelled(by, reason)
            self._end(job)

    def cancel_waiting(self, by: str, reason: str) -> None:
        """Asks all those to stop that were never begun."""
        # The last first: one that goes may make room for those behind it.
        for job in [job for job in reversed(self._jobs.values()) if job.task is None]:
            self.cancel(job.actor, by, reason)

    def start_helper(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a task that is no stream until it ends, or the helpers are stopped."""
        if len(self._helpers) >= self._prune_at:  # not each time: a thousand may start in one step
            self._helpers = {task for task in self._helpers if task.status is TaskHandle.Status.PENDING}
            self._prune_at = 2 * len(self._helpers) + 16
        task = self._tasks.create_task(coro)
        self._helpers.add(task)
        return task

    def stop_helpers(self) -> None:
        """Cancels the helpers."""
        for helper in self._helpers:
            helper.cancel()

    def drain(self) -> None:
        """No consumer may hold a stream back any more."""
        for job in self._jobs.values():
            job.actor.audience.drain()

    async def wait_until_empty(self) -> None:
        """Waits until every stream's connection is released."""
        while self._jobs:
            self._idle = anyio.Event()
            await self._idle.wait()

    def bury(self, by: str, reason: str) -> None:
        """Ends the streams whose task never came to run, once no task runs any more."""
        for job in list(self._jobs.values()):
            job.actor.finish_cancelled(by, reason)
            self._end(job)

    def begin(self) -> None:
        """Starts what looks after deadlines, and what admits those who wait for nothing but a moment."""
        self.start_helper(self._watchdog.run())
        self.start_helper(self._admit_in_time())

    async def _admit_in_time(self) -> None:
        admission = self._admission
        while True:
            admission.admit()
            self._sooner = anyio.Event()
            with anyio.move_on_after(max(_RESOLUTION, admission.due - self._clock())):
                await self._sooner.wait()

    def wake(self) -> None:
        """Admission wants to be asked earlier than it said."""
        self._sooner.set()

    # -- a job's way

    def _admitted(self, job: Job) -> None:
        if job.turn is not None:
            job.turn.set()
        elif job.task is None:
            job.actor.watch.queued = self._clock()
            self._start(job, None)

    def _turned_away(self, job: Job, why: str) -> None:
        # Not in this step: whoever has the stream taken in is to have it in hand when it ends.
        self.start_helper(self._refuse(job, ErrorInfo(type="spend_cap_reached", message=why)))

    async def _refuse(self, job: Job, info: ErrorInfo) -> None:
        job.actor.finish_failed(info)
        if job.actor.stream_id not in self._jobs:
            return
        if job.task is not None:
            job.task.cancel()
        else:
            self._end(job)

    def _start(self, job: Job, delay: float | None) -> None:
        job.task = self._tasks.create_task(self._run(job, delay), name=job.actor.stream_id, context=job.context.copy())

    async def _run(self, job: Job, delay: float | None) -> None:
        """A stream's task: attempts, with a wait of `delay` seconds and for a slot before all but the first."""
        actor = job.actor
        handed_on = False
        try:
            while True:
                if delay is not None:
                    self._observers.retrying(actor, delay)
                    self._leave(job)
                    await anyio.sleep(delay)
                    actor.requeue()
                    await self._next_turn(job)

                async def open_response(request: StreamRequest) -> Response:
                    return await self._open(job, request)

                delay = await actor.attempt(open_response)
                if delay is None:
                    break
        except BaseException as exc:
            if is_cancellation(exc):
                handed_on = self._cancelled(job)
                # This is the task's end, so the cancellation has done its work: raised on, the handle would keep it,
                # and by its frames the stream.
            elif isinstance(exc, Exception) and not isinstance(exc, EngineFault):
                # Raised while the stream was opened, read, put together or ended: it is this stream's trouble.
                actor.finish_broken(exc)
            else:
                actor.finish_failed(ErrorInfo(type="engine_error", message="the engine crashed"))
                raise
        finally:
            if not handed_on:
                self._end(job)

    def _cancelled(self, job: Job) -> bool:
        """Its task was cancelled. Returns whether another task goes on with it."""
        # The watchdog cancels a task to end an attempt; the next attempt then gets a task of its own.
        actor = job.actor
        expired = actor.expired is not None and actor.cancel_request is None
        delay = actor.after_deadline() if expired else None
        if delay is not None and not self.closing:
            self._start(job, delay)
            return True
        actor.finish_cancelled("engine", "the engine shut down")
        return False

    async def _open(self, job: Job, request: StreamRequest) -> Response:
        try:
            response = await job.open(request)
        except ResponseFailed as exc:
            with _shared():
                self._admission.refused(job.ticket, exc.info)
            raise
        with _shared():
            self._admission.accepted(job.ticket, response.rate_limits)
        return response

    async def _next_turn(self, job: Job) -> None:
        job.turn = anyio.Event()
        job.ticket = job.ticket.again()
        with _shared():
            self._admission.enter(job.ticket)
        await job.turn.wait()

    def _leave(self, job: Job) -> None:
        """The attempt is over: its slot is free, and what it used is known as far as it ever will be."""
        with _shared():
            self._leave_admission(job)

    def _leave_admission(self, job: Job) -> None:
        actor = job.actor
        # A turn that came, but was cancelled before it was taken, has made no attempt.
        last = actor.attempts[-1] if len(actor.attempts) == job.ticket.attempt else None
        self._admission.leave(
            job.ticket,
            None if last is None else last.known_usage,
            whole=last is not None and last.error is None and actor.life.state is State.DONE,
            overloaded=last is not None and last.error is not None and last.error.type == _OVERLOADED,
        )

    def _end(self, job: Job) -> None:
        """The job is over, and its connection released. Idempotent."""
        if self._jobs.pop(job.actor.stream_id, None) is None:
            return
        self._leave(job)
        del job.ticket, job.task  # they know the job: without this, a finished stream would wait for the collector
        job.actor.closed.set()
        self._released(job.actor)
        self._observers.ended(job.actor)
        if job.released is not None:
            job.released(job.actor)
        if self._idle is not None and not self._jobs:
            self._idle.set()

    # -- what actors and the watchdog tell

    def look_at(self, actor: StreamActor) -> None:
        """See `Owner`."""
        with _shared():
            self._watchdog.look_at(actor)

    def began(self, actor: StreamActor) -> None:
        """See `Owner`."""
        job = self._jobs.get(actor.stream_id)
        if job is not None:
            with _shared():
                self._admission.began(job.ticket, actor.assembler.attempt_usage)

    def held(self, actor: StreamActor) -> None:
        """See `Owner`."""
        if not self.closing and self._held_watch.begin():
            self.start_helper(self._held_watch.run(self))

    def abandoned(self, actor: StreamActor, on_abandon: OnAbandon) -> None:
        """See `Owner`."""
        if on_abandon == "cancel":
            self.cancel(actor, "consumer", "its last consumer left")
        elif on_abandon == "linger" and not self.closing and actor.stream_id in self._jobs:
            self.start_helper(self._linger(actor))

    async def _linger(self, actor: StreamActor) -> None:
        audience = actor.audience
        emptied = audience.emptied
        with anyio.move_on_after(_LINGER_SECONDS):
            await actor.closed.wait()
        # Somebody may have joined and left again meanwhile: then that is what counts.
        if not audience.subscribers and audience.emptied == emptied:
            self.cancel(actor, "consumer", "its last consumer left")

    def _expired(self, actor: StreamActor, deadline: DeadlineName) -> None:
        job = self._jobs.get(actor.stream_id)
        if job is None or not actor.expire(deadline):
            return
        if job.task is not None:
            job.task.cancel()
        else:
            actor.after_deadline()
            self._end(job)
