"""The stream actor: one request from its submission to its one terminal event.

The actor owns the stream's state and changes it synchronously: bytes go in, events go into the log, parked consumers
are woken once a read. Its task only opens the response, reads it, and waits where it must: for a lossless consumer, for
the connection to close. It decides about attempts, and leaves slots and waiting between attempts to the engine.
"""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import UTC, datetime
from typing import Any, Protocol

import anyio
import attrs

from .account import Account
from .assembler import Assembler
from .attempt import Reading, truncated
from .channel import Audience, EventLog, OnAbandon
from .given import Given
from .message import EMPTY, TextPart, Usage
from .outcome import asked_again, judged, told
from .prefix import Prefix
from .response import Open, Response, ResponseFailed
from .stream import (
    Attempt,
    DeadlineName,
    Deadlines,
    Ending,
    ErrorInfo,
    Lifecycle,
    NextStep,
    OutputReading,
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
    continues_thread,
    next_due,
    next_step,
    takes_continuation,
)
from .wire import plain_text

__all__ = ["Owner", "StreamActor"]

_STATE_OF: dict[Ending, State] = {
    "complete": State.DONE,
    "cancelled": State.CANCELLED,
    "truncated": State.FAILED,
    "failed": State.FAILED,
}
_DRAIN_SECONDS = 0.1  # for what follows message_stop, so that the connection can be used again


class Owner(Protocol):
    """Runs the actors, and is told what concerns more than one stream. Its methods are called in the middle of a step:
    they decide and return."""

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
    """One stream. Made by the engine; consumers see it through a `StreamHandle`.

    `bills_dropped` is for a service that bills a dropped stream in full: it returns about how many output tokens the
    whole answer would have had.
    """

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
        bills_dropped: Callable[[], float] | None = None,
        output: OutputReading | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.request = request
        self.timestamp = datetime.now(UTC)
        self.watch = Stopwatch(clock)
        self.life = Lifecycle()
        self.result: StreamResult | None = None
        self.closed = anyio.Event()
        """The connection is back in the pool or gone; nothing of the stream runs any more."""
        self.audience = Audience(self._abandoned)
        self._account = Account(self.watch, bills_dropped)
        self.cancel_request: tuple[str, str | None] | None = None
        self.on_abandon: OnAbandon = on_abandon
        self._owner = owner
        self.deadlines = deadlines
        self.dialling = False
        """Whether its connection is being made, so that nothing of its request has been sent."""
        self.expired: DeadlineName | None = None
        """The deadline that passed and is not dealt with yet."""
        self._retry = retry
        self._recovery: Recovery = recovery
        self._next_request = request  # what the next attempt sends
        self.output = output
        """How the answer is read as an output of a type, if the request wants one."""
        self.given = Given()
        """What consumers were given of the output: once they have taken an item, it is not asked for again."""
        self._asked_again = 0
        self.request_id: str | None = None
        self.rate_limits: Mapping[str, str] = EMPTY
        self.log = EventLog(stream_id)
        self.assembler = Assembler(self.log, beta=bool(request.betas))
        self.reading = Reading(self.assembler, None)
        """The response of the running attempt, or of the last one."""

    # -- what others ask of it

    def ask_to_stop(self, by: str, reason: str | None) -> None:
        """Notes who cancels the stream, and why. Only the first to ask is kept."""
        if self.cancel_request is None:
            self.cancel_request = by, reason

    def tell_dialling(self, dialling: bool) -> None:
        """Its connection begins to be made, or no longer is."""
        self.dialling = dialling

    def expire(self, deadline: DeadlineName) -> bool:
        """Notes the deadline that has passed. Returns False while an earlier one is still being dealt with."""
        if self.expired is not None:
            return False
        self.expired = deadline
        return True

    def _abandoned(self, on_abandon: OnAbandon) -> None:
        self._owner.abandoned(self, on_abandon)

    # -- one attempt

    async def attempt(self, open_response: Open) -> float | None:
        """Makes one attempt. Returns None when the stream has ended, or the seconds to wait before another attempt.

        On cancellation the response is aborted, and the stream is left for `finish_cancelled` to end.
        """
        self.life.to(State.CONNECTING)
        self._account.begin()
        self.watch.begin_attempt()
        self._owner.look_at(self)
        response: Response | None = None
        again: float | None = None
        self.request_id = None
        self.reading = reading = Reading(self.assembler, None)
        try:
            response = await open_response(self._next_request)
            reading = self._opened(response)
            while True:
                ended = await response.pump(self._take)
                while reading.waiting and not self._step():
                    await self._wait_for_room()
                if reading.is_over():
                    break
                if ended:
                    reading.end()
                    break
            if self.assembler.stopped:
                # The answer is whole: its readers need not wait for the connection.
                again = self._answered()
                if not ended:
                    with anyio.move_on_after(_DRAIN_SECONDS):
                        await response.pump(lambda _: True)
        except ResponseFailed as exc:
            # A whole answer stays whole. Otherwise the connection cut it, or the body could not be read.
            reading.failure = exc.info
            if response is not None and exc.info.type == "connection_error":
                reading.failure = truncated(exc.info.message, self.request_id, exc.info.cause)
        finally:
            if response is not None:
                await response.aclose()
        if self.life.ended or again is not None:
            return again
        return self._after_failure(reading.failure)

    def _opened(self, response: Response) -> Reading:
        self.life.to(State.STREAMING)
        self.watch.connected = self.watch.clock()
        self.request_id = response.request_id
        self.rate_limits = response.rate_limits
        self.assembler.request_id = self.request_id
        self.reading = Reading(self.assembler, self.request_id)
        self._owner.look_at(self)
        return self.reading

    def _take(self, chunk: bytes) -> bool:
        """Takes in a chunk as far as the lossless consumers allow. Returns whether to read on."""
        self.watch.last_byte = self.watch.clock()
        reading = self.reading
        reading.receive(chunk)
        self._step()
        return reading.wants_more

    def _step(self) -> bool:
        """Makes events of the waiting frames and notifies the consumers. Returns False when a lossless one is full."""
        assembler, log = self.assembler, self.log
        seq, contents = log.seq, assembler.contents
        whole = self.reading.take_in(log, self.audience.lossless)
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
            self.audience.notify()
        return whole

    async def _wait_for_room(self) -> None:
        """A lossless consumer is full: waits for it. Meanwhile nothing is read."""
        if not self.audience.make_room():
            await self.hold(self.audience.wait_for_room(self.watch.clock))

    async def hold(self, wait: Awaitable[object]) -> None:
        """Waits for a reader who has fallen behind. Meanwhile no deadline of reading passes."""
        self.watch.pause()
        self._owner.held(self)
        try:
            await wait
        finally:
            self.watch.resume()
            self._owner.look_at(self)

    # -- after an attempt

    def _after_failure(self, info: ErrorInfo | None) -> float | None:
        """Ends the attempt with this failure, unless the answer was whole by then."""
        if self.assembler.is_whole:
            return self._answered()
        assert info is not None
        began = self.assembler.message_id is not None
        info = told(info, request=self.request, began=began, before=self.attempts, retry=self._retry)
        self._close_attempt(info)
        number = len(self.attempts)
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

    def _answered(self, *, last: bool = False) -> float | None:
        """The answer is whole: ends the stream, or, unless this attempt has to be the `last`, has an output that is
        none asked for again. Returns as `attempt` does."""
        output, error = judged(self.output, self.assembler, self.request_id)
        if error is None or last or not self._may_ask_again(error):
            self._finish("complete" if error is None else "failed", error, output=output)
            return None
        self._close_attempt(error)
        self._asked_again += 1
        self.life.to(State.BACKOFF)
        params = asked_again(self._next_request.params, self.assembler, error.message)
        self._next_request = attrs.evolve(self.request, params=params)
        self._begin_anew(len(self.attempts) + 1)
        return 0.0

    def _may_ask_again(self, error: ErrorInfo) -> bool:
        return (
            error.type == "output_invalid"
            and self.output is not None
            and self._asked_again < self.output.retry_invalid
            and len(self.attempts) + 1 < self._retry.max_attempts
            and not continues_thread(self.request.params, self.request.extra_body)
            and self.given.withdraw_unless_taken(self.log.seq + 1)
        )

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
        self.audience.notify()  # of what a last event without its blank line brought

    def _begin_anew(self, number: int) -> None:
        """The next attempt, of this number, begins the answer anew."""
        if self.log.seq > self.log.base:
            # Consumers have seen events of this attempt: the next one's replace them.
            self.assembler.close()
            self.log = self.log.followed()
            self.log.add(RestartEvent, number)
            self.given.withdraw(self.log.seq)
            self.audience.notify()
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
        return self._after_failure(info)

    def go_on_behind(self, prefix: Prefix) -> None:
        """Goes on with an answer that another process has begun. To be called before the first attempt."""
        self.log = EventLog(self.stream_id, prefix.seq)
        self.assembler, self._next_request = prefix.continued(self.request, self.log)

    def requeue(self) -> None:
        """The wait before another attempt is over."""
        self.life.to(State.QUEUED)

    # -- what it used

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts that are over."""
        return self._account.attempts

    @property
    def billed(self) -> Usage:
        """The best figure for what all attempts have used so far, the running one included."""
        return self._account.billed(self.assembler)

    def _close_attempt(self, error: ErrorInfo | None) -> None:
        """The running attempt, if there is one, is over, and counted once."""
        self._account.close(self.assembler, error, self.request_id)

    # -- the end

    def finish_cancelled(self, by: str, reason: str | None = None) -> None:
        """Ends the stream as cancelled, unless it has ended. What was received is kept."""
        if self.life.ended:
            return
        if self.life.state is State.STREAMING and self.assembler.is_whole:
            self._answered(last=True)  # only its last word was still to come
            return
        by, reason = self.cancel_request or (by, reason)
        self._close_attempt(None)
        self._finish("cancelled", by=by, reason=reason)

    def finish_failed(self, info: ErrorInfo) -> None:
        """Ends the stream as failed, unless it has ended. What was received is kept."""
        if self.life.ended:
            return
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
            # The message can't be built from what was received: end without it.
            self.assembler = Assembler(self.log, beta=bool(self.request.betas))
            self.finish_failed(info)

    def _finish(
        self,
        ending: Ending,
        error: ErrorInfo | None = None,
        *,
        by: str | None = None,
        reason: str | None = None,
        output: Any = None,
    ) -> None:
        assembler = self.assembler
        # Build everything from the wire's data first: if that raises, the stream's state has not changed.
        assembler.close()
        parts, message = tuple(part for _, part in assembler.parts()), assembler.message()
        self._close_attempt(error)
        self.life.to(_STATE_OF[ending])
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
            output=output,
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
        # A consumer that joins from now on gets a snapshot and the terminal event. Only cursors keep the log alive.
        self.log = self._ended_log(self.result)
        self.reading.drop()
        self._next_request = self.request
        self.audience.end()

    def _ended_log(self, result: StreamResult) -> EventLog:
        log = EventLog(self.stream_id, self.log.seq - 1)
        log.add(StreamEndEvent, result)
        return log

    def without_request(self) -> "StreamActor":
        """A stream that has ended, as it is, but without its request: for those who keep it for others to find."""
        assert self.result is not None
        kept = copy(self)
        kept.request = kept._next_request = StreamRequest(
            "", custom_id=self.request.custom_id, group=self.request.group
        )
        kept.result = attrs.evolve(self.result, request=None)
        kept.log = self._ended_log(kept.result)
        kept.assembler = self.assembler.with_log(kept.log)
        kept.reading, kept._account = Reading(kept.assembler, None), self._account.without_service()
        return kept

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
