"""The cancellation sweep: an operation, a way to cancel it, a connection and a loop; and everything that must be so
when it was cancelled at one step of one task.

`perform` runs one such case in an event loop of its own and returns what was wrong with it. Operations are in
`sweep_operations`, ways in `sweep_ways`.
"""

import asyncio
import gc
import importlib
import os
import re
import signal
import stat
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import anyio
import anyio.lowlevel
import attrs
import httpx
import httpx2
import trio
from tests.support.peer import TEXT, Answer, FullPort, Peer, cut
from tests.support.peer_http2 import Http2Peer
from tests.support.steps import Loop, Point, Steps

from manystream import (
    AnthropicModel,
    Deadlines,
    Engine,
    RetryPolicy,
    State,
    StreamEndEvent,
    StreamError,
    StreamHandle,
    StreamRequest,
    StreamResult,
)
from manystream.actors.actor import StreamActor

__all__ = ["Case", "Link", "Operation", "Outcome", "Run", "Servers", "Way", "perform"]

ENGINE = ("engine", "the engine shut down")
CLEANUP = ("handle", "the test is over")

_AT_REST = 0.04  # seconds after which an operation that can't go on is taken to be at rest
_STUCK = 30.0
_SOON = 3.0

_OF_OTHERS = re.compile(r"'httpx2?\._content\.ByteStream")
"""What trio says of the older httpx and its transport, which leave a request's body half sent to the collector."""

Place = Literal["consumer", "engine", "stream"]
Server = Literal["peer", "mute", "full"]


@attrs.frozen
class Link:
    """The connection: encrypted or not, made already or not, by whose client, and whether requests share it."""

    secure: bool = False
    warm: bool = False
    client: Literal["ours", "httpx2", "httpx"] = "ours"
    http2: bool = False

    def __str__(self) -> str:
        words = ["HTTP/2" if self.http2 else "TLS" if self.secure else "plain", "warm" if self.warm else "cold"]
        return " ".join([*words, *([] if self.client == "ours" else [self.client])])


@attrs.frozen(eq=False)
class Operation:
    """What is done with an engine. `stalls` when it never comes to its end of itself; `survives` when its streams run
    on without their consumer; `answers` is what the server does with its requests, in their order, before it answers
    whole; `reasons` are those for which the operation cancels its own streams when it is left, or in its course."""

    name: str
    act: Callable[["Run"], Awaitable[object]]
    answers: tuple[Answer, ...] = ()
    server: Server = "peer"
    stalls: bool = False
    survives: bool = False
    reasons: frozenset[str] = frozenset()
    errors: frozenset[str] = frozenset()
    """Types of the errors that its attempts may meet."""
    text: str = "Hi"
    arguments: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """The engine's."""
    never_whole: bool = False
    """Whether its streams are cancelled in its own course."""


class Way(Protocol):
    """A way to cancel."""

    name: str
    place: Place
    loops: tuple[Loop, ...]
    deadlines: Deadlines

    async def around(self, run: "Run", body: Callable[[], Awaitable[object]]) -> None:
        """Runs what can be cancelled."""
        ...

    def act(self, run: "Run") -> bool:
        """Cancels it. Returns False when there is nothing that could be, yet or any more."""
        ...

    def allows(self, run: "Run", actor: StreamActor, result: StreamResult) -> bool:
        """Whether a stream may have ended so, that is neither complete nor cancelled by the operation itself."""
        ...


@attrs.frozen
class Case:
    """What is tried; at a point, or without being cancelled."""

    loop: Loop
    operation: Operation
    way: Way
    link: Link
    point: Point | None

    def __str__(self) -> str:
        return f"{self.loop}, {self.operation.name}, {self.way.name}, {self.link}, {self.point or 'at rest'}"


@attrs.define
class Outcome:
    """How it went."""

    case: Case
    steps: int = 0
    """How many steps there were, up to its end or to where it came to rest."""
    acted: bool = False
    wrong: list[str] = attrs.field(factory=list[str])


class Servers:
    """Where the operations go."""

    def __init__(self, plain: Peer, secure: Peer, http2: Http2Peer, mute: Peer, full: FullPort, trust: Any) -> None:
        self.plain = plain
        self.secure = secure
        self.http2 = http2
        self.mute = mute
        self.full = full
        self.trust = trust
        """The client's TLS context."""

    def peer(self, case: Case) -> Peer:
        """The one whose connections are looked at."""
        if case.operation.server == "mute":
            return self.mute
        if case.link.http2:
            return self.http2
        return self.secure if case.link.secure else self.plain

    def url(self, case: Case) -> str:
        """Where the operation's requests go."""
        if case.operation.server == "full":
            return self.full.url.replace("http:", "https:") if case.link.secure else self.full.url
        return self.peer(case).url


class WatchedEngine(Engine):
    """An engine that remembers its streams."""

    def __init__(self, model: AnthropicModel, **arguments: Any) -> None:
        super().__init__(model, **arguments)
        self.actors: list[StreamActor] = []

    def launch(self, *args: Any, **kwargs: Any) -> StreamActor:
        actor = super().launch(*args, **kwargs)
        self.actors.append(actor)
        return actor


class StuckError(BaseException):
    """It did not come to its end."""


class Run:
    """One case on its way."""

    def __init__(self, case: Case, servers: Servers) -> None:
        self.case = case
        self.servers = servers
        self.outcome = Outcome(case)
        self.steps = Steps(case.loop, case.point, self.act)
        self.engine: WatchedEngine
        self.acted = False
        self.finished = False
        """Whether what could be cancelled has come to its end, whatever was asked."""
        self.raised: list[StreamError] = []
        self.struck: StreamActor | None = None
        """The stream that was cancelled by itself, and the state it was in."""
        self.struck_in: State | None = None
        # What the ways cancel it by.
        self.scope: anyio.CancelScope | None = None
        self.task: asyncio.Task[None] | None = None
        self.timeout: asyncio.Timeout | None = None
        self._token: Any = None
        self._at_rest: threading.Timer | None = None

    def wrong(self, what: str, exc: BaseException | None = None) -> None:
        """Something is not as it must be."""
        found = what + ("" if exc is None else "\n" + "".join(traceback.format_exception(exc)))
        if found not in self.outcome.wrong:
            self.outcome.wrong.append(found)

    def request(self, number: int = 1) -> StreamRequest:
        """One of the operation's requests."""
        return StreamRequest(self.case.operation.text, custom_id=f"{number}", group="swept")

    def act(self) -> None:
        """Cancels: called at the point, or when the operation is at rest."""
        if not self.acted and not self.finished:
            self.outcome.steps = max(self.outcome.steps, self.steps.count)
            self.acted = self.outcome.acted = self.case.way.act(self)

    # -- the course of it

    async def main(self) -> None:
        """All of it, inside the loop."""
        case = self.case
        before = count_tasks()
        self._token = anyio.lowlevel.current_token().native_token
        clients: list[Any] = []
        if case.link.client == "httpx2":
            clients.append(httpx2.AsyncClient(verify=self.servers.trust, timeout=None))
        elif case.link.client == "httpx":
            clients.append(httpx.AsyncClient(verify=self.servers.trust, timeout=None))
        http_client = clients[0] if clients else None
        http2 = case.link.http2 or None
        model = AnthropicModel(
            "claude-opus-5-5", api_key="k", base_url=self.servers.url(case), http_client=http_client, http2=http2
        )
        self._connections = self.servers.http2.connections
        arguments = {
            "retry": RetryPolicy(max_attempts=1 if case.operation.stalls else 3, base_delay=0.003, max_delay=0.003),
            "deadlines": case.way.deadlines,
            **case.operation.arguments,
        }
        body = partial(self._with_engine, model, arguments)
        try:
            if case.way.place == "engine":
                if not case.link.warm:
                    self._begin()
                await case.way.around(self, body)
                self._end()
            else:
                await body()
        except BaseException as exc:
            self._end()
            if isinstance(exc, StuckError):
                raise
            self.wrong(f"{type(exc).__name__} came out", exc)
        for client in clients:
            await client.aclose()
        self._check_endings()
        self._check_counts()
        await self._settles("tasks are left when the engine was left", lambda: count_tasks() - before)
        peer = self.servers.peer(case)
        peer.let_go()
        await self._settles("connections are left", lambda: peer.open)

    async def _with_engine(self, model: AnthropicModel, arguments: dict[str, Any]) -> None:
        case, way = self.case, self.case.way
        operation = partial(case.operation.act, self)
        async with WatchedEngine(model, **arguments) as self.engine:
            if case.link.warm:
                await self.engine.submit("warm").wait()
                self.engine.actors.clear()
            self.servers.peer(case).tell(*case.operation.answers)
            if way.place == "engine":
                if case.link.warm:
                    self._begin()
                await operation()
                return
            before = count_tasks() - self._own_tasks()
            self._begin()
            await way.around(self, operation)
            self._end()
            await self._check_inside(before)

    def _begin(self) -> None:
        self.steps.begin()
        if self.case.operation.stalls:
            self._at_rest = threading.Timer(_AT_REST, self._rests)
            self._at_rest.daemon = True
            self._at_rest.start()

    def _rests(self) -> None:
        soon = self._token.run_sync_soon if self.case.loop == "trio" else self._token.call_soon_threadsafe
        soon(self.act)

    def _end(self) -> None:
        self.finished = True
        self.outcome.steps = max(self.outcome.steps, 0 if self.case.operation.stalls else self.steps.count)
        self.steps.end()
        if self._at_rest is not None:
            self._at_rest.cancel()
            self._at_rest.join()

    # -- what must be so

    async def _check_inside(self, tasks: int) -> None:
        """The operation is over, the engine is not."""
        operation, engine = self.case.operation, self.engine
        handles = [StreamHandle(actor, engine.ask_to_cancel) for actor in engine.actors]
        if operation.survives:
            for handle in handles:
                if operation.stalls:
                    handle.cancel(CLEANUP[1])
                with anyio.move_on_after(_SOON):
                    await handle.wait()
        elif running := [handle for handle in handles if not handle._actor.closed.is_set()]:  # pyright: ignore[reportPrivateUsage]
            self.wrong(f"the operation was left, and {running} still run")
            with anyio.move_on_after(_SOON):
                for handle in running:
                    await handle.wait()
        self._check_counts()
        await self._settles(
            "tasks are left when the operation was left", lambda: count_tasks() - tasks - self._own_tasks()
        )
        await self._check_shared()
        self._check_endings()
        self.servers.peer(self.case).let_go()
        self.servers.peer(self.case).tell()
        again = StreamRequest("again")
        if operation.server != "peer":
            again = attrs.evolve(again, model=AnthropicModel("m", api_key="k", base_url=self.servers.plain.url))
        with anyio.move_on_after(_SOON):
            result = await engine.submit(again).wait()
            engine.actors.pop()
            if (result.state, result.text) != ("complete", TEXT):
                self.wrong(f"the next request ended {result.state}: {result.error}")
            return
        self.wrong("the next request did not come to its end")

    def _own_tasks(self) -> int:
        """How many tasks are the engine's own: one may look a while longer at streams that were held back, and on trio
        each shared connection has two."""
        supervisor: Any = self.engine._supervisor  # pyright: ignore[reportPrivateUsage]
        shared = sum(connection.protocol == "HTTP/2" for connection in self.engine.stats().connections)
        return int(supervisor._held_watch._looking) + (2 * shared if self.case.loop == "trio" else 0)

    async def _check_shared(self) -> None:
        """A stream that was cancelled was reset, and its connection is as good as before."""
        case, peer = self.case, self.servers.http2
        if not case.link.http2 or case.operation.server != "peer":
            return
        await self._settles("streams are left", lambda: peer.streams)
        made = peer.connections - self._connections
        if case.link.warm and cut not in case.operation.answers and (made != 1 or not peer.open):
            self.wrong(f"the shared connection was lost: {made} were made, and {peer.open} are open")

    async def _settles(self, what: str, left: Callable[[], int]) -> None:
        """Soon there is nothing left."""
        with anyio.move_on_after(_SOON):
            while left():  # noqa: ASYNC110  # a server's thread tells nobody
                await anyio.sleep(0.0005)
            return
        self.wrong(f"{left()} {what}")

    def _check_counts(self) -> None:
        """No slot is taken, nobody waits, and nothing is kept."""
        engine: Any = self.engine
        if engine._supervisor is None:
            return
        stats = engine.stats()
        admission = engine._admission
        groups = [admission._no_group, *admission._groups.values()]
        counts = {
            "running": stats.running,
            "waiting": stats.waiting,
            "backoff": stats.backoff,
            "waits": len(stats.waits),
            "responses": sum(connection.streams for connection in stats.connections),
            "running in pools": sum(pool.running for pool in admission.pools),
            "running in groups": sum(group.running for group in groups),
            "probes": sum(pool.throttle.window._probe is not None for pool in admission.pools),
            "followers": len(admission._followers),
            "jobs": len(engine._supervisor),
        }
        if any(counts.values()):
            self.wrong(f"counts are left: { {name: count for name, count in counts.items() if count} }")

    def _check_endings(self) -> None:
        if not hasattr(self, "engine"):
            return
        for actor in self.engine.actors:
            for what in self._faults(actor):
                cause = None if actor.result is None or actor.result.error is None else actor.result.error.cause
                self.wrong(f"stream {actor.request.custom_id}: {what}", cause)
        results = [actor.result for actor in self.engine.actors]
        for raised in self.raised:
            if raised.result not in results:
                self.wrong("a StreamError came with a result that is no stream's", raised)

    def _faults(self, actor: StreamActor) -> Iterator[str]:
        case, result = self.case, actor.result
        if result is None:
            yield "it has no ending"
            return
        if not actor.closed.is_set():
            yield "it was not released"
        mailbox = StreamHandle(actor, self.engine.ask_to_cancel).subscribe()
        events: list[Any] = []
        while not events or not isinstance(events[-1], StreamEndEvent):
            events.append(mailbox.receive_nowait())
        if mailbox.statistics().current_buffer_used or events[-1].result is not result:
            yield "it has more than one ending"
        mailbox.close()
        cancelled = (result.cancelled_by, result.cancel_reason)
        ended = f"it ended {result.state} ({result.error or cancelled})"
        if result.state == "complete":
            if result.text != TEXT or result.stop_reason != "end_turn":
                yield f"it is called complete, and has the text {result.text!r}"
            if case.operation.stalls or case.operation.never_whole:
                yield "it is called complete, and can't have been"
        elif result.state == "cancelled":
            allowed = {("consumer", reason) for reason in case.operation.reasons if self._may_leave(reason)}
            if case.way.place == "engine" and self.acted:
                allowed.add(ENGINE)
            if case.operation.survives and case.operation.stalls:
                allowed.add(CLEANUP)
            if cancelled not in allowed and not case.way.allows(self, actor, result):
                yield ended
            if result.error is not None:
                yield f"it was cancelled, with the error {result.error}"
        elif not case.way.allows(self, actor, result):
            yield ended
        yield from self._attempt_faults(actor, result)

    def _may_leave(self, reason: str) -> bool:
        return self.acted or self.case.operation.never_whole or reason == "another was faster"

    def _attempt_faults(self, actor: StreamActor, result: StreamResult) -> Iterator[str]:
        attempts = result.attempts
        if [attempt.number for attempt in attempts] != list(range(1, len(attempts) + 1)) or len(attempts) > 3:
            yield f"its attempts are {attempts}"
        expected = self.case.operation.errors | {"deadline_exceeded"}
        for attempt in attempts:
            if attempt.error is not None and attempt.error.type not in expected:
                yield f"attempt {attempt.number} met {attempt.error}"
            if not 0 <= attempt.started <= attempt.ended:
                yield f"attempt {attempt.number} took from {attempt.started} to {attempt.ended}"
        for attempt in attempts[:-1]:
            if attempt.error is None:
                yield f"attempt {attempt.number} was not the last, and met no error"
        if result.state == "complete" and (not attempts or attempts[-1].error is not None):
            yield f"it is complete by the attempts {attempts}"
        if not attempts and actor is self.struck and self.struck_in in (State.CONNECTING, State.STREAMING):
            yield f"it was {self.struck_in}, and has no attempts"


def count_tasks() -> int:
    """How many tasks the event loop has."""
    if isinstance(anyio.lowlevel.current_token().native_token, asyncio.AbstractEventLoop):
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living


def open_files() -> set[tuple[int, int]]:
    """The sockets and pipes that are open, by device and inode."""
    found: set[tuple[int, int]] = set()
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.exists():
            for number in os.listdir(folder):
                with suppress(OSError):  # the folder itself was one
                    status = os.fstat(int(number))
                    if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
                        found.add((status.st_dev, status.st_ino))
            break
    return found


@contextmanager
def _complaints() -> Generator[list[str]]:
    """What Python complains of meanwhile."""
    found: list[str] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: found.append(f"unraisable: {what.exc_value!r} in {what.object!r}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield found
            gc.collect()
        found.extend(
            f"{warning.category.__name__}: {warning.message}"
            for warning in caught
            if not _OF_OTHERS.search(str(warning.message))
        )
    finally:
        sys.unraisablehook = hook


@contextmanager
def _not_for_ever(steps: Steps) -> Generator[None]:
    def stuck(_: int, frame: FrameType | None) -> None:
        if steps.loop == "trio":
            raise StuckError("".join(traceback.format_stack(frame)[-3:]))
        steps.stop()

    before = signal.signal(signal.SIGALRM, stuck)
    signal.setitimer(signal.ITIMER_REAL, _STUCK, 2.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def perform(case: Case, servers: Servers) -> Outcome:
    """Runs a case and returns how it went."""
    run = Run(case, servers)
    servers.peer(case).tell()  # what the last case never asked for
    files = open_files()
    if case.loop == "trio":
        run_module: Any = importlib.import_module("trio._core._run")
        run_module._r.seed(case.point.step if case.point else 0)  # its batches are shuffled
    with _complaints() as complaints:
        try:
            with _not_for_ever(run.steps), run.steps.watching():
                anyio.run(run.main, backend=run.steps.backend, backend_options=run.steps.backend_options)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                raise
            run.wrong(f"{type(exc).__name__} came out of the loop", exc)
    outcome = run.outcome
    outcome.wrong.extend([*run.steps.complaints, *complaints])
    peer = servers.peer(case)
    peer.let_go()
    if peer.wait_until_idle(_SOON) or servers.plain.wait_until_idle(_SOON):
        outcome.wrong.append("connections are left when the loop has ended")
    until = time.monotonic() + _SOON
    while left := open_files() - files:
        if time.monotonic() > until:
            outcome.wrong.append(f"{len(left)} sockets are left")
            break
        time.sleep(0.0005)  # the server takes leave in a thread of its own
    return outcome
