"""The engine: it takes requests, decides who runs, owns the tasks that run them, and shuts them down.

Its task group is entered and left by hand, in the task of `async with Engine`, so that what the body raises comes out
as it is. Streams are cancelled one by one, by their own task handles, so that the caller's own cancellation is never
mistaken for ours.
"""

import contextvars
import math
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import anyio
import attrs
from anyio import TaskHandle
from anyio.abc import ObjectSendStream, TaskGroup

from ..actors.actor import StreamActor
from ..actors.deadlines import DeadlineName, Deadlines
from ..actors.errors import ErrorInfo
from ..actors.events import PartEvent
from ..actors.handle import StreamHandle
from ..actors.lifecycle import State
from ..actors.mailbox import OnAbandon, Policy
from ..actors.request import StreamRequest
from ..actors.result import StreamResult
from ..actors.retry import RetryPolicy
from ..actors.source import Open
from .admission import Admission, EngineBusy, Ticket
from .combine import gather, pipe
from .completion import CompletionChannel, as_completed
from .contest import HedgeContext, RaceContext, Until
from .fleet import FleetContext
from .loop import HomeLoop
from .merge import MergeChannel, merge
from .model import AnthropicModel, Connection
from .stream import StreamContext
from .watchdog import Watchdog

__all__ = ["Engine", "EngineBusy", "EngineStats", "RequestLike"]

RequestLike = StreamRequest | Mapping[str, Any] | str
"""A request, or what one is made of: Messages parameters, or the text of one user message."""

_LINGER_SECONDS = 10.0
_ENOUGH_TTFTS = 20


@attrs.frozen
class EngineStats:
    """What an engine is doing."""

    running: int
    """Streams that hold a slot."""
    waiting: int
    """Requests that wait for one."""


@attrs.define(eq=False)
class _Job:
    """A stream and what the engine needs to run it."""

    actor: StreamActor
    model: AnthropicModel
    context: contextvars.Context
    ended: Callable[[StreamActor], None] | None
    ticket: Ticket = attrs.field(init=False)
    task: TaskHandle[None] | None = None
    turn: anyio.Event | None = None


class Engine:
    """Runs many streams at once, in one event loop: `async with Engine(model) as engine`.

    `max_concurrency` streams run at a time; more wait, at most `max_queued` of them (None: any number). `deadlines` are
    how long each stage of a stream may take, `retry` how failures before the first content are tried again; a request
    may bring its own. Leaving the block refuses new work, ends what waits, and lets
    what runs finish for `grace` seconds before it is cancelled; leaving it with an exception cancels at once. Either
    way nothing of the engine runs any more when the block is left.

    Entering raises `MissingCredentialsError` when the model has none. An engine is used once, in the task, thread and
    event loop that entered it; elsewhere its methods raise `RuntimeError`.
    """

    def __init__(
        self,
        model: AnthropicModel,
        *,
        max_concurrency: int = 100,
        max_queued: int | None = None,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        grace: float = 30.0,
    ) -> None:
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency is at least 1, not {max_concurrency}")
        if max_queued is not None and max_queued < 0:
            raise ValueError(f"max_queued is at least 0, not {max_queued}")
        self._model = model
        self._max_concurrency = max_concurrency
        self._deadlines = deadlines or Deadlines()
        self._retry = retry or RetryPolicy()
        self._grace = grace
        self._admission = Admission(max_concurrency, max_queued)
        self._jobs: dict[str, _Job] = {}
        self._connections: dict[AnthropicModel, tuple[Connection, Open]] = {}
        self._helpers: set[TaskHandle[None]] = set()
        self._loop: HomeLoop | None = None
        self._tasks: TaskGroup | None = None
        self._ttfts: deque[float] = deque(maxlen=1000)
        self._closing = False
        self._idle: anyio.Event | None = None

    # -- entering and leaving

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("an engine is entered once; make another")
        self._loop = HomeLoop()
        self._connect(self._model)
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks = tasks
        self._watchdog = Watchdog(self._loop.clock, self._expired)
        self.start_helper(self._watchdog.run())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._closing = True
        cancelled: BaseException | None = exc if isinstance(exc, anyio.get_cancelled_exc_class()) else None
        for job in list(self._jobs.values()):
            if job.task is None:
                self._cancel(job, "engine", "the engine shut down")
        if exc is None:
            for job in self._jobs.values():
                job.actor.drain()
            try:
                with anyio.move_on_after(self._grace):
                    await self._drained()
            except anyio.get_cancelled_exc_class() as caught:
                cancelled = caught
        for job in list(self._jobs.values()):
            self._cancel(job, "engine", "the engine shut down")
        for helper in list(self._helpers):
            helper.cancel()
        try:
            # Only a cancellation concerns the task group: any other exception of the body comes out as it is.
            await self._tasks.__aexit__(type(cancelled) if cancelled else None, cancelled, None)
        finally:
            # Whatever task never came to run leaves its stream to us.
            for job in list(self._jobs.values()):
                job.actor.finish_cancelled("engine", "the engine shut down")
                self._end(job)
            with anyio.CancelScope(shield=True):
                for connection, _ in self._connections.values():
                    await connection.aclose()
        if cancelled is not None and cancelled is not exc:
            raise cancelled

    async def _drained(self) -> None:
        while self._jobs:
            self._idle = anyio.Event()
            await self._idle.wait()

    def _connect(self, model: AnthropicModel) -> Open:
        found = self._connections.get(model)
        if found is None:
            from .route import open_route

            connection = model.connect()
            self._connections[model] = found = connection, open_route(model, connection, self._deadlines)
        return found[1]

    def _check(self) -> HomeLoop:
        if self._loop is None or self._tasks is None:
            raise RuntimeError("enter the engine first: async with Engine(...) as engine")
        self._loop.check()
        if self._closing:
            raise RuntimeError("the engine is shutting down")
        return self._loop

    # -- one stream

    def submit(self, request: RequestLike) -> StreamHandle:
        """Starts a request that runs on its own, whoever watches; returns its handle at once.

        Raises `TypeError` for what is not a request, `EngineBusy` when `max_queued` requests wait already, and
        `RuntimeError` when the engine is not running, or not here.
        """
        return StreamHandle(self.launch(request), self.ask_to_cancel)

    def stream(self, request: RequestLike, *, policy: Policy | None = None) -> StreamContext:
        """One stream to read directly: `async with engine.stream(request) as stream`, then iterate `stream` or
        `stream.text_stream`.

        The request starts when the block is entered, which raises as `submit` does. Reading raises a `StreamError`
        after the last event when the stream did not end `complete`. Leaving the block while the stream runs cancels it
        (unless it has other consumers) and returns when its connection is gone or back in the pool. The block may be
        entered and left in different tasks.
        """
        return StreamContext(lambda: self.launch(request, on_abandon="cancel"), self.ask_to_cancel, policy)

    def get(self, stream_id: str) -> StreamHandle | None:
        """The handle of a stream that waits or runs; None for others: the engine forgets what has ended."""
        job = self._jobs.get(stream_id)
        return None if job is None else StreamHandle(job.actor, self.ask_to_cancel)

    def cancel_group(self, group: str, *, reason: str | None = None) -> None:
        """Asks all streams of a group to stop, those that wait too. From any thread, as a handle's `cancel`."""
        if self._loop is not None:
            self._loop.call(lambda: self._cancel_group(group, reason))

    def _cancel_group(self, group: str, reason: str | None) -> None:
        for job in list(self._jobs.values()):
            if job.actor.request.group == group:
                self._cancel(job, "group", reason)

    def stats(self) -> EngineStats:
        """What the engine is doing now."""
        return EngineStats(self._admission.running, self._admission.waiting)

    # -- many streams

    def merge(self, requests: Iterable[RequestLike] | AsyncIterable[RequestLike]) -> FleetContext[MergeChannel]:
        """The events of many streams in one channel: `async with engine.merge(requests) as channel`.

        An ending is a value here, a `StreamEndEvent` among the others. The channel gives `TaggedEvent(custom_id,
        event)`, in order within a stream, and ends when all streams have. Requests are taken from the iterable as
        slots come free. Leaving the block cancels what still runs, and returns when it has stopped.
        """
        return merge(self, requests)

    def as_completed(
        self, requests: Iterable[RequestLike] | AsyncIterable[RequestLike]
    ) -> FleetContext[CompletionChannel]:
        """The results of many requests as they come: `async with engine.as_completed(requests) as done`.

        An ending is a value here, a `StreamResult` like any other. Requests are taken from the iterable as slots come
        free and results are taken. Leaving the block cancels what still runs, and returns when it has stopped.
        """
        return as_completed(self, requests)

    async def gather(
        self, requests: Iterable[RequestLike] | AsyncIterable[RequestLike], *, limit: int | None = None
    ) -> list[StreamResult]:
        """The results of many requests, in their order. An ending is a value here: failures are among the results.

        Requests are taken from the iterable as slots come free; `limit` runs fewer at a time than the engine would.
        Cancelling it cancels what still runs, and is raised when all has stopped. What the iterable raises is raised
        here, likewise.
        """
        return await gather(self, requests, limit)

    async def pipe(self, request: RequestLike, send_stream: ObjectSendStream[PartEvent]) -> StreamResult:
        """Sends one stream's events into the caller's own channel, and returns the result. An ending is a value here.

        The channel stays open. When its receiver is gone, the stream is cancelled. Cancelling the call cancels the
        stream, and is raised when it has stopped.
        """
        return await pipe(self, request, send_stream)

    def race(
        self, requests: Iterable[RequestLike], *, until: Until = "first_content", policy: Policy | None = None
    ) -> RaceContext:
        """Starts all requests and keeps the fastest: `async with engine.race(requests) as stream`.

        The block is entered once there is a winner: the first to show content, or the first to be `complete`. The
        stream is the winner's, from its beginning, and reads as `engine.stream`'s does; `stream.losers` tells what the
        others used, which are cancelled at once and have stopped when the block is left. Entering raises an
        `ExceptionGroup` of `StreamError`s when all failed, and as `submit` does.
        """
        return RaceContext(self, requests, until, policy)

    def hedge(self, request: RequestLike, *, after: float | None = None, policy: Policy | None = None) -> HedgeContext:
        """One request with a second try: `async with engine.hedge(request) as stream`.

        When the first try shows no content for `after` seconds, a second is started; whichever shows content first is
        the stream, from its beginning, and the other is cancelled. By default `after` is the 95th percentile of this
        engine's own times to first content, and no second try is made before there are 20 of them. When neither shows
        content, reading raises the first one's error. Entering raises as `submit` does.
        """
        return HedgeContext(self, request, self._usual_ttft() if after is None else after, policy)

    def _usual_ttft(self) -> float | None:
        ttfts = sorted(self._ttfts)
        return None if len(ttfts) < _ENOUGH_TTFTS else ttfts[math.ceil(0.95 * len(ttfts)) - 1]

    # -- for the combinators

    @property
    def max_concurrency(self) -> int:
        """How many streams run at a time."""
        return self._max_concurrency

    def launch(
        self,
        request: RequestLike,
        *,
        on_abandon: OnAbandon = "detach",
        bounded: bool = True,
        ended: Callable[[StreamActor], None] | None = None,
    ) -> StreamActor:
        """Takes a request in; it starts now or in its turn. For the combinators: applications `submit` or `stream`.

        `bounded` respects `max_queued`; `ended` is called when the stream's connection is released.
        """
        loop = self._check()
        if not isinstance(request, StreamRequest):
            request = StreamRequest(request)
        model = request.model or self._model
        if not isinstance(model, AnthropicModel):
            raise TypeError(f"model is an AnthropicModel, not a {type(model).__name__}")
        model.params_for(request)
        self._connect(model)
        if bounded:
            self._admission.check_room()
        actor = StreamActor(
            f"stream_{uuid4().hex}",
            request,
            retry=request.retry or self._retry,
            clock=loop.clock,
            on_abandon=on_abandon,
            abandoned=self._abandoned,
            deadlines=request.deadlines or self._deadlines,
            look=self._watchdog.look_at,
        )
        job = _Job(actor, model, contextvars.copy_context(), ended)
        job.ticket = Ticket(lambda: self._admitted(job))
        self._jobs[actor.stream_id] = job
        actor.life.to(State.QUEUED)
        self._watchdog.look_at(actor)
        self._admission.enter(job.ticket, request.priority)
        return actor

    def start_helper(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a combinator's task until it ends or the engine is left."""
        self._check()
        assert self._tasks is not None
        self._helpers = {task for task in self._helpers if task.status is TaskHandle.Status.PENDING}
        task = self._tasks.create_task(coro)
        self._helpers.add(task)
        return task

    def request_cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread."""
        job = self._jobs.get(actor.stream_id)
        if job is not None:
            self._cancel(job, by, reason)

    # -- jobs

    def _admitted(self, job: _Job) -> None:
        if job.turn is not None:
            job.turn.set()
        elif job.task is None:
            job.actor.watch.queued = job.actor.watch.clock()
            self._start(job, None)

    def _start(self, job: _Job, delay: float | None) -> None:
        assert self._tasks is not None
        job.task = self._tasks.create_task(self._run(job, delay), name=job.actor.stream_id, context=job.context.copy())

    async def _run(self, job: _Job, delay: float | None) -> None:
        """A stream's task: attempts, with a wait of `delay` seconds and for a slot before all but the first."""
        actor = job.actor
        handed_on = False
        try:
            while True:
                if delay is not None:
                    self._admission.leave(job.ticket)
                    await anyio.sleep(delay)
                    actor.requeue()
                    await self._next_turn(job)
                delay = await actor.attempt(self._connect(job.model))
                if delay is None:
                    break
        except anyio.get_cancelled_exc_class():
            # The watchdog cancels this task to end an attempt; the next attempt then gets a task of its own.
            expired = actor.expired is not None and actor.cancel_request is None
            delay = actor.after_deadline() if expired else None
            if delay is not None and not self._closing:
                self._start(job, delay)
                handed_on = True
            else:
                actor.finish_cancelled("engine")
            # This is the task's end, so the cancellation has done its work: raised on, the handle would keep it, and
            # by its frames the stream.
        except BaseException:
            actor.finish_failed(ErrorInfo(type="engine_error", message="the engine crashed"))
            raise
        finally:
            if not handed_on:
                self._end(job)

    async def _next_turn(self, job: _Job) -> None:
        job.turn = anyio.Event()
        job.ticket = Ticket(lambda: self._admitted(job))
        self._admission.enter(job.ticket, job.actor.request.priority)
        await job.turn.wait()

    def _expired(self, actor: StreamActor, deadline: DeadlineName) -> None:
        job = self._jobs.get(actor.stream_id)
        if job is None or actor.expired is not None:
            return
        actor.expired = deadline
        if job.task is not None:
            job.task.cancel()
        else:
            actor.after_deadline()
            self._end(job)

    def ask_to_cancel(self, actor: StreamActor, reason: str | None) -> None:
        """What a handle's `cancel` does: from any thread."""
        if self._loop is not None:
            self._loop.call(lambda: self.request_cancel(actor, "handle", reason))

    def _cancel(self, job: _Job, by: str, reason: str | None) -> None:
        actor = job.actor
        if actor.life.ended:
            return  # it is giving its connection back
        if actor.cancel_request is None:
            actor.cancel_request = by, reason
        if job.task is not None:
            job.task.cancel()
        else:
            actor.finish_cancelled(by, reason)
            self._end(job)

    def _abandoned(self, actor: StreamActor, on_abandon: OnAbandon) -> None:
        if on_abandon == "cancel":
            self.request_cancel(actor, "consumer", "its last consumer left")
        elif on_abandon == "linger" and not self._closing and actor.stream_id in self._jobs:
            self.start_helper(self._linger(actor))

    async def _linger(self, actor: StreamActor) -> None:
        since = actor.abandoned_at = actor.watch.clock()
        with anyio.move_on_after(_LINGER_SECONDS):
            await actor.released.wait()
        # Somebody may have joined and left again meanwhile: then that is what counts.
        if not actor.feeds and actor.abandoned_at == since:
            self.request_cancel(actor, "consumer", "its last consumer left")

    def _end(self, job: _Job) -> None:
        """The job is over, and its connection released. Idempotent."""
        if self._jobs.pop(job.actor.stream_id, None) is None:
            return
        self._admission.leave(job.ticket)
        del job.ticket, job.task  # they know the job: without this, a finished stream would wait for the collector
        job.actor.released.set()
        if job.actor.result is not None and (ttft := job.actor.result.timings.ttft) is not None:
            self._ttfts.append(ttft)
        if job.ended is not None:
            job.ended(job.actor)
        if self._idle is not None and not self._jobs:
            self._idle.set()
