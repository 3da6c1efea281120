"""The ways of cancelling that the sweep knows: by whom, and around what."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
import anyio.lowlevel
import attrs
from tests.support.steps import LOOPS, Loop
from tests.support.sweep import Place, Run

from manystream import Deadlines, StreamError, StreamResult
from manystream.actors.actor import StreamActor
from manystream.engine.api.http import connect

__all__ = ["WAYS"]

REASON = "because"
_ASYNCIO: tuple[Loop, ...] = ("asyncio", "uvloop")
_NO_DEADLINES = Deadlines(connect=None, silence=None)


@attrs.frozen
class _Way:
    name: str
    place: Place
    loops: tuple[Loop, ...] = LOOPS
    deadlines: Deadlines = _NO_DEADLINES

    def allows(self, run: Run, actor: StreamActor, result: StreamResult) -> bool:
        return False


@attrs.frozen
class _Scope(_Way):
    """A cancel scope around it."""

    async def around(self, run: Run, body: Callable[[], Awaitable[object]]) -> None:
        with anyio.CancelScope() as scope:
            run.scope = scope
            await body()
            await anyio.lowlevel.checkpoint()
            run.finished = True
        if run.acted and run.finished is scope.cancelled_caught:
            run.wrong("the scope was cancelled, and what it was around never noticed")
        run.finished = True

    def act(self, run: Run) -> bool:
        assert run.scope is not None
        run.scope.cancel()
        return True


@attrs.frozen
class _Task(_Way):
    """asyncio's own `Task.cancel()`, once or twice in a row."""

    loops: tuple[Loop, ...] = _ASYNCIO
    times: int = 1

    async def around(self, run: Run, body: Callable[[], Awaitable[object]]) -> None:
        async def cancellable() -> None:
            await body()
            run.finished = True

        run.task = task = asyncio.create_task(cancellable())
        await asyncio.wait([task])
        run.finished = True
        if not task.cancelled():
            if (exc := task.exception()) is not None:
                raise exc
            if run.acted:
                run.wrong("the task was cancelled, and went on")
        elif not run.acted:
            run.wrong("the task was cancelled by nobody")

    def act(self, run: Run) -> bool:
        if run.task is None:
            return False
        run.task.cancel(REASON)
        if self.times == 2:
            asyncio.get_running_loop().call_soon(run.task.cancel)
        return True


@attrs.frozen
class _Timeout(_Way):
    """`asyncio.timeout` around it."""

    loops: tuple[Loop, ...] = _ASYNCIO

    async def around(self, run: Run, body: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(None) as timeout:
                run.timeout = timeout
                await body()
                await asyncio.sleep(0)
                run.finished = True
        except TimeoutError:
            if not run.acted:
                raise
        run.finished = True
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            run.wrong(f"the task is still being cancelled, {task.cancelling()} times")

    def act(self, run: Run) -> bool:
        assert run.timeout is not None
        run.timeout.reschedule(asyncio.get_running_loop().time() - 1)
        return True


@attrs.frozen
class _Stream(_Way):
    """What strikes one stream, the first: reading it directly raises then."""

    async def around(self, run: Run, body: Callable[[], Awaitable[object]]) -> None:
        try:
            await body()
        except StreamError as exc:
            if not run.acted:
                raise
            run.raised.append(exc)
        except ExceptionGroup as group:
            # A race in which all have failed; else there is no group.
            errors = [exc for exc in group.exceptions if isinstance(exc, StreamError)]
            if not run.acted or len(errors) < len(run.engine.actors):
                raise
            run.raised.extend(errors)
        run.finished = True

    def strike(self, run: Run) -> StreamActor | None:
        actor = next(iter(run.engine.actors), None)
        if actor is None or actor.life.ended:
            return None
        run.struck, run.struck_in = actor, actor.life.state
        return actor


@attrs.frozen
class _Handle(_Stream):
    """Its handle's `cancel`."""

    by: str = "handle"

    def act(self, run: Run) -> bool:
        actor = self.strike(run)
        if actor is not None:
            run.engine.ask_to_cancel(actor, REASON)
        return actor is not None

    def allows(self, run: Run, actor: StreamActor, result: StreamResult) -> bool:
        return actor is run.struck and (result.cancelled_by, result.cancel_reason) == (self.by, REASON)


@attrs.frozen
class _Group(_Handle):
    """The engine's `cancel_group`."""

    by: str = "group"

    def act(self, run: Run) -> bool:
        self.strike(run)
        found = [actor for actor in run.engine.actors if not actor.life.ended]
        run.engine.cancel_group("swept", reason=REASON)
        return bool(found)

    def allows(self, run: Run, actor: StreamActor, result: StreamResult) -> bool:
        return run.acted and (result.cancelled_by, result.cancel_reason) == (self.by, REASON)


@attrs.frozen
class _Deadline(_Stream):
    """A deadline that passes."""

    deadline: Literal["total", "first_event"] = "total"

    def act(self, run: Run) -> bool:
        actor = self.strike(run)
        due = None if actor is None else actor.next_due()
        if actor is None or due is None:
            return False
        supervisor: Any = run.engine._supervisor  # pyright: ignore[reportPrivateUsage]
        supervisor._expired(actor, due[1])  # as the watchdog does, whose clock has come so far
        return True

    def allows(self, run: Run, actor: StreamActor, result: StreamResult) -> bool:
        return (
            actor is run.struck
            and result.state == "failed"
            and result.error is not None
            and (result.error.type, result.error.deadline) == ("deadline_exceeded", self.deadline)
            # Not tried again when content came in the moment between the deadline and the cancellation.
            and (self.deadline == "total" or run.case.operation.stalls or bool(result.text))
        )


@attrs.frozen
class _Connect(_Stream):
    """The deadline of making a connection."""

    async def around(self, run: Run, body: Callable[[], Awaitable[object]]) -> None:
        class Noted:
            def __init__(self) -> None:
                self._scope = anyio.CancelScope()

            def __enter__(self) -> None:
                run.scope = self._scope
                self._scope.__enter__()

            def __exit__(self, *args: Any) -> bool:
                run.scope = None
                return bool(self._scope.__exit__(*args))

        class Anyio:
            """anyio, as the making of connections sees it."""

            def move_on_after(self, seconds: float | None) -> Noted:
                return Noted()

            def __getattr__(self, name: str) -> Any:
                return getattr(anyio, name)

        module: Any = connect
        before = module.anyio
        module.anyio = Anyio()
        try:
            await super().around(run, body)
        finally:
            module.anyio = before

    def act(self, run: Run) -> bool:
        if run.scope is None or run.scope.cancel_called:
            return False
        run.scope.cancel()
        return True

    def allows(self, run: Run, actor: StreamActor, result: StreamResult) -> bool:
        return (
            run.acted
            and run.case.operation.stalls
            and result.state == "failed"
            and result.error is not None
            and (result.error.type, result.error.deadline) == ("deadline_exceeded", "connect")
        )


WAYS: list[Any] = [
    _Scope("scope in engine", "consumer"),
    _Scope("scope around engine", "engine"),
    _Task("task in engine", "consumer"),
    _Task("task twice in engine", "consumer", times=2),
    _Task("task around engine", "engine"),
    _Task("task twice around engine", "engine", times=2),
    _Timeout("timeout in engine", "consumer"),
    _Timeout("timeout around engine", "engine"),
    _Handle("handle", "stream"),
    _Group("group", "stream"),
    _Deadline("total", "stream", deadlines=Deadlines(connect=None, silence=None, total=60), deadline="total"),
    _Deadline(
        "first event", "stream", deadlines=Deadlines(connect=None, silence=None, first_event=60), deadline="first_event"
    ),
    _Connect("connect", "stream", deadlines=Deadlines(connect=10, silence=None)),
]
