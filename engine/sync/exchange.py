"""How a task in the event loop and a thread that waits for it give each other things.

The task gives items in batches, one batch ahead of the thread, so that it has the next when the thread comes for it.
While the thread keeps up, a batch costs one entry in a queue; the loop is only asked to do something when the task
waits for the thread. Requests go the other way: the thread takes them from the caller's iterable, since that may be
bound to it, as a database's cursor is.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from enum import Enum
from queue import SimpleQueue
from threading import Event as ThreadEvent
from typing import Any, Generic, TypeVar, cast

import anyio

from ...actors.stream import RequestLike
from ..combinators.arguments import check_requests
from .loop_thread import LoopThread

__all__ = ["Exchange"]

T = TypeVar("T")
V = TypeVar("V")


class _Sign(Enum):
    """What the task tells the thread, beside items."""

    WANTED = "a request is wanted"
    OVER = "the task is over"


class Exchange(Generic[T, V]):
    """A task in the loop that gives items of `T` and returns a `V`, and one thread that takes them."""

    def __init__(self, loop: LoopThread, requests: Iterable[RequestLike] = ()) -> None:
        check_requests(requests)
        if isinstance(requests, AsyncIterable):
            raise TypeError("requests is an iterable here; an asynchronous one is for Engine")
        self._loop = loop
        self._requests: Iterable[RequestLike] = requests
        self._drawn: Iterator[RequestLike] | None = None
        self._queue: SimpleQueue[list[T] | _Sign] = SimpleQueue()
        self._given = 0  # batches; only the task counts them
        self._taken = 0  # only the thread counts them
        self._room: anyio.Event | None = None  # while the task waits for the thread to take a batch
        self._answered: anyio.Event | None = None  # while the task waits for a request
        self._answer: list[RequestLike] = []
        self._refusal: Exception | None = None
        self._ended = ThreadEvent()
        self._task: Future[None] | None = None
        self._value: V | None = None
        self._failure: Exception | None = RuntimeError("the engine was closed meanwhile")  # unless the task says more

    def start(self, main: Callable[[], Coroutine[Any, Any, V]]) -> None:
        """Starts the task. Raises `RuntimeError` when the engine is not open."""

        async def run() -> None:
            try:
                self._value = await main()
                self._failure = None
            except Exception as exc:
                self._failure = exc
            finally:
                self._ended.set()
                self._queue.put(_Sign.OVER)

        self._task = self._loop.start(run)

    # -- for the task

    async def give(self, batch: list[T]) -> None:
        """Gives a batch. Waits while the thread has not taken the one before. A cancellation loses nothing: the batch
        is given, and then it is raised."""
        try:
            if self._given > self._taken:
                self._room = anyio.Event()
                if self._given > self._taken:  # else it was taken before the thread could see `_room`
                    await self._room.wait()
        finally:
            self._room = None
            self.give_last(batch)

    def give_last(self, batch: list[T]) -> None:
        """Gives a batch, which may be empty, without waiting."""
        if batch:
            self._given += 1
            self._queue.put(batch)

    def requests(self) -> Iterable[RequestLike] | AsyncIterator[RequestLike]:
        """The caller's requests: as they are if nothing of the caller's runs when they are taken, else each taken by
        the thread when it is wanted."""
        return self._requests if isinstance(self._requests, list | tuple) else _Wanted(self)

    async def next_request(self) -> RequestLike:
        """The next request, taken by the thread. Raises `StopAsyncIteration` when there is none, and what the caller's
        iterable raises."""
        self._answered = anyio.Event()
        self._queue.put(_Sign.WANTED)
        await self._answered.wait()
        if self._refusal is not None:
            raise self._refusal
        if not self._answer:
            raise StopAsyncIteration
        return self._answer.pop()

    # -- for the thread

    def take(self) -> list[T]:
        """The next batch, once there is one; an empty list when the task is over. Takes requests meanwhile. What it
        raises, Ctrl-C for one, cancels the task. Raises `RuntimeError` in a forked process."""
        self._loop.check_process()
        try:
            while (message := self._queue.get()) is _Sign.WANTED:
                self._draw()
        except BaseException:
            self.cancel()
            raise
        if isinstance(message, _Sign):
            self._queue.put(message)  # for the next time
            return []
        self._taken += 1
        if (room := self._room) is not None:
            self._loop.soon(room.set)
        return message

    def _draw(self) -> None:
        try:
            if self._drawn is None:
                self._drawn = iter(self._requests)
            self._answer = [next(self._drawn)]
        except StopIteration:
            self._answer = []
        except Exception as exc:
            self._refusal = exc
        assert self._answered is not None
        self._loop.soon(self._answered.set)

    def outcome(self) -> V:
        """What the task returned or raised, once it is over; `RuntimeError` when the engine was closed before."""
        if self._failure is not None:
            raise self._failure
        return cast("V", self._value)

    def cancel(self) -> None:
        """Cancels the task, soon. From any thread, and in the middle of anything."""
        if self._task is not None and self._loop.in_this_process:
            self._task.cancel()

    def close(self) -> None:
        """Cancels the task, and returns when it has ended. From any thread but the loop's."""
        if self._task is not None and self._loop.in_this_process:
            self._task.cancel()
            self._ended.wait()


class _Wanted(AsyncIterator[RequestLike]):
    """The requests of an exchange, for the engine."""

    def __init__(self, exchange: Exchange[Any, Any]) -> None:
        self._exchange = exchange

    async def __anext__(self) -> RequestLike:
        return await self._exchange.next_request()
