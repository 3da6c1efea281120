"""The transport under the SDK's synchronous client: threads ask at the engine's door, and wait for what comes.

What comes goes through a queue. It holds at most what a transit may hold; then the thread has to take some before more
is read.
"""

import contextvars
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import anyio
import httpx2
from anyio import TaskHandle

from ..finish import is_cancellation
from .answers import Answer, error_answer
from .asynchronous import upstream_request
from .endings import ending_of
from .foreign import Foreign, is_messages
from .gateway import Gateway, OnEnd
from .transit import Transit

__all__ = ["ThreadTransport"]

_ROOM = 256 * 1024  # bytes of what passes through that may wait for the thread
_LEFT = "the caller left the response"
_IN_ITS_THREAD = (
    "the synchronous client would block the engine's own event loop, which it waits for: use it in another thread, or"
    " take engine.anthropic_client()"
)
_Head = tuple[int, Any]  # a status and headers


class _Line:
    """From the event loop to one thread: a head, pieces of the body, and at last None or what is to be raised."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[_Head | bytes | Answer | BaseException | None] = SimpleQueue()
        self._put = 0  # bytes; only the loop counts them
        self._taken = 0  # only the thread counts them
        self.caught_up: Callable[[], None] | None = None
        """Called in the thread when it has taken something."""

    def put(self, item: "_Head | bytes | Answer | BaseException | None") -> None:
        """In the loop."""
        if isinstance(item, bytes):
            self._put += len(item)
        self._queue.put(item)

    def waiting(self) -> int:
        """How many bytes the thread has not taken yet. In the loop."""
        return self._put - self._taken

    def take(self) -> "_Head | bytes | Answer | BaseException | None":
        """The next item, once it has come. In the thread. What interrupts the wait, such as Ctrl-C, is raised."""
        item = self._queue.get()
        if isinstance(item, bytes):
            self._taken += len(item)
            if self.caught_up is not None:
                self.caught_up()
        return item


class ThreadTransport(httpx2.BaseTransport):
    """As `EngineTransport`, for threads other than the engine's. To be made in the engine's event loop."""

    def __init__(
        self, gateway: Gateway, upstream: httpx2.AsyncClient, *, credentials: object, on_end: OnEnd | None
    ) -> None:
        self._gateway = gateway
        self._door = gateway.door
        self._upstream = upstream
        self._begin = partial(
            gateway.begin, send=partial(upstream.send, stream=True), credentials=credentials, on_end=on_end
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answers one request. Raises an `AnswerFailed` where there is no answer with a status, and `RuntimeError` in
        the engine's own thread and in a forked process. Ctrl-C cancels the stream."""
        if self._door.in_its_thread:
            raise RuntimeError(_IN_ITS_THREAD)
        body = request.read()
        runs = is_messages(request.method, request.url.path)
        trip: _Run | _Passage
        if runs:
            foreign = Foreign(
                request.method, request.url, request.headers.raw, body, request.extensions.get("timeout") or {}
            )
            trip = _Run(self._gateway, partial(self._begin, foreign, labels=self._gateway.labels), request)
        else:
            trip = _Passage(self._gateway, self._upstream, upstream_request(request, body))
        context = contextvars.copy_context()
        try:
            self._door.ask(partial(context.run, trip.start))
        except RuntimeError as exc:
            if self._gateway.host.closing:
                return _whole(error_answer(503, "api_error", str(exc)))
            raise
        try:
            first = trip.line.take()
        except BaseException:
            trip.drop()
            raise
        if isinstance(first, BaseException):
            raise first
        if isinstance(first, Answer):
            return _whole(first)
        assert isinstance(first, tuple)
        status, headers = first
        return httpx2.Response(
            status, headers=list(headers), stream=_Body(trip), extensions={"http_version": b"HTTP/1.1"}
        )

    def close(self) -> None:
        """Does nothing: the connections are the engine's."""


class _Run:
    """A request that the engine runs."""

    def __init__(self, gateway: Gateway, begin: Callable[..., Transit | Answer], request: httpx2.Request) -> None:
        self.line = _Line()
        self._gateway = gateway
        self._begin = begin
        self._request = request
        self._transit: Transit | None = None
        self._headed = False
        self._told = False
        self._dropped = False

    def start(self) -> None:
        """Takes the request in. In the loop; what it raises is the thread's."""
        try:
            started = self._begin(prepare=self._prepare)
        except Exception as exc:
            self.line.put(exc)
            return
        if isinstance(started, Answer):
            self.line.put(started)
        elif self._dropped:
            self._stop()

    def _prepare(self, transit: Transit) -> None:
        self._transit = transit
        transit.news = self._forward
        transit.backlog = self.line.waiting
        self.line.caught_up = partial(self._gateway.door.soon, transit.made_room)

    def _forward(self) -> None:
        transit = self._transit
        assert transit is not None
        if self._told:
            return
        if transit.streams:
            if not self._headed:
                self._headed = True
                self.line.put((200, transit.head))
            if data := transit.take():
                self.line.put(data)
            if transit.over:
                self._told = True
                broken = transit.broken
                self.line.put(None if broken is None else ending_of(broken, self._request))
        elif transit.over:
            self._told = True
            self.line.put(transit.answer or ending_of(transit.result, self._request))

    def drop(self) -> None:
        """The thread has gone: stops the stream, soon. From any thread, and in the middle of anything."""
        self._gateway.door.soon(self._stop)

    def _stop(self) -> None:
        self._dropped = True
        if self._transit is not None and hasattr(self._transit, "actor"):
            self._gateway.drop(self._transit, _LEFT)


class _Passage:
    """A request that passes through."""

    def __init__(self, gateway: Gateway, upstream: httpx2.AsyncClient, request: httpx2.Request) -> None:
        self.line = _Line()
        self.line.caught_up = self._caught_up
        self._gateway = gateway
        self._upstream = upstream
        self._request = request
        self._task: TaskHandle[None] | None = None
        self._room: anyio.Event | None = None

    def start(self) -> None:
        """Starts the task that asks. In the loop."""
        try:
            self._task = self._gateway.host.start_side_task(self._fetch())
        except Exception as exc:
            self.line.put(exc)

    async def _fetch(self) -> None:
        end: BaseException | None = RuntimeError("the engine was left meanwhile")
        try:
            response = await self._upstream.send(self._request, stream=True)
            try:
                self.line.put((response.status_code, response.headers.raw))
                async for piece in response.aiter_raw():
                    self.line.put(piece)
                    while self.line.waiting() >= _ROOM:
                        self._room = anyio.Event()
                        if self.line.waiting() >= _ROOM:  # else it was taken before the thread could see `_room`
                            await self._room.wait()
            finally:
                with anyio.move_on_after(1, shield=True):
                    await response.aclose()
            end = None
        except BaseException as exc:
            if is_cancellation(exc) or not isinstance(exc, Exception):
                raise
            end = exc
        finally:
            self.line.put(end)

    def _caught_up(self) -> None:
        if (room := self._room) is not None:
            self._gateway.door.soon(room.set)

    def drop(self) -> None:
        """The thread has gone: stops the task, soon. From any thread, and in the middle of anything."""
        self._gateway.door.soon(self._stop)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _Body(httpx2.SyncByteStream):
    """The body of an answer, as it comes from the loop."""

    def __init__(self, trip: "_Run | _Passage") -> None:
        self._trip = trip
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._over:
            item = self._trip.line.take()
            if isinstance(item, bytes):
                yield item
                continue
            self._over = True
            if isinstance(item, BaseException):
                raise item

    def close(self) -> None:
        """Cancels the stream, unless it has ended, and does not wait for it."""
        if not self._over:
            self._over = True
            self._trip.drop()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            self._trip.drop()


def _whole(answer: Answer) -> httpx2.Response:
    return httpx2.Response(
        answer.status, headers=list(answer.headers), content=answer.body, extensions={"http_version": b"HTTP/1.1"}
    )
