"""A tab: one connection to one browser, which is told a stream from some event on.

One loop takes all that has come, encodes it and sends it in one piece; so a slow client gets fewer, larger frames, and
the stream never waits for it. Beside it a watcher sees the client leave. There is no timer of its own: keep-alives and
the end of patience with a client that reads nothing come from whoever calls `tick`.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import anyio

from ...actors.channel import Recording, Subscriber, Wake, wake_factory
from ...actors.stream import PartEvent
from .encoders import Encoder, NativeEncoder
from .pacer import Pacer

__all__ = ["SEND_TIMEOUT", "Message", "Receive", "Scope", "Send", "Tab"]

SEND_TIMEOUT = 60.0
"""Seconds after which a client that takes nothing is given up, unless somebody says otherwise."""

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Tab:
    """One connection, from the head of its response to its end. `serve` it once.

    `after` is the number of the last event that the browser has; `before` are events that it is told first, in place of
    those that the recording no longer has.
    """

    def __init__(
        self,
        recording: Recording,
        encoding: Encoder,
        clock: Callable[[], float],
        *,
        after: int = 0,
        before: Iterable[PartEvent] = (),
        opening: bytes = b"",
        pacer: Pacer | None = None,
    ) -> None:
        self._encoding = encoding
        self._clock = clock
        self._pacer = pacer
        self._before = list(before)
        self._opening = opening
        self._subscriber: Subscriber = recording.subscribe(after)
        self._make_wake = wake_factory()
        self._wake: Wake | None = None
        self._scope = anyio.CancelScope()
        self._last = clock()  # when the latest frame was handed over, or began to be
        self._sending = False
        self._idle = False
        self._parting: bytes | None = None
        self._move: tuple[Recording, bytes] | None = None
        self.gone = False
        """Whether the client left, or was given up, before it had all."""
        self.done = anyio.Event()
        """The connection is over."""

    # -- from outside

    def tick(self, keepalive: float, send_timeout: float) -> None:
        """Time has passed: sends a keep-alive where one is due, and gives a client up that took nothing for too
        long."""
        quiet = self._clock() - self._last
        if self._sending:
            if quiet >= send_timeout:
                self.gone = True
                self._scope.cancel()
        elif quiet >= keepalive:
            self._idle = True
            self._look()

    def part(self, word: bytes = b"") -> None:
        """Ends the response without an ending of the stream, after `word`: the browser is to come again."""
        self._parting = word
        self._look()

    def begin_anew(self, recording: Recording, epoch: int) -> None:
        """Tells the stream again, from the beginning of another recording of it: what it has told may not be what was
        kept. Where the protocol has no word for that, the response ends, and the browser is to come again."""
        if isinstance(self._encoding, NativeEncoder):
            self._move = recording, self._encoding.reset(epoch=epoch)
            self._look()
        else:
            self.part()

    def _look(self) -> None:
        if self._wake is not None:
            self._wake.set()

    # -- the connection

    async def serve(self, receive: Receive, send: Send, *, keepalive: float | None = None) -> None:
        """Sends the response. Returns when it has ended, or when the client is gone; on cancellation the connection is
        left unended. The stream goes on in each case. With `keepalive`, in seconds, it calls `tick` itself."""
        failure: Exception | None = None
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch, receive)
                    if keepalive is not None:
                        tasks.start_soon(self._tick, keepalive)
                    try:
                        await self._deliver(send)
                    except OSError:
                        self.gone = True  # so some servers tell that the client has left
                    except Exception as exc:
                        failure = exc  # a task group would wrap it
                    tasks.cancel_scope.cancel()
        finally:
            self._subscriber.leave()
            self.done.set()
        if failure is not None:
            raise failure

    async def _tick(self, keepalive: float) -> None:
        while True:
            await anyio.sleep(keepalive / 4)
            self.tick(keepalive, SEND_TIMEOUT)

    async def _watch(self, receive: Receive) -> None:
        """Sees the client leave while there is nothing to send."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._scope.cancel()

    async def _deliver(self, send: Send) -> None:
        # Here, so that patience ends and a client that leaves is seen while a server waits with the head.
        headers = list(self._encoding.headers)
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": headers})
        body = self._encoding.opening + self._opening + b"".join(map(self._encoding.feed, self._before))
        while True:
            body += self._taken()
            ends = self._subscriber.ended or self._parting is not None
            if not body and self._idle:
                body = self._encoding.keepalive
            self._idle = False
            if body:
                await self._send(send, _body(body))
            if ends:
                await self._send(send, _body(self._parting or b"", last=True))
                return
            if body and self._pacer is not None:
                self._wake = self._make_wake()
                await self._pacer.pause(self._wake)
            if not self._subscriber.ready and self._parting is None and self._move is None:
                await self._wait()
            body = b""

    def _taken(self) -> bytes:
        """All that has come, encoded."""
        words: list[bytes] = []
        if self._move is not None:
            recording, word = self._move
            self._move = None
            self._subscriber.leave()
            self._subscriber = recording.subscribe()
            words.append(word)
        feed, take = self._encoding.feed, self._subscriber.take
        while (event := take()) is not None:
            words.append(feed(event))
        return b"".join(words)

    async def _send(self, send: Send, message: Message) -> None:
        self._last, self._sending = self._clock(), True
        await send(message)
        self._last, self._sending = self._clock(), False

    async def _wait(self) -> None:
        """Waits for more events, or for a look."""
        subscriber = self._subscriber
        self._wake = wake = self._make_wake()
        subscriber.waiters.append(wake)
        subscriber.park()
        try:
            await wake.wait()
        finally:
            self._wake = None
            if wake in subscriber.waiters:  # it was set by a look, or the wait was cancelled
                subscriber.waiters.remove(wake)


def _body(body: bytes, *, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}
