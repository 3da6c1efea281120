"""The engine: the face that an application sees. It takes requests, and holds together what does the work: connections,
admission, the supervisor of streams, the combinators.

Its task group is entered and left by hand, in the task of `async with Engine`, so that an exception of the body comes
out unwrapped.
"""

import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import anyio
import attrs
from anyio import TaskHandle

from ..actors.actor import StreamActor
from ..actors.channel import OnAbandon, Policy, misuse
from ..actors.handle import StreamHandle
from ..actors.stream import (
    Deadlines,
    OutputLike,
    OutputT,
    Recovery,
    RequestLike,
    RetryPolicy,
    StreamRequest,
)
from .admission import Admission, EngineBusy, Group, Limits
from .api.connected_model import ConnectedModel
from .api.model import AnthropicModel
from .budget.budget import Budget
from .budget.given import budget_of
from .combinators.race import HedgeContext
from .combinators.single import StreamContext
from .connections import Connections
from .ended import EndedStreams
from .event_loop import HomeLoop
from .finish import uninterrupted
from .many_streams import ManyStreams
from .opened import OpenedByHand
from .prices import Price, Prices
from .sdk_clients import SdkClients
from .settings import admin_key_for, check_settings
from .stats import BudgetStats, EngineStats, engine_stats
from .submission import Defaults, Submission, Way, held_back
from .supervisor import Job, Supervisor
from .telemetry import find_observers
from .times_to_content import TimesToFirstContent

if TYPE_CHECKING:
    from .budget.sharing import Sharing

__all__ = ["Engine", "EngineBusy", "EngineStats"]


_ELSEWHERE = "elsewhere its streams' state, result and cancel() can be used"
_FOR_THE_REST = frozenset(  # of the engine: combinators, runs, the synchronous face, the SDK's clients
    {"ask_to_cancel", "base_url", "budget_stats", "closing", "connection", "count_spent", "deadlines", "find"}
    | {"forget", "home", "launch", "params_for", "prices", "request_cancel", "spent_for", "start_side_task"}
    | {"with_longest_answer"}
)


@misuse("async with Engine(model) as engine", "with")
class Engine(ManyStreams, SdkClients, OpenedByHand):
    """Runs many streams at once, in one event loop: `async with Engine(model) as engine`.

    At most `max_concurrency` streams run at a time, and fewer when the API accepts no more. Other requests wait, at
    most `max_queued` of them (None: any number). The API's limits per minute are learnt from its headers, and kept;
    `limits` sets them by hand, for all pools or by the name of a pool or of a model in it. A pool is a model group
    of the API's, in fast mode or not, unless the model's `limits_pool` says otherwise. `limits="ask"` asks the API for
    the organization's groups and limits when the engine is entered. That takes an admin key, from `admin_key` or the
    environment variable `ANTHROPIC_ADMIN_KEY`. `groups` says how the requests of a group are treated beside others.

    `deadlines` says how long each stage of a stream may take, `retry` how failures are tried again, and `recovery` what
    happens when content has come before a failure (see `StreamRequest`). A request may bring its own of each.

    `spend_cap` is in dollars. A request that would exceed it is not begun: it ends as failed, without an attempt, with
    the error type `spend_cap_reached`. What runs finishes. `prices` come before the known prices, by the model's name.

    `keep_ended` is in seconds: so long `get` finds a stream after its end, without its request. At most 1,000 are kept.

    `budget` shares the limits with all other engines that use the same key and a budget of this kind: `"host"` with
    those of this user's processes on this host, `"ray"` with those in this Ray cluster, the URL of a Redis server with
    those on any machine, or a `HostBudget`, `RayBudget` or `RedisBudget`. Each gets a fair share of what it needs, and
    what one does not need goes to the others. No stream ever fails or waits because the budget can't be reached.

    Leaving the block refuses new work, cancels what waits, and lets what runs finish for `grace` seconds before that is
    cancelled, too. Leaving it with an exception cancels at once. In either case nothing of the engine runs any more
    when the block has been left.

    Making one raises `TypeError` or `ValueError` for settings that make no sense, and `MissingCredentialsError` for
    `limits="ask"` without an admin key. Entering it raises `MissingCredentialsError` when the model has no credentials,
    `ValueError` when the environment's key or base URL can't be one, and `LimitsError` when the limits can't be had. An
    engine is entered once, and used in the thread and the event loop that entered it; elsewhere its methods raise
    `RuntimeError`, unless they say otherwise.
    """

    def __init__(
        self,
        model: AnthropicModel,
        *,
        max_concurrency: int = 100,
        max_queued: int | None = None,
        limits: Limits | Mapping[str, Limits] | Literal["ask"] | None = None,
        admin_key: str | None = None,
        groups: Mapping[str, Group] | None = None,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        recovery: Recovery = "fail",
        spend_cap: float | None = None,
        prices: Mapping[str, Price] | None = None,
        grace: float = 30.0,
        keep_ended: float = 0.0,
        budget: Budget | str | None = None,
    ) -> None:
        check_settings(
            model,
            max_concurrency=max_concurrency,
            max_queued=max_queued,
            limits=limits,
            groups=groups,
            deadlines=deadlines,
            retry=retry,
            spend_cap=spend_cap,
            prices=prices,
            grace=grace,
            keep_ended=keep_ended,
        )
        self._defaults = Defaults(model, deadlines or Deadlines(), retry or RetryPolicy(), recovery)
        self._admin_key = admin_key_for(limits, admin_key)
        self._max_concurrency = max_concurrency
        self._grace = grace
        self._keep_ended = keep_ended
        self._ended: EndedStreams | None = None
        self.spent_for: dict[str, float] = {}
        """Dollars that the engine's spend cap has counted for a run, by what `Stores.spender` says. For runs."""
        self.prices = Prices(prices)
        """What models cost, the caller's own prices first. For runs."""
        self._make_admission = partial(
            Admission,
            max_concurrency,
            max_queued=max_queued,
            limits=None if limits == "ask" else limits,
            groups=groups,
            spend_cap=spend_cap,
            prices=self.prices,
        )
        self._budget = budget_of(budget)
        self._sharing: Sharing | None = None
        self._connections = Connections(self._defaults.deadlines)
        self._loop: HomeLoop | None = None
        self._supervisor: Supervisor | None = None
        self._ttfts = TimesToFirstContent()

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _FOR_THE_REST]

    # -- entering and leaving

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("an engine is entered once; make another")
        self._loop = loop = HomeLoop("engine", elsewhere=_ELSEWHERE)
        connection = self.connection
        shared: dict[str, Any] = {}
        if self._budget is not None:
            from .budget.sharing import Sharing

            self._sharing = Sharing(self._budget, loop.clock, lambda: admission)
            shared = {"make_pool": self._sharing.make_pool, "shared_cap": self._sharing.cap}
        self._admission = admission = self._make_admission(clock=loop.clock, woken=lambda: supervisor.wake(), **shared)
        if self._admin_key is not None:
            told = await self._connections.groups_of(self._defaults.model, self._admin_key)
            admission.learn_groups(connection.credentials, told)
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._observers = find_observers()
        self._supervisor = supervisor = Supervisor(tasks, loop.clock, admission, self._ttfts.add, self._observers)
        supervisor.begin()
        if self._sharing is not None:
            supervisor.start_side_task(self._sharing.run())
        if self._keep_ended:
            # The task is started by a stream's end, whose context holds the stream: it gets this one.
            here = contextvars.copy_context()
            start = partial(here.run, supervisor.start_side_task)
            self._ended = EndedStreams(self._keep_ended, loop.clock, start)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        supervisor = self._running_supervisor
        supervisor.closing = True
        why = "engine", "the engine shut down"
        cancelled: BaseException | None = exc if isinstance(exc, anyio.get_cancelled_exc_class()) else None
        supervisor.cancel_waiting(*why)
        if exc is None:
            supervisor.drain()
            try:
                with anyio.move_on_after(self._grace):
                    await supervisor.wait_until_empty()
            except anyio.get_cancelled_exc_class() as caught:
                cancelled = caught
        if self._ended is not None:
            self._ended.close()
        for actor in supervisor:
            supervisor.cancel(actor, *why)
        supervisor.stop_side_tasks()
        try:
            # The task group is told only of a cancellation: any other exception of the body comes out unwrapped.
            await self._tasks.__aexit__(type(cancelled) if cancelled else None, cancelled, None)
        finally:
            supervisor.end_unstarted(*why)
            try:
                if self._sharing is not None:
                    await uninterrupted(self._sharing.leave)
            finally:
                await self._connections.aclose()
        if cancelled is not None and cancelled is not exc:
            raise cancelled

    @property
    def _left_by_block(self) -> bool:
        return self._supervisor is not None and not self._supervisor.closing

    def _check(self) -> HomeLoop:
        supervisor = self._running_supervisor
        assert self._loop is not None
        self._loop.check()
        if supervisor.closing:
            if (crash := supervisor.crash) is not None:
                raise RuntimeError(f"the engine crashed: {type(crash).__name__}: {crash}") from crash
            raise RuntimeError("the engine is shutting down")
        return self._loop

    @property
    def _running_supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("enter the engine first: async with Engine(...) as engine, or await engine.open()")
        return self._supervisor

    # -- one stream

    def submit(self, request: RequestLike[OutputT]) -> StreamHandle[OutputT]:
        """Starts a request and returns its handle at once. The stream runs on its own, whether anybody reads it or not.

        The request is taken as it is now: later changes to the caller's objects change nothing.

        Raises `TypeError` for what is not a request, `ValueError` for one that is nested too deep, lost its headers in
        a pickle, wants an output that the API does not take, or has no known price under a spend cap; `EngineBusy` when
        `max_queued` requests wait already; and `RuntimeError` when the engine does not run, or runs in another loop.
        """
        return StreamHandle(self.launch(request, keep=True), self.ask_to_cancel, self._loop)

    @overload
    def stream(
        self, request: RequestLike, *, output: OutputLike[OutputT], policy: Policy | None = None
    ) -> StreamContext[OutputT]: ...
    @overload
    def stream(
        self, request: RequestLike[OutputT], *, output: None = None, policy: Policy | None = None
    ) -> StreamContext[OutputT]: ...
    def stream(
        self, request: RequestLike, *, output: OutputLike[Any] | None = None, policy: Policy | None = None
    ) -> StreamContext[Any]:
        """One stream to read directly: `async with engine.stream(request) as stream`, then iterate `stream`,
        `stream.text_stream`, or with an `output` (see `StreamRequest`) `stream.items()` or `stream.partials()`.

        The request starts when the block is entered, which raises as `submit` does. Reading raises a `StreamError`
        after the last event when the stream did not end `complete`. Leaving the block while the stream runs cancels it
        (unless it has other consumers) and returns when its connection is gone or back in the pool. The block may be
        entered and left in different tasks.
        """
        return StreamContext(self, request, policy, output)

    def get(self, stream_id: str) -> StreamHandle | None:
        """The handle of a stream that waits or runs, or that `submit` or `stream` began and that ended less than
        `keep_ended` seconds ago: that one holds no request. None for any other, and when the engine has been left."""
        actor = self.find(stream_id)
        return None if actor is None else StreamHandle(actor, self.ask_to_cancel, self._loop)

    def cancel_group(self, group: str, *, reason: str | None = None) -> None:
        """Asks all streams of a group to stop, those too that wait. It may be called from any thread."""
        if self._loop is not None:
            self._loop.call(lambda: self._cancel_group(group, reason))

    def _cancel_group(self, group: str, reason: str | None) -> None:
        for actor in self._running_supervisor:
            if actor.request.group == group:
                self._running_supervisor.cancel(actor, "group", reason)

    def stats(self) -> EngineStats:
        """What the engine is doing now, and what each waiting request waits for.

        Raises `RuntimeError` when the engine was never entered.
        """
        supervisor = self._running_supervisor
        assert self._loop is not None
        shared, connections = self.budget_stats(), self._connections.stats()
        return engine_stats(self._admission, supervisor, self._loop.clock(), shared, connections)

    def hedge(
        self, request: RequestLike[OutputT], *, after: float | None = None, policy: Policy | None = None
    ) -> HedgeContext[OutputT]:
        """One request with a second try: `async with engine.hedge(request) as stream`.

        When the first try shows no content for `after` seconds, a second is started; whichever shows content first is
        the stream, from its beginning, and the other is cancelled. By default `after` is the 95th percentile of this
        engine's own times to first content, and no second try is made before there are 20 of them. A turn that
        continues a message thread is never sent twice: the API takes it once. When neither shows content, reading
        raises the first one's error. Entering raises as `submit` does.
        """
        return HedgeContext(self, request, self._ttfts.usual_longest() if after is None else after, policy)

    # -- for combinators, runs and the synchronous engine

    def params_for(self, request: StreamRequest) -> dict[str, Any]:
        """The parameters that are sent for a request, its model's defaults included.

        Raises `TypeError` for a parameter that the Messages API doesn't have.
        """
        return self._defaults.model_of(request).params_for(request)

    def with_longest_answer(self, request: StreamRequest) -> StreamRequest:
        """The request with the `max_tokens` that its model gives at most, unless somebody says otherwise."""
        return self._defaults.model_of(request).with_longest_answer(request)

    def budget_stats(self) -> BudgetStats | None:
        """The `budget` of `stats()` alone, which costs little however many requests wait."""
        return None if self._sharing is None else self._sharing.stats()

    @property
    def home(self) -> HomeLoop | None:
        """The event loop that the engine belongs to; None before it is entered."""
        return self._loop

    @property
    def max_concurrency(self) -> int:
        """How many streams run at a time."""
        return self._max_concurrency

    def count_spent(self, spender: str, dollars: float) -> None:
        """Counts against the spend cap what the run `spender` spent before: for runs that go on. What `spent_for` knows
        of it is counted already."""
        more = dollars - self.spent_for.get(spender, 0.0)
        self.spent_for[spender] = dollars
        if self._admission.spend_cap is not None and more > 0:
            self._admission.spend_cap.count(more)

    @property
    def base_url(self) -> str:
        """Where the requests of the engine's own model go. The engine has to be entered."""
        from .api.shown_url import shown_url

        return shown_url(self.connection.client.base_url)

    @property
    def connection(self) -> ConnectedModel:
        """The engine's own model, connected. For the clients of other people's code."""
        return self._connections.of(self._defaults.model)[0]

    @property
    def deadlines(self) -> Deadlines:
        """How long each stage of a stream may take, unless a request says otherwise."""
        return self._defaults.deadlines

    @property
    def closing(self) -> bool:
        """Whether new work is refused: the engine is being left, or has been."""
        return self._running_supervisor.closing

    @property
    def retry(self) -> RetryPolicy:
        """How failures are tried again, unless a request says otherwise."""
        return self._defaults.retry

    def forget(self, credentials: Hashable) -> None:
        """Forgets what was learnt for credentials that nothing waits or runs for."""
        self._admission.forget(credentials)

    def find(self, stream_id: str) -> StreamActor | None:
        """The stream that `get` gives the handle of."""
        found = None if self._supervisor is None else self._supervisor.get(stream_id)
        return self._ended.get(stream_id) if found is None and self._ended is not None else found

    def launch(
        self,
        request: RequestLike,
        *,
        on_abandon: OnAbandon = "detach",
        bounded: bool = True,
        released: Callable[[StreamActor], None] | None = None,
        retry: RetryPolicy | None = None,
        recovery: Recovery | None = None,
        retrying: Callable[[StreamActor], None] | None = None,
        keep: bool = False,
        way: Way | None = None,
        until: Callable[[], Awaitable[object]] | None = None,
    ) -> StreamActor:
        """Takes a request in; it starts now or in its turn. Applications `submit` or `stream` instead.

        `bounded` respects `max_queued`; `released` is called when the stream's connection is released, and `retrying`
        when an attempt failed and another is to follow; `retry` and `recovery` are those of a request that brings none,
        in place of the engine's. `keep` lets `get` find the stream after its end, if the engine keeps any. A request
        with a `way` of its own is foreign: nothing is added to its parameters. Nothing is sent before `until()` has
        returned.
        """
        loop = self._check()
        own = self._defaults
        defaults = attrs.evolve(own, retry=retry or own.retry, recovery=recovery or own.recovery)
        submission = Submission.of(request, defaults) if way is None else Submission.foreign(request, defaults)
        if way is None:
            connection, send = self._connections.of(submission.model)
            base_url, bills_dropped = connection.client.base_url, connection.bills_dropped
            way = Way(submission.opening(send), connection.credentials, base_url, bills_dropped)
        admission, supervisor = self._admission, self._running_supervisor
        admission.check_price(submission.model_name, submission.request.group, way.cap)
        if bounded:
            admission.check_room()
        ticket = submission.ticket(admission, way)
        actor = submission.actor(
            ticket.stream_id,
            owner=supervisor,
            clock=loop.clock,
            on_abandon=on_abandon,
            bills_dropped=partial(admission.expected_output, ticket) if way.bills_dropped else None,
        )
        context = contextvars.copy_context()
        self._observers.submitted(actor, submission.params, way.base_url, context)
        if keep and self._ended is not None:
            released = self._ended.add
        if way.told is not None:
            way.told(actor)
        send = way.open if until is None else held_back(way.open, until)
        supervisor.take_in(Job(actor, send, context, released, retrying), ticket)
        return actor

    def start_side_task(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a task that is not a stream's, until it ends or the engine is left."""
        self._check()
        return self._running_supervisor.start_side_task(coro)

    def request_cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread."""
        if self._supervisor is not None:
            self._supervisor.cancel(actor, by, reason)

    def ask_to_cancel(self, actor: StreamActor, reason: str | None) -> None:
        """Asks a stream to stop, from any thread. This is what a handle's `cancel` does."""
        if self._loop is not None:
            self._loop.call(lambda: self.request_cancel(actor, "handle", reason))
