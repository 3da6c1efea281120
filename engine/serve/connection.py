"""A client's connection: its requests one after the other, each refused, run by the engine, or passed on.

No task wakes for a piece of an answer: the callback of the upstream's socket writes to the client's. A request that
passes on has a task of its own.
"""

import asyncio
from collections import deque
from typing import Protocol, cast

from anyio import TaskHandle

from ...actors.stream import StreamResult
from ..gateway import Answer, Transit, error_answer, error_event
from .asked import Asked, RequestReader, UnreadableRequest
from .reply import CONTINUE, PROCESSING, Reply

__all__ = ["Connection", "Service"]

_LARGEST_BODY = 32 * 1024 * 1024  # bytes of a request for a message, as the API takes it
_BODY_AHEAD = 64 * 1024  # bytes of a body that may wait for those who take it on
_AHEAD = 1024 * 1024  # bytes that a client may send ahead of its turn
_HIGH_WATER = 64 * 1024
_UNASKED = 300.0  # seconds that a connection stays open without a request
_STUCK = 60.0  # seconds of silence in the middle of a request
_UNREAD = 300.0  # seconds that a client may read nothing of its answer
_LINGER = 2.0  # seconds that a client has to read its answer, though it still sends
_FIRST_SIGN = 15.0  # seconds until a client that waits for a head is told that work goes on, and then doubled …
_LONGEST_SIGN = 60.0  # … up to these


class Service(Protocol):
    """What a gateway does for the requests of its connections."""

    @property
    def draining(self) -> bool:
        """Whether a connection is to end with the request that it is at."""
        ...

    def opened(self, connection: "Connection") -> None:
        """A client has connected."""
        ...

    def lost(self, connection: "Connection") -> None:
        """A client's connection is gone."""
        ...

    def refusal(self, asked: Asked) -> Answer | None:
        """The answer to a request that is not to be answered, or that the gateway answers itself; None for others."""
        ...

    def is_message(self, asked: Asked) -> bool:
        """Whether the engine runs it, once it is whole."""
        ...

    def begin(self, asked: Asked, body: bytes) -> Transit | Answer:
        """Runs a request for a message."""
        ...

    def pass_on(self, asked: Asked, connection: "Connection") -> TaskHandle[None] | Answer:
        """Passes a request on; its task answers by the connection's `reply`. Returns an answer where that can't be."""
        ...

    def answer_of(self, transit: Transit) -> Answer:
        """The answer to a request that is over, of which nothing was sent."""
        ...

    def stop(self, transit: Transit) -> None:
        """The gateway can't finish this request."""
        ...

    def drop(self, transit: Transit) -> None:
        """The client of this request has gone."""
        ...


class Connection(asyncio.Protocol):
    """One connection, made by the event loop for a client of `service`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reader = RequestReader(self._began, self._came)
        self._queue: deque[Asked] = deque()
        self._asked: Asked | None = None  # the request that is being answered
        self._transit: Transit | None = None
        self._passing: TaskHandle[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._ahead = 0
        self._deaf = False  # whether what comes is not read any more
        self._reading_paused = False
        self._put_off = False  # whether the last piece waited a moment for the end
        self._blocked = False  # whether the client has fallen behind with reading
        self._unsent = 0  # bytes, at the last look
        self._closed_at = self._read_at = self._loop.time()
        self.touched = self._read_at
        """When something came last, by the event loop's clock."""
        self._sign_at = self._sign_after = 0.0
        self._writable = asyncio.Event()
        self._writable.set()
        self.body_came = asyncio.Event()
        """Set when more of the body has come that is passed on."""
        self.reply: Reply
        """The reply to the request that is being answered."""

    @property
    def busy(self) -> bool:
        """Whether a request is being answered or read, or an answer is on its way."""
        unsent = self._transport is not None and self._transport.get_write_buffer_size() > 0
        return self._waited_for or unsent

    @property
    def closing(self) -> bool:
        """Whether it ends by itself, once what was written has been read."""
        return self._transport is None or self._transport.is_closing() or (self._deaf and self._asked is None)

    @property
    def _waited_for(self) -> bool:
        return self._asked is not None or bool(self._queue) or self._reader.reading

    # -- the event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        transit, self._transit = self._transit, None
        if transit is not None and not transit.over:
            self._service.drop(transit)
        if self._passing is not None:
            self._passing.cancel()
        self._service.lost(self)

    def data_received(self, data: bytes) -> None:
        self.touched = self._loop.time()
        if self._deaf:
            return
        if self._queue or self._blocked or (self._asked is not None and self._asked.whole):
            self._ahead += len(data)
            if self._ahead > _AHEAD:  # reading goes on, since it tells when the client is gone
                self._deaf = True
                self._queue.clear()
                if self._asked is None:
                    self.abort()
                return
        try:
            self._reader.feed(data)
        except UnreadableRequest as exc:
            if self._deaf:
                return
            self._deaf = True
            self._queue.clear()
            if self._asked is None:
                self.turn_away(error_answer(exc.status, "invalid_request_error", str(exc)))
            elif not self._asked.whole:
                self._break_off(exc.status, "invalid_request_error", str(exc))

    def pause_writing(self) -> None:
        self._blocked = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._blocked = False
        self._read_at = self._loop.time()
        self._writable.set()
        self._news()
        if self._transit is not None:
            self._transit.made_room()
        self._next()

    def sweep(self, now: float) -> None:
        """Looks after a connection that nothing comes from, at a time of the event loop's clock."""
        if self._transport is None:
            return
        asked, silent = self._asked, now - self.touched
        unsent = self._transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._read_at = now
        self._unsent = unsent
        if now - self._read_at >= _UNREAD:
            self.abort()
        elif self._deaf and asked is None:
            if now - self._closed_at >= _LINGER and not unsent:
                self.abort()
        elif asked is None:
            if silent >= (_STUCK if self._reader.reading else _UNASKED):
                self._transport.close()
        elif not asked.whole and not self._reading_paused:
            if silent >= _STUCK:
                self.abort()
        elif self._transit is not None and self._sign_at and now >= self._sign_at:
            self.reply.interim(PROCESSING)
            self._sign_after = min(2 * self._sign_after, _LONGEST_SIGN)
            self._sign_at = now + self._sign_after

    # -- requests

    def _began(self, asked: Asked) -> None:
        if self._deaf:
            return  # it came behind one after which the connection ends
        if self._asked is None and not self._queue and not self._blocked:
            self._start(asked)
        else:
            self._queue.append(asked)

    def _next(self) -> None:
        if self._queue and self._asked is None and self._transport is not None and not self._blocked:
            self._start(self._queue.popleft())

    def _came(self, asked: Asked) -> None:
        if asked is not self._asked or self._transport is None:
            return
        if self._passing is not None:
            self.body_came.set()
            if asked.left > _BODY_AHEAD:
                self._pause_reading()
        elif self._transit is None:
            self._go_on(asked)

    def _start(self, asked: Asked) -> None:
        """A request's turn has come."""
        assert self._transport is not None
        self._asked = asked
        self.reply = Reply(asked, self._transport, keep_alive=asked.keep_alive and not self._service.draining)
        answer = self._service.refusal(asked)
        if answer is not None:
            self.answer(answer)
            return
        if not asked.whole and (asked.one(b"expect") or b"").lower() == b"100-continue":
            self.reply.interim(CONTINUE)
        if self._service.is_message(asked):
            self._go_on(asked)
        else:
            self.body_came = asyncio.Event()
            passing = self._service.pass_on(asked, self)
            if isinstance(passing, Answer):
                self.answer(passing)
            else:
                self._passing = passing

    def _go_on(self, asked: Asked) -> None:
        """More has come of a request for a message, or all of it."""
        if asked.size > _LARGEST_BODY:
            message = f"the request has more than {_LARGEST_BODY:,} bytes"
            self.answer(error_answer(413, "request_too_large", message))
        elif asked.whole:
            self._run(asked)

    def _run(self, asked: Asked) -> None:
        transit = self._service.begin(asked, asked.take())
        if isinstance(transit, Answer):
            self.answer(transit)
            return
        assert self._transport is not None
        self._transit = transit
        self._put_off = False
        if _takes_signs(asked):
            self._sign_after = _FIRST_SIGN
            self._sign_at = self._loop.time() + _FIRST_SIGN
        transit.backlog = self._transport.get_write_buffer_size
        transit.news = self._news
        self._news()

    def _news(self) -> None:
        """There may be something to send: called by the transit, and when the client has caught up."""
        transit, reply = self._transit, self.reply if self._asked is not None else None
        if transit is None or reply is None:
            return
        if not (reply.begun or transit.streams):
            if transit.over:
                self.answer(self._service.answer_of(transit))
            return
        if self._blocked:
            return
        last: bytes | None = None
        if transit.over:
            broken: StreamResult | None = transit.broken
            last = b"" if broken is None else error_event(broken)
        elif transit.stopped and not self._put_off:
            # Its end follows in this turn of the event loop as a rule, and both go out in one write.
            self._put_off = True
            self._loop.call_soon(self._news)
            return
        if reply.begun:
            reply.piece(transit.take(), last)
        else:
            self._sign_at = 0.0
            reply.stream(list(transit.head), transit.take(), last)
        if last is not None:
            self.finish()

    # -- answers

    def answer(self, answer: Answer) -> None:
        """Answers the request whose turn it is."""
        asked = self._asked
        assert asked is not None
        if not asked.whole:
            self.reply.keep_alive = False  # its body is not wanted
        self.reply.whole(answer)
        self.finish()

    def turn_away(self, answer: Answer) -> None:
        """Answers before anything was asked, and closes the connection."""
        assert self._transport is not None
        reply = Reply(Asked(method="GET", target="/", headers=[]), self._transport, keep_alive=False)
        reply.whole(answer)
        self._close(whole=False)

    def finish(self) -> None:
        """The answer is written, and the next request's turn comes; or the connection ends."""
        asked, keep = self._asked, self.reply.keep_alive
        assert asked is not None
        self._asked = self._transit = self._passing = None
        if not self._queue:
            self._ahead = 0
        self.touched = self._loop.time()
        if self._transport is None:
            return
        if not keep or not asked.whole or self._deaf or self._service.draining:
            self._close(whole=asked.whole)
            return
        self.resume_reading()
        if self._queue:
            self._loop.call_soon(self._next)

    async def wait_until_writable(self) -> bool:
        """Waits until the client has caught up. Returns whether it is still there."""
        await self._writable.wait()
        return self._transport is not None

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on, if nothing else is ahead of its turn."""
        if self._transport is not None and self._reading_paused:
            self._reading_paused = False
            self.touched = self._loop.time()
            self._transport.resume_reading()

    def give_up(self) -> None:
        """Breaks off what is answered, and says so where that can be said."""
        if self._transit is not None:
            self._service.stop(self._transit)
        elif self._asked is not None:
            self._break_off(503, "api_error", "the gateway shut down")
        elif self._transport is not None:
            self._transport.close()  # what is on its way is sent

    def _break_off(self, status: int, kind: str, message: str) -> None:
        """Ends a request that can't be answered any more: with an error if nothing of an answer was sent."""
        passing, self._passing = self._passing, None
        if self.reply.begun:
            self.abort()
        else:
            self.answer(error_answer(status, kind, message))
        if passing is not None:
            passing.cancel()

    def close_if_unasked(self) -> None:
        """Closes a connection on which nothing is asked."""
        if not self._waited_for and self._transport is not None:
            self._transport.close()

    def _close(self, *, whole: bool) -> None:
        """Closes when what was written has been sent. A client whose request is not `whole` still sends, and may read
        its answer first: closing at once would reset the connection."""
        assert self._transport is not None
        self._deaf, self._closed_at = True, self._loop.time()
        self._queue.clear()
        if whole or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()
            self.resume_reading()

    def abort_answer(self, asked: Asked) -> None:
        """Ends the connection, if it is at this request."""
        if self._asked is asked:
            self.abort()

    def abort(self) -> None:
        """Ends the connection on the spot, so that the client sees that its answer broke off."""
        if self._transport is not None:
            self._transport.abort()


def _takes_signs(asked: Asked) -> bool:
    """Whether a client is known to take interim answers. Node's gives up after 300 seconds without any head; Python's
    http.client would take one for the answer."""
    runtime, agent = asked.one(b"x-stainless-runtime"), (asked.one(b"user-agent") or b"").lower()
    return asked.version == "1.1" and (runtime == b"node" or agent.startswith((b"node", b"undici")))
