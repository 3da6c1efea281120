"""The stream actor: one request from its submission to its one terminal event.

The actor owns the stream's state and changes it synchronously: bytes go in, events go into the log, parked consumers
are woken once a read. Its task only opens the response, reads it, and waits where it must: for a lossless consumer, for
the connection to close. It decides about attempts, and leaves slots and waiting between attempts to the engine.
"""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import anyio
import attrs

from .assembler import Assembler
from .channel import EventLog, OnAbandon, Parked, Subscriber
from .message import EMPTY, TextPart, Usage
from .response import Open, Response, ResponseFailed
from .stream import (
    STATUS_OF_TYPE,
    Attempt,
    DeadlineName,
    Deadlines,
    Ending,
    ErrorInfo,
    Lifecycle,
    NextStep,
    Recovery,
    RestartEvent,
    RetryPolicy,
    SnapshotEvent,
    State,
    Stopwatch,
    StreamEndEvent,
    StreamRequest,
    StreamResult,
    bare,
    continuation,
    is_retryable,
    next_due,
    next_step,
    takes_continuation,
)
from .wire import (
    DECODE_ERRORS,
    SMALL,
    ErrorEvent,
    Frame,
    FramingError,
    SSEFramer,
    WireError,
    decode,
    decode_known,
    decode_other,
    plain_text,
    read_error_body,
)

__all__ = ["Owner", "StreamActor"]

_CHARACTERS_A_TOKEN = 4
_DRAIN_SECONDS = 0.1  # for what follows message_stop, so that the connection can be used again
_MOST_BYTES = 256 * 1024 * 1024  # of one attempt: several times the longest answer there can be
_MOST_EVENTS = 100_000  # that are kept one by one, beside the text: whoever the server is, memory is bounded


class Owner(Protocol):
    """Who runs the actors, and is told what concerns more than one stream. Called in the middle of a step: it decides
    and returns."""

    def look_at(self, actor: "StreamActor") -> None:
        """The stream has come to a stage in which another deadline may be the next."""
        ...

    def began(self, actor: "StreamActor") -> None:
        """The first event of an attempt's answer has been read."""
        ...

    def held(self, actor: "StreamActor") -> None:
        """A lossless consumer holds the stream back from now on."""
        ...

    def abandoned(self, actor: "StreamActor", on_abandon: OnAbandon) -> None:
        """The stream's last consumer has left."""
        ...


class StreamActor:
    """One stream. Made by the engine; consumers see it through a `StreamHandle`."""

    def __init__(
        self,
        stream_id: str,
        request: StreamRequest,
        *,
        retry: RetryPolicy,
        clock: Callable[[], float],
        on_abandon: OnAbandon,
        deadlines: Deadlines,
        owner: Owner,
        recovery: Recovery = "fail",
    ) -> None:
        self.stream_id = stream_id
        self.request = request
        self.timestamp = datetime.now(UTC)
        self.watch = Stopwatch(clock)
        self.life = Lifecycle()
        self.result: StreamResult | None = None
        self.released = anyio.Event()
        """The connection is back in the pool or gone; nothing of the stream runs any more."""
        self.parked: list[Parked] = []
        self.feeds: list[Subscriber] = []
        self.attempts: list[Attempt] = []
        self.cancel_request: tuple[str, str | None] | None = None
        self.on_abandon: OnAbandon = on_abandon
        self._owner = owner
        self.abandoned_at: float | None = None
        """When its last consumer left, while it lingers for another."""
        self.deadlines = deadlines
        self.looked_at: float | None = None
        """When the watchdog will look at it next."""
        self.expired: DeadlineName | None = None
        """The deadline that passed and is not dealt with yet."""
        self._retry = retry
        self._recovery: Recovery = recovery
        self._lossless: list[Subscriber] = []
        self._draining = False
        self._room: anyio.Event | None = None
        self._frames: deque[Frame] = deque()
        self._bytes = 0  # of this attempt
        self._framer = SSEFramer()
        self._failure: ErrorInfo | None = None
        self._next_request = request  # what the next attempt sends
        self.request_id: str | None = None
        self.rate_limits: Mapping[str, str] = EMPTY
        self.log = EventLog(stream_id)
        self.assembler = Assembler(self.log, beta=bool(request.betas))

    # -- consumers

    def add(self, feed: Subscriber) -> None:
        """A consumer joins."""
        if self.life.ended:
            return
        self.feeds.append(feed)
        if feed.buffer is not None:
            self._lossless.append(feed)

    def left(self, feed: Subscriber) -> None:
        """A consumer leaves."""
        if feed in self.parked:
            self.parked.remove(feed)
        if feed not in self.feeds:
            return  # the stream has ended
        self.feeds.remove(feed)
        if feed in self._lossless:
            self._lossless.remove(feed)
            self.has_room()
        if not self.feeds:
            self._owner.abandoned(self, feed.on_abandon)

    def drain(self) -> None:
        """The engine is shutting down: a lossless consumer that holds the stream back gets merged events instead."""
        self._draining = True
        self._conflate_full()

    def _conflate_full(self) -> None:
        for feed in list(self._lossless):
            if feed.full:
                feed.conflate()

    def has_room(self) -> None:
        """A lossless consumer took an event."""
        if self._room is not None and not any(feed.full for feed in self._lossless):
            self._room.set()

    def _notify(self) -> None:
        if self.parked:
            parked, self.parked = self.parked, []
            for consumer in parked:
                consumer.wake()

    # -- one attempt

    async def attempt(self, open_response: Open) -> float | None:
        """Makes one attempt. Returns None when the stream has ended, or the seconds to wait before another attempt.

        On cancellation the response is aborted, and the stream is left for `finish_cancelled` to end.
        """
        self.life.to(State.CONNECTING)
        self.watch.begin_attempt()
        self._owner.look_at(self)
        response: Response | None = None
        self._failure = self.request_id = None
        try:
            response = await open_response(self._next_request)
            self._opened(response)
            while True:
                ended = await response.pump(self._take)
                while self._frames and not self._step():
                    await self._wait_for_room()
                if self._framer.failure is not None and not self.assembler.over:
                    self._failure = self._failure or _protocol_error(self._framer.failure)
                if self.assembler.over or self._failure is not None:
                    break
                if ended:
                    self._bytes_ended()
                    break
            if self.assembler.stopped:
                # The answer is whole: whoever reads it need not wait for the connection.
                self._finish("complete")
                if not ended:
                    with anyio.move_on_after(_DRAIN_SECONDS):
                        await response.pump(lambda _: True)
        except ResponseFailed as exc:
            # What was read before is the answer, if it is whole; else it was cut, unless it can't be read at all.
            self._failure = exc.info
            if response is not None and exc.info.type == "connection_error":
                self._failure = self._truncated(exc.info.message, exc.info.cause)
        finally:
            if response is not None:
                await response.aclose()
        if self.life.ended:
            return None
        return self._after_failure()

    def _opened(self, response: Response) -> None:
        self.life.to(State.STREAMING)
        self.watch.connected = self.watch.clock()
        self.request_id = response.request_id
        self.rate_limits = response.rate_limits
        self.assembler.request_id = self.request_id
        self._frames.clear()
        self._bytes = 0
        self._framer = SSEFramer()
        self._owner.look_at(self)

    def _take(self, chunk: bytes) -> bool:
        """Frames what was read and takes in as much as the lossless consumers allow. Returns whether to read on."""
        self.watch.last_byte = self.watch.clock()
        self._bytes += len(chunk)
        self._frames.extend(self._framer.feed(chunk))
        self._step()
        return not (self._frames or self.assembler.over or self._failure or self._framer.failure)

    def _step(self) -> bool:
        """Takes the waiting frames in. Returns False when it had to stop for a lossless consumer."""
        assembler, frames, log, lossless = self.assembler, self._frames, self.log, self._lossless
        seq, contents = log.seq, assembler.contents
        feed = assembler.feed
        whole = True
        while frames:
            if lossless and any(consumer.full for consumer in lossless):
                whole = False
                break
            frame = frames.popleft()
            try:
                try:
                    usual = len(frame.data) <= SMALL and frame.event != b"error"
                    event = decode_known(frame.data) if usual else decode(frame)
                except DECODE_ERRORS:
                    event = decode_other(frame)
            except WireError as exc:
                self._failure = _protocol_error(exc)
                frames.clear()
                break
            feed(event)
            if assembler.over:
                self._failure = self._judged(f" (at byte {frame.offset})")
                frames.clear()
        if len(log.entries) > _MOST_EVENTS or self._bytes > _MOST_BYTES:
            self._failure = self._failure or ErrorInfo("protocol_error", _FLOOD)
            frames.clear()
        if log.seq != seq:
            watch = self.watch
            now = watch.last_byte or watch.clock()
            if watch.first_event is None:
                watch.first_event = now
                self._owner.began(self)
            if assembler.contents != contents:
                first = watch.first_content is None
                watch.content(now, assembler.contents - contents)
                if first:
                    self._owner.look_at(self)
            self._notify()
        return whole

    async def _wait_for_room(self) -> None:
        """Waits until no lossless consumer is full; one that stays full for its `stall_timeout` loses its place."""
        if self._draining:
            self._conflate_full()
            return
        watch = self.watch
        self._room = room = anyio.Event()
        watch.paused = True
        watch.paused_since = began = watch.clock()
        self._owner.held(self)
        try:
            while not room.is_set():
                full = [feed for feed in self._lossless if feed.full]
                patience = min(
                    (feed.stall_timeout for feed in full if feed.stall_timeout is not None), default=math.inf
                )
                with anyio.move_on_after(began + patience - watch.clock()):
                    await room.wait()
                if not room.is_set():
                    for feed in full:
                        if feed.full and feed.stall_timeout == patience:
                            feed.fail()
                    self.has_room()
        finally:
            self._room = None
            watch.paused = False
            watch.resumed = watch.clock()
            self._owner.look_at(self)

    def _judged(self, place: str = "") -> ErrorInfo | None:
        """What is wrong with the answer as the events that came have it."""
        assembler = self.assembler
        if assembler.error is not None:
            return _stream_error(assembler.error, self.request_id)
        if assembler.broken is not None:
            return ErrorInfo("protocol_error", assembler.broken + place, request_id=self.request_id, retryable=True)
        return None if assembler.stopped else self._truncated("[DONE] came before the answer was whole")

    def _bytes_ended(self) -> None:
        """The body ended cleanly: a last event that lacks only its blank line still counts."""
        for frame in self._framer.close():
            with contextlib.suppress(WireError):  # cut inside: what is missing will not come
                self.assembler.feed(decode(frame))
        if self.assembler.over:
            self._failure = self._judged()
        else:
            self._failure = self._truncated("the bytes ended without message_stop")

    def _truncated(self, message: str, cause: BaseException | None = None) -> ErrorInfo:
        return ErrorInfo(type="truncated", message=message, request_id=self.request_id, retryable=True, cause=cause)

    # -- endings

    def _after_failure(self) -> float | None:
        """The attempt is over, by the failure that was met; unless that came when the answer was whole."""
        info = self._failure
        if self.assembler.is_whole:
            self._finish("complete")
            return None
        assert info is not None
        if info.type == "protocol_error" and any(
            attempt.error is not None and attempt.error.message == info.message for attempt in self.attempts
        ):
            info = attrs.evolve(info, retryable=False)  # the same at the same place: it is no accident
        number = self._close_attempt(info)
        step = self._next_step()
        delay = None
        if step != "end":
            delay = self._retry.delay(number, retryable=info.retryable, asked=info.retry_after)
        if delay is None:
            self._finish("truncated" if info.type == "truncated" else "failed", info)
            return None
        self.life.to(State.BACKOFF)
        if step == "continue":
            self._continue()
        else:
            self._begin_anew(number + 1)
        return delay

    def _next_step(self) -> NextStep:
        request, assembler = self.request, self.assembler
        return next_step(
            self._recovery,
            contents=assembler.contents,
            parts=[part for _, part in assembler.parts()],
            stop_reason=assembler.stop_reason,
            continuable=self._recovery == "continue" and takes_continuation(request.params, request.extra_body),
        )

    def _continue(self) -> None:
        """The next attempt goes on where this one broke off."""
        text = "".join(part.content for _, part in self.assembler.parts() if isinstance(part, TextPart))
        self._next_request = attrs.evolve(self.request, params=continuation(self.request.params, text))
        self.assembler.go_on()
        self._notify()  # of what a last event without its blank line brought

    def _begin_anew(self, number: int) -> None:
        """The next attempt, of this number, begins the answer anew."""
        if self.log.seq > self.log.base:
            # Something of this attempt was told already: what follows replaces it.
            self.assembler.close()
            following = EventLog(self.stream_id, self.log.seq)
            self.log.run, self.log.next = None, following
            self.log = following
            following.add(RestartEvent, number)
            self._notify()
        self.assembler = Assembler(self.log, beta=bool(self.request.betas))

    def next_due(self) -> tuple[float, DeadlineName] | None:
        """When its next deadline passes, and which."""
        return None if self.life.ended else next_due(self.deadlines, self.life.state, self.watch)

    def after_deadline(self) -> float | None:
        """The deadline `expired` has passed, and the attempt it ended is closed. Returns as `attempt` does."""
        name = self.expired
        assert name is not None
        self.expired = None
        seconds = getattr(self.deadlines, name)
        info = ErrorInfo(
            type="deadline_exceeded",
            message=f"the deadline {name} of {seconds:g} s passed",
            request_id=self.request_id,
            retryable=name not in ("queued", "total"),
            deadline=name,
        )
        if self.life.ended:
            return None
        if self.life.state is State.BACKOFF and name != "total":
            return 0.0  # the attempt failed of itself at the same moment
        if self.life.state not in (State.CONNECTING, State.STREAMING):
            self._finish("failed", info)
            return None
        self._failure = info
        return self._after_failure()

    def requeue(self) -> None:
        """The wait before another attempt is over."""
        self.life.to(State.QUEUED)

    @property
    def billed(self) -> Usage:
        """What all attempts have used so far, as far as anybody knows."""
        used = sum((attempt.known_usage for attempt in self.attempts), Usage())
        if self.life.state not in (State.CONNECTING, State.STREAMING):
            return used
        running = self.assembler.attempt_usage
        estimate = self.assembler.attempt_characters // _CHARACTERS_A_TOKEN
        return used + attrs.evolve(running, output_tokens=max(running.output_tokens, estimate))

    def _close_attempt(self, info: ErrorInfo | None) -> int:
        number = len(self.attempts) + 1
        submitted = self.watch.submitted
        whole = self.assembler.stop_reason is not None  # then the API has said its last word on usage
        started = self.watch.sent if self.watch.sent is not None else self.watch.clock()
        self.attempts.append(
            Attempt(
                number=number,
                started=started - submitted,
                ended=self.watch.clock() - submitted,
                request_id=self.request_id or (info.request_id if info else None),
                usage=self.assembler.attempt_usage,
                output_estimate=None if whole else self.assembler.attempt_characters // _CHARACTERS_A_TOKEN,
                error=info,
            )
        )
        return number

    def finish_cancelled(self, by: str, reason: str | None = None) -> None:
        """Ends the stream as cancelled, unless it has ended. What was received is kept."""
        if self.life.ended:
            return
        if self.life.state is State.STREAMING and self.assembler.is_whole:
            self._finish("complete")  # only its last word was still to come
            return
        by, reason = self.cancel_request or (by, reason)
        if self.life.state in (State.CONNECTING, State.STREAMING):
            self._close_attempt(None)
        self._finish("cancelled", by=by, reason=reason)

    def finish_failed(self, info: ErrorInfo) -> None:
        """Ends the stream as failed, unless it has ended. What was received is kept."""
        if self.life.ended:
            return
        if self.life.state in (State.CONNECTING, State.STREAMING):
            self._close_attempt(info)
        self._finish("failed", info)

    def finish_broken(self, exc: Exception) -> None:
        """Ends the stream as failed, unless it has ended: something was raised that nobody expects. Whatever it was, it
        concerns this stream alone."""
        info = ErrorInfo(
            type="internal_error",
            message=f"{type(exc).__name__}: {plain_text(str(exc))}",
            request_id=self.request_id,
            cause=bare(exc),
        )
        try:
            self.finish_failed(info)
        except Exception:
            # What was received can't be told without raising: the ending is told without it.
            self.assembler = Assembler(self.log, beta=bool(self.request.betas))
            self.finish_failed(info)

    def _finish(
        self, ending: Ending, error: ErrorInfo | None = None, *, by: str | None = None, reason: str | None = None
    ) -> None:
        assembler = self.assembler
        # What is made of the wire's data comes before the stream's own state changes: if it raises, nothing has.
        assembler.close()
        parts, message = tuple(part for _, part in assembler.parts()), assembler.message()
        if ending == "complete":
            self._close_attempt(None)
            self.life.to(State.DONE)
        else:
            self.life.to(State.CANCELLED if ending == "cancelled" else State.FAILED)
        self.watch.ended = self.watch.clock()
        self.result = StreamResult(
            state=ending,
            stream_id=self.stream_id,
            custom_id=self.request.custom_id,
            request=self.request,
            model_name=assembler.model_name,
            message_id=assembler.message_id,
            stop_reason=assembler.stop_reason,
            stop_sequence=assembler.stop_sequence,
            stop_details=assembler.stop_details,
            parts=parts,
            message=message,
            usage=assembler.usage,
            usage_is_final=assembler.usage_is_final,
            error=error,
            cancelled_by=by,
            cancel_reason=reason,
            attempts=tuple(self.attempts),
            request_id=self.request_id or (error.request_id if error else None),
            rate_limits=self.rate_limits,
            timestamp=self.timestamp,
            timings=self.watch.timings(),
            extra=assembler.extra,
        )
        self.log.add(StreamEndEvent, self.result)
        # Who joins from now on gets a snapshot and the terminal event: only the cursors keep the log alive.
        ended = EventLog(self.stream_id, self.log.seq - 1)
        ended.add(StreamEndEvent, self.result)
        self.log = ended
        self._frames.clear()
        self._next_request = self.request
        self._notify()
        # The consumers hold what they need of the stream; it holds none of them.
        self.feeds.clear()
        self._lossless.clear()

    def snapshot(self) -> SnapshotEvent:
        """All there is up to now; after the end, all but the terminal event."""
        seq = self.log.seq - 1 if self.life.ended else self.log.seq
        assembler = self.assembler
        return SnapshotEvent(
            assembler.parts(),
            assembler.usage,
            assembler.message_id,
            assembler.model_name,
            self.request_id,
            stream_id=self.stream_id,
            first_seq=seq,
            seq=seq,
        )


_FLOOD = f"the stream floods: more than {_MOST_EVENTS:,} events beside text, or {_MOST_BYTES // 2**20} MiB"


def _protocol_error(exc: FramingError | WireError) -> ErrorInfo:
    exc.__context__ = exc.__traceback__ = None  # their frames hold the actor
    return ErrorInfo(type="protocol_error", message=str(exc), retryable=isinstance(exc, WireError), cause=exc)


def _stream_error(event: ErrorEvent, request_id: str | None) -> ErrorInfo:
    """The error that the API sent inside a stream, which had begun with 200."""
    said = read_error_body({"error": event.error, "request_id": event.request_id})
    kind = said.type or "api_error"
    status = STATUS_OF_TYPE.get(kind)
    return ErrorInfo(
        type=kind,
        message=said.message or "the API reported an error inside the stream",
        status=status,
        request_id=said.request_id or request_id,
        retryable=is_retryable(status or 500, EMPTY, said.code),
        code=said.code,
    )
