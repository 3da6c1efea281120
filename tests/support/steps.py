"""Steps of an event loop, counted, so that something can be done at any one of them.

A step is what the loop does between two looks at what is next: on trio one resumption of a task, on asyncio one
callback (a task's resumption is one, what the transport is told another), on uvloop, whose callbacks can't be seen, one
resumption of a task. What is done at a step is done between it and the next one, as another task would do it; on trio
also just before it, when the task was woken already; on uvloop also as the task's own last act.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Literal

import attrs
import trio
import uvloop

__all__ = ["LOOPS", "Loop", "Point", "Steps", "Where"]

Loop = Literal["asyncio", "uvloop", "trio"]
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop", "trio")

Where = Literal["before", "after", "within"]
WHERES: dict[Loop, tuple[Where, ...]] = {
    "asyncio": ("after",),
    "uvloop": ("after", "within"),
    "trio": ("before", "after"),
}


@attrs.frozen
class Point:
    """A moment: a step's number, from 1, and where at it."""

    step: int
    where: Where

    def __str__(self) -> str:
        return f"{self.where} step {self.step}"


class Steps:
    """Counts the steps of one run of a loop between `begin` and `end`, and calls `act` at the `point`, if there is
    one. Run the loop inside `watching()`, with its `backend_options`."""

    def __init__(self, loop: Loop, point: Point | None, act: Callable[[], object]) -> None:
        self.loop: Loop = loop
        self.point = point
        self.count = 0
        self.complaints: list[str] = []
        """What the loop's exception handler was told."""
        self._act = act
        self._counting = False
        self._event_loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """What follows is counted."""
        self._counting = True

    def end(self) -> None:
        """What follows is not counted, and nothing is done at it."""
        self._counting = False

    @property
    def backend(self) -> str:
        """anyio's name for the loop."""
        return "trio" if self.loop == "trio" else "asyncio"

    @property
    def backend_options(self) -> dict[str, Any]:
        """The options of `anyio.run`."""
        if self.loop == "trio":
            return {"instruments": [_Instrument(self)]}
        return {"loop_factory": self._make_loop}

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._event_loop = uvloop.new_event_loop() if self.loop == "uvloop" else asyncio.new_event_loop()
        loop.set_exception_handler(lambda _, context: self._complain(context))
        if self.loop == "uvloop":
            loop.set_task_factory(self._make_task)
        return loop

    def stop(self) -> None:
        """Stops asyncio's loop, whatever runs in it, and notes where."""
        assert self._event_loop is not None
        for task in asyncio.all_tasks(self._event_loop):
            self.complaints.append(f"it is stuck: {task.get_name()}: {_places(task.get_coro())}")
        self._event_loop.stop()

    def _complain(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"the loop's exception handler: {context.get('message')} {context.get('exception')!r}")

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> "asyncio.Task[Any]":
        assert isinstance(coro, Coroutine)
        return asyncio.Task(_Stepped(coro, self), loop=loop, **options)

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """For asyncio: its callbacks are seen inside the block."""
        if self.loop != "asyncio":
            yield
            return
        handle_class: Any = asyncio.Handle
        run = handle_class._run

        def counted(handle: Any) -> None:
            if handle._loop is not self._event_loop:
                run(handle)
                return
            self.before()
            run(handle)
            self.after()

        handle_class._run = counted
        try:
            yield
        finally:
            handle_class._run = run

    # -- what the loops tell

    def before(self) -> None:
        """A step begins."""
        if self._counting:
            self.count += 1
            self._look("before")

    def after(self) -> None:
        """A step is over."""
        if self._counting:
            self._look("after")
            self._look("within")

    def _look(self, where: Where) -> None:
        point = self.point
        if point is None or point.step != self.count or point.where != where:
            return
        self.point = None
        if self.loop == "uvloop" and where == "after":
            assert self._event_loop is not None
            self._event_loop.call_soon(self.act)
        else:
            self.act()

    def act(self) -> None:
        """Does it now."""
        try:
            self._act()
        except Exception as exc:
            self.complaints.append(f"what was done at the step raised {exc!r}")


def _places(coro: Any) -> list[str]:
    """Where a coroutine waits, the outermost first."""
    found: list[str] = []
    while coro is not None:
        frame = getattr(coro, "cr_frame", None)
        found.append(repr(coro) if frame is None else f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        coro = getattr(coro, "cr_await", None)
    return found


class _Instrument(trio.abc.Instrument):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps.before()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps.after()


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine whose resumptions are told to the steps. `inspect` sees the coroutine through it, as anyio needs."""

    def __init__(self, coro: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._coro: Any = coro
        self._steps = steps

    def send(self, value: Any, /) -> Any:
        self._steps.before()
        try:
            return self._coro.send(value)
        finally:
            self._steps.after()

    def throw(self, typ: Any, val: BaseException | object = None, tb: TracebackType | None = None, /) -> Any:
        self._steps.before()
        try:
            return self._coro.throw(typ if val is None else val)
        finally:
            self._steps.after()

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # cr_frame, cr_running, cr_suspended, __qualname__
