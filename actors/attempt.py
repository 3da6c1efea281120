"""Reading one attempt: its bytes become events, and whatever is wrong with them becomes an `ErrorInfo`.

It does no I/O and keeps no time. The actor feeds it, notifies the consumers, and decides what follows.
"""

import contextlib
from collections import deque
from collections.abc import Sequence

from .assembler import Assembler
from .channel import EventLog, Subscriber
from .message import EMPTY
from .stream import STATUS_OF_TYPE, ErrorInfo, is_retryable
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
    read_error_body,
)

__all__ = ["Reading", "truncated"]

_MOST_BYTES = 256 * 1024 * 1024  # of one attempt: several times the longest answer there can be
_MOST_EVENTS = 100_000  # kept one by one, beside the text: memory is bounded whatever the server sends
_FLOOD = f"the stream floods: more than {_MOST_EVENTS:,} events beside text, or {_MOST_BYTES // 2**20} MiB"


class Reading:
    """The response of one attempt while it is read into `assembler`."""

    __slots__ = (
        "_assembler",
        "_bytes",
        "_end",
        "_framer",
        "_frames",
        "_request_id",
        "failure",
        "lacks_blank_line",
        "tells_failure",
    )

    def __init__(self, assembler: Assembler, request_id: str | None) -> None:
        self._assembler = assembler
        self._request_id = request_id
        self._framer = SSEFramer()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._end: int | None = None  # where the sound part of the body ends, once that is known
        self.failure: ErrorInfo | None = None
        """What ended the attempt, if something was wrong with it."""
        self.lacks_blank_line = False
        """Whether the sound part ends with an event that lacks its blank line."""
        self.tells_failure = False
        """Whether the sound part ends with the API's own error, so that who reads it knows of the failure."""

    @property
    def waiting(self) -> bool:
        """Whether frames were received that are not taken in yet."""
        return bool(self._frames)

    @property
    def sound(self) -> int:
        """How many bytes of the body are whole events that were taken in. Nothing is wrong with any of them, and none
        comes after the answer's end."""
        if self._end is not None:
            return self._end
        return self._frames[0].offset if self._frames else self._framer.offset

    @property
    def wants_more(self) -> bool:
        """Whether to read on."""
        return not (self._frames or self._assembler.over or self.failure or self._framer.failure)

    def receive(self, chunk: bytes) -> None:
        """Frames what was read."""
        self._bytes += len(chunk)
        self._frames.extend(self._framer.feed(chunk))

    def take_in(self, log: EventLog, lossless: Sequence[Subscriber]) -> bool:
        """Makes events of the waiting frames. Returns False when it had to stop: one of `lossless` is full."""
        assembler, frames = self._assembler, self._frames
        feed = assembler.feed
        whole = True
        while frames:
            if lossless and any(subscriber.full for subscriber in lossless):
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
                self.failure = _protocol_error(exc)
                self._end = frame.offset
                frames.clear()
                break
            feed(event)
            if assembler.over:
                self.failure = self._judged(f" (at byte {frame.offset})")
                self.tells_failure = assembler.error is not None
                self._end = self.sound if self.failure is None or self.tells_failure else frame.offset
                frames.clear()
        if len(log.entries) > _MOST_EVENTS or self._bytes > _MOST_BYTES:
            self.failure = self.failure or ErrorInfo("protocol_error", _FLOOD)
            self._end = self.sound
            frames.clear()
        return whole

    def is_over(self) -> bool:
        """Whether to stop reading: the answer is over, or something is wrong. Ask once no frames wait."""
        if self._framer.failure is not None and not self._assembler.over:
            self.failure = self.failure or _protocol_error(self._framer.failure)
        return self._assembler.over or self.failure is not None

    def end(self) -> None:
        """The body ended cleanly: a last event that lacks only its blank line still counts."""
        for frame in self._framer.close():
            with contextlib.suppress(WireError):  # cut inside: what is missing will not come
                self._assembler.feed(decode(frame))
                if self._assembler.broken is None:
                    self._end = self._bytes
                    self.lacks_blank_line = True
        if self._assembler.over:
            self.failure = self._judged()
            if self.failure is None:
                self._end = self._bytes
        else:
            self.failure = truncated("the bytes ended without message_stop", self._request_id)

    def drop(self) -> None:
        """Forgets what was received and not taken in."""
        self._end = self.sound
        self._frames.clear()

    def _judged(self, place: str = "") -> ErrorInfo | None:
        """What is wrong with the answer, judged by its events; None when it is whole."""
        assembler = self._assembler
        if assembler.error is not None:
            return _stream_error(assembler.error, self._request_id)
        if assembler.broken is not None:
            return ErrorInfo("protocol_error", assembler.broken + place, request_id=self._request_id, retryable=True)
        return None if assembler.stopped else truncated("[DONE] came before the answer was whole", self._request_id)


def truncated(message: str, request_id: str | None, cause: BaseException | None = None) -> ErrorInfo:
    """The bytes ended before the answer did."""
    return ErrorInfo(type="truncated", message=message, request_id=request_id, retryable=True, cause=cause)


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
        retryable=is_retryable(status or 500, EMPTY, said.code, said.message or ""),
        code=said.code,
    )
