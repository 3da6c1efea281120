"""A transit: one foreign request on its way through the engine, and its answer on the way back.

It knows no event loop and no HTTP server. An engine makes its attempts through `open`; whoever serves the caller sets
`news` and takes what there is. In between nothing is copied, and nothing waits but for a caller who has fallen behind.

Before the first content the bytes are held: an attempt that fails then vanishes, and the next one's bytes are the
answer. From the first content on the bytes are handed on as they come, as far as their events are whole and sound. So a
retry is never seen, an error before content is an error with a status, and a cut never leaves half an event behind.

For a server: make a `Foreign` of the method, the whole URL upstream, the headers and the body. If `is_messages` says
no, pass it through. Else `Gateway.begin` gives an `Answer` (refused: send it), or a `Transit` that runs. Set `news`; it
is called in the event loop's thread, from the socket's callback, whenever something may have changed. Then:

- `streams` is true: send 200 and `head`, then everything that `take` gives, until `over`. Then, if `broken` is not
  None, send `error_event(broken)`. While `take` is not called, reading stops at 256 KiB. What was taken and not sent
  yet is counted by `backlog`; `made_room` says that there is less of it.
- `over` is true and `streams` is not: send `answer`; where that is None, `last_answer(result)`.
- the caller goes: `Gateway.drop`.
"""

from collections.abc import Awaitable, Callable

import anyio
import httpx2

from ...actors.actor import StreamActor
from ...actors.response import Response, ResponseFailed, Sink
from ...actors.stream import ErrorInfo, StreamRequest, StreamResult
from ..api.acceptance import accepted, read_bounded
from ..api.failures import refusal, sending_failed
from ..api.responses import DirectResponse, SdkResponse
from .answers import Answer, Refusal, answer_of, stream_head
from .foreign import Incoming, RawHeaders

__all__ = ["Send", "Transit"]

_ROOM = 256 * 1024  # bytes that may wait for the caller
_AGAIN = "the answer had been handed on in part, and can't be begun anew"

Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
"""Sends a request upstream and returns the response once its head has come, with its body unread."""


def _nobody() -> None:
    """Nobody waits for news yet."""


def _nothing() -> int:
    return 0


class Transit:
    """The way of `incoming`. Requests go out by `send`, for which `connect` is the longest time to connect, in seconds.

    All of it is used in the engine's thread.
    """

    def __init__(self, incoming: Incoming, send: Send, connect: float | None) -> None:
        self.news: Callable[[], None] = _nobody
        """Called when there may be something to take, and at the end."""
        self.backlog: Callable[[], int] = _nothing
        """How many bytes were taken and have not reached the caller yet."""
        self.actor: StreamActor
        """The stream that answers it."""
        self.over = False
        """Whether the stream has ended, and its connection is released. There may still be something to take."""
        self._incoming = incoming
        self._send = send
        self._timeouts = {"connect": connect, "read": None, "write": None, "pool": None}
        self._held: list[bytes] = []  # of the running attempt, and not handed on
        self._received = 0  # bytes of the attempt
        self._given = 0  # of them
        self._shown = False
        self._head: RawHeaders = ()
        self._refusal: Refusal | None = None
        self._room: anyio.Event | None = None

    # -- the engine's side

    def told(self, actor: StreamActor) -> None:
        """The engine has taken it in: this is its stream."""
        self.actor = actor
        actor.audience.park(self)

    def wake(self) -> None:
        """The stream has more events, or has ended."""
        if not self.actor.life.ended:
            self.actor.audience.park(self)
            return
        self._shown = self._shown or self.result.state == "complete"
        self.news()

    def released(self) -> None:
        """The stream has ended, and its connection is released. What followed its last event has come by then."""
        self.over = True
        self.news()

    async def open(self, request: StreamRequest) -> Response:
        """Makes an attempt; as `Open` says. The request that is sent is the caller's, whatever `request` is."""
        if self._shown:
            raise ResponseFailed(ErrorInfo("truncated", _AGAIN))
        self._held.clear()
        self._received = self._given = 0
        self._head, self._refusal = (), None
        incoming = self._incoming
        sent = httpx2.Request(
            "POST",
            incoming.url,
            headers=list(incoming.headers),
            content=incoming.body,
            extensions={"timeout": self._timeouts},
        )
        try:
            response = await self._send(sent)
        except Exception as exc:
            raise ResponseFailed(sending_failed(exc, self._timeouts["connect"])) from None
        exchange = response.extensions.get("exchange")
        opened = SdkResponse(response, response.aclose) if exchange is None else DirectResponse(exchange)
        if response.status_code >= 300:
            body = await read_bounded(opened)
            self._refusal = Refusal(response.status_code, response.headers.raw, body)
            words = body.decode("utf-8", "replace")
            raise ResponseFailed(refusal(response.status_code, response.headers, words, response.url))
        answer = await accepted(opened, response.url)
        self._head = response.headers.raw
        return _Tapped(answer, self) if incoming.wants_stream else answer

    def pass_on(self, chunk: bytes, sink: Sink) -> bool:
        """Gives a piece of the body to the stream, and keeps it for the caller. Returns whether to read on."""
        self._held.append(chunk)
        self._received += len(chunk)
        more = sink(chunk)  # which wants all that follows the answer, and drops it
        if not self._shown:
            if not self.actor.assembler.contents and self._received < _ROOM:
                return more
            self._shown = True
        self.news()
        return more and not self.full

    @property
    def full(self) -> bool:
        """Whether the caller has fallen so far behind that nothing more is read."""
        return self._shown and self._ready + self.backlog() >= _ROOM

    @property
    def _ready(self) -> int:
        """How many bytes may be handed on: all of a body whose answer came to its end, else what is sound."""
        stopped = self.actor.life.ended and self.actor.assembler.stopped
        return (self._received if stopped else self.actor.reading.sound) - self._given

    async def wait_for_room(self) -> None:
        """Waits until the caller has caught up. Cancellation leaves everything as it was."""
        self._room = anyio.Event()
        try:
            await self.actor.hold(self._room.wait())
        finally:
            self._room = None

    # -- the caller's side

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream that has begun."""
        return self._shown and self._incoming.wants_stream

    @property
    def stopped(self) -> bool:
        """Whether the answer's last event has come. The end of the body may follow."""
        return self.actor.assembler.stopped

    @property
    def head(self) -> RawHeaders:
        """The headers of the stream, once it has begun."""
        actor = self.actor
        return stream_head(self._head, actor.stream_id, len(actor.attempts) + (not actor.life.ended))

    def take(self) -> bytes:
        """What may be handed on now, which then is no longer held: whole events, or nothing."""
        count = self._ready if self._shown else 0
        if count <= 0:
            return b""
        held = self._held
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        if count < len(data):
            held.append(data[count:])
            data = data[:count]
        self._given += count
        if self.actor.reading.lacks_blank_line and self._given == self._received:
            data += b"\n\n"  # without it the last event would be passed over
        self.made_room()
        return data

    def made_room(self) -> None:
        """Some of what was taken has reached the caller."""
        if self._room is not None and not self.full:
            self._room.set()

    @property
    def result(self) -> StreamResult:
        """How the stream ended, once it is over."""
        result = self.actor.result
        assert result is not None
        return result

    @property
    def answer(self) -> Answer | None:
        """The whole answer, once it is over and does not stream; None where it has no status of its own."""
        return answer_of(self.result, self._head, self._refusal)

    @property
    def broken(self) -> StreamResult | None:
        """How the stream ended, once it is over, if the bytes that were handed on don't tell that it broke off."""
        whole = self.result.state == "complete" or self.actor.reading.tells_failure
        return None if whole else self.result


class _Tapped:
    """A response whose bytes a transit sees on their way."""

    def __init__(self, response: Response, transit: Transit) -> None:
        self._response = response
        self._transit = transit
        self.request_id = response.request_id
        self.rate_limits = response.rate_limits
        self.aclose = response.aclose

    async def pump(self, sink: Sink) -> bool:
        transit = self._transit
        while transit.full and not transit.actor.life.ended:
            await transit.wait_for_room()
        return await self._response.pump(lambda chunk: transit.pass_on(chunk, sink))
