"""The supervisor: the streams an engine has taken in, each from its submission to the release of its connection.

A stream that waits is a record, one that runs is a task. The supervisor starts the tasks, takes them from attempt to
attempt, and cancels them one by one, by their task handles: so the caller's own cancellation is never mistaken for the
engine's.
"""

import contextvars
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakMethod

import anyio
import attrs
from anyio import TaskHandle
from anyio.abc import TaskGroup

from ..actors.actor import StreamActor
from ..actors.channel import Linger, OnAbandon
from ..actors.response import Open, Response, ResponseFailed, told_of_dialling
from ..actors.stream import DeadlineName, ErrorInfo, State, StreamRequest
from .admission import Admission, Ticket
from .finish import is_cancellation
from .held import HeldWatch
from .limit_watch import LimitWatch
from .telemetry import Observers
from .watchdog import Watchdog

__all__ = ["EngineFault", "Job", "Supervisor"]


class EngineFault(RuntimeError):
    """The state that all streams share is wrong, by a bug. Going on could lose streams or slots unnoticed, so the
    engine crashes. The cause is what was raised."""


@contextmanager
def _shared() -> Generator[None]:
    """Work on the state that all streams share: whatever it raises is an `EngineFault`."""
    try:
        yield
    except Exception as exc:
        raise EngineFault(f"the engine's own state is at fault: {type(exc).__name__}: {exc}") from exc


_RESOLUTION = 0.001  # seconds
_OVERLOADED = "overloaded_error"


@attrs.define(eq=False)
class Job:
    """A stream and what is needed to run it."""

    actor: StreamActor
    open: Open
    context: contextvars.Context
    """What its task runs in."""
    released: Callable[[StreamActor], None] | None
    """Called when its connection is released."""
    retrying: Callable[[StreamActor], None] | None = None
    """Called when an attempt failed and another is to follow."""
    ticket: Ticket = attrs.field(init=False)
    """Its place in admission, for the attempt that it waits for or makes."""
    task: TaskHandle[None] | None = None
    again_at: float | None = None
    """While it backs off: when its next attempt may begin, on the engine's clock."""
    turn: anyio.Event | None = None
    """Set when its turn for another attempt has come."""


_CRASHED = ErrorInfo(type="engine_error", message="the engine crashed")


class Supervisor:
    """Runs jobs in `tasks` as `admission` admits them. It is the `Owner` of their actors. `released` is called with
    each actor whose connection is released."""

    def __init__(
        self,
        tasks: TaskGroup,
        clock: Callable[[], float],
        admission: Admission,
        released: Callable[[StreamActor], None],
        observers: Observers,
        limit_watch: LimitWatch | None = None,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._admission = admission
        self._released = released
        self._observers = observers
        self._jobs: dict[str, Job] = {}
        self._side_tasks: set[TaskHandle[None]] = set()
        self._prune_at = 16
        self._watchdog = Watchdog(clock, self._expired)
        self._sooner = anyio.Event()
        self._emptied: anyio.Event | None = None
        self._held_watch = HeldWatch(clock, admission)
        self._limit_watch = limit_watch or LimitWatch(clock, admission)
        self.closing = False
        """Whether no new work is begun any more."""
        self.crash: BaseException | None = None
        """What crashed the engine, if something did. Every stream ends as failed then."""

    # -- from outside

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[StreamActor]:
        return iter([job.actor for job in self._jobs.values()])

    def get(self, stream_id: str) -> StreamActor | None:
        """The stream with this id; None when it neither waits nor runs."""
        job = self._jobs.get(stream_id)
        return None if job is None else job.actor

    def backing_off(self) -> list[tuple[StreamActor, float | None]]:
        """The streams that wait before another attempt, and the moment at which it may begin."""
        return [(job.actor, job.again_at) for job in self._jobs.values() if job.actor.life.state is State.BACKOFF]

    def take_in(self, job: Job, ticket: Ticket) -> None:
        """Lets a stream wait for its turn, which may come at once."""
        actor = job.actor
        ticket.admitted = lambda: self._admitted(job)
        ticket.turned_away = lambda why: self._turned_away(job, why)
        job.ticket = ticket
        self._jobs[actor.stream_id] = job
        actor.life.to(State.QUEUED)
        self._watchdog.look_at(actor)
        self._admission.enter(ticket)

    def cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread. When the stream has ended, nothing happens."""
        job = self._jobs.get(actor.stream_id)
        if job is None or actor.life.ended:
            return  # it is gone, or about to give its connection back
        if self.crash is None:
            actor.ask_to_stop(by, reason)
        if job.task is not None:
            job.task.cancel()
        else:
            self._finish(actor, by, reason)
            self._end(job)

    def cancel_waiting(self, by: str, reason: str) -> None:
        """Asks the streams to stop that were never begun."""
        # The last one first: cancelling an earlier one could give its slot to one behind it.
        for job in [job for job in reversed(self._jobs.values()) if job.task is None]:
            self.cancel(job.actor, by, reason)

    def start_side_task(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a task that is not a stream's, until it ends or the side tasks are stopped."""
        if len(self._side_tasks) >= self._prune_at:  # not at every start: a thousand may start in one step
            self._side_tasks = {task for task in self._side_tasks if task.status is TaskHandle.Status.PENDING}
            self._prune_at = 2 * len(self._side_tasks) + 16
        task = self._tasks.create_task(self._beside(coro))
        self._side_tasks.add(task)
        return task

    async def _beside(self, coro: Coroutine[Any, Any, None]) -> None:
        try:
            await coro
        except BaseException as exc:
            if not is_cancellation(exc):
                self._crashed(exc)
            raise

    def _crashed(self, exc: BaseException) -> None:
        """What is raised now is no stream's own: it cancels all tasks, and the engine is over."""
        self.crash, self.closing = self.crash or exc, True

    def stop_side_tasks(self) -> None:
        """Cancels the side tasks."""
        for task in self._side_tasks:
            task.cancel()

    def drain(self) -> None:
        """From now on no consumer holds a stream back."""
        for job in self._jobs.values():
            job.actor.audience.drain()

    async def wait_until_empty(self) -> None:
        """Waits until every stream's connection is released."""
        while self._jobs:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    def end_unstarted(self, by: str, reason: str) -> None:
        """Ends the streams whose task never ran. To be called when no task runs any more."""
        for job in list(self._jobs.values()):
            self._finish(job.actor, by, reason)
            self._end(job)

    def begin(self) -> None:
        """Starts the watchdog, and the task that admits requests when only time had to pass."""
        self.start_side_task(self._watchdog.run())
        self.start_side_task(self._admit_in_time())

    async def _admit_in_time(self) -> None:
        admission = self._admission
        while True:
            admission.admit()
            self._limit_watch.look()
            sooner = self._sooner = anyio.Event()
            with anyio.move_on_after(max(_RESOLUTION, admission.due - self._clock())):
                while not sooner.is_set():
                    with anyio.move_on_after(self._limit_watch.patience):
                        await sooner.wait()
                    self._limit_watch.look()

    def wake(self) -> None:
        """Asks admission again now: `due` has moved to an earlier moment."""
        self._sooner.set()

    # -- a job's way

    def _admitted(self, job: Job) -> None:
        if job.turn is not None:
            job.turn.set()
        elif job.task is None:
            job.actor.watch.queued = self._clock()
            self._start(job, None)

    def _turned_away(self, job: Job, why: str) -> None:
        # Not in this step: whoever submits the stream must have it in hand before it ends.
        self.start_side_task(self._refuse(job, ErrorInfo(type="spend_cap_reached", message=why)))

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
        """A stream's task: it makes attempts. Before each but the first it waits `delay` seconds, then for a slot."""
        actor = job.actor
        told_of_dialling.set(WeakMethod(actor.tell_dialling))
        handed_on = False
        try:
            while True:
                if delay is not None:
                    self._observers.retrying(actor, delay)
                    if job.retrying is not None:
                        job.retrying(actor)
                    self._leave(job)
                    job.again_at = self._clock() + delay
                    await anyio.sleep(delay)
                    job.again_at = None
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
                # The task ends here anyway. Raised on, the cancellation would be kept by the task's handle, and its
                # frames would keep the stream.
            elif isinstance(exc, Exception) and not isinstance(exc, EngineFault):
                # It was raised while the stream was opened, read, assembled or ended: it concerns this stream alone.
                actor.finish_broken(exc)
            else:
                self._crashed(exc)
                actor.finish_failed(_CRASHED)
                raise
        finally:
            if not handed_on:
                self._end(job)

    def _cancelled(self, job: Job) -> bool:
        """The job's task was cancelled. Returns whether another task goes on with the job."""
        # The watchdog ends an attempt by cancelling its task; the next attempt then has a task of its own.
        actor = job.actor
        expired = actor.expired is not None and actor.cancel_request is None
        delay = actor.after_deadline() if expired else None
        if delay is not None and not self.closing:
            self._start(job, delay)
            return True
        self._finish(actor, "engine", "the engine shut down")
        return False

    def _finish(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Ends a stream that nobody goes on with. Whoever asked it to stop before is who cancelled it."""
        if self.crash is not None and actor.cancel_request is None:
            actor.finish_failed(_CRASHED)
        else:
            actor.finish_cancelled(by, reason)

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
        """The attempt is over: frees its slot, and settles what it used as far as that will ever be known."""
        with _shared():
            self._leave_admission(job)

    def _leave_admission(self, job: Job) -> None:
        actor = job.actor
        # A stream that was cancelled between its turn and its task's first step has made no attempt.
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
        del job.ticket, job.task  # they refer to the job: else only the collector would free a finished stream
        job.actor.closed.set()
        self._released(job.actor)
        self._observers.ended(job.actor)
        if job.released is not None:
            job.released(job.actor)
        if self._emptied is not None and not self._jobs:
            self._emptied.set()

    # -- called by actors and the watchdog

    def look_at(self, actor: StreamActor) -> None:
        """Has the watchdog look at the stream when its next deadline would pass."""
        with _shared():
            self._watchdog.look_at(actor)

    def began(self, actor: StreamActor) -> None:
        """Tells admission that an answer has begun, and how much input it took."""
        job = self._jobs.get(actor.stream_id)
        if job is not None:
            with _shared():
                self._admission.began(job.ticket, actor.assembler.attempt_usage)

    def held(self, actor: StreamActor) -> None:
        """Starts to watch whether held streams keep all slots, unless it is being watched."""
        if not self.closing and self._held_watch.begin():
            self.start_side_task(self._held_watch.run(self))

    def abandoned(self, actor: StreamActor, on_abandon: OnAbandon) -> None:
        """Cancels the stream, now or after a while, or lets it run, as its last consumer wanted."""
        if on_abandon == "cancel":
            self.cancel(actor, "consumer", "its last consumer left")
        elif on_abandon != "detach" and not self.closing and actor.stream_id in self._jobs:
            linger = Linger() if on_abandon == "linger" else on_abandon
            self.start_side_task(self._linger(actor, linger.seconds))

    async def _linger(self, actor: StreamActor, seconds: float) -> None:
        audience = actor.audience
        emptied = audience.emptied
        with anyio.move_on_after(seconds):
            await actor.closed.wait()
        # When another consumer has joined and left meanwhile, the time counts from there.
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
