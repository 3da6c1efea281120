"""The ending of a stream whose process is gone, made by whoever finds it."""

from datetime import UTC, datetime

import attrs

from ...actors.channel import Audience, Cursor, EventLog, Recording
from ...actors.stream import ErrorInfo, Fold, PartEndEvent, StreamEndEvent, StreamResult

__all__ = ["interruption", "never_begun", "parts_of"]


def parts_of(recording: Recording) -> Fold:
    """What the events of a recording come to by now. Raises `ValueError` for events that no stream has."""
    fold = Fold()
    cursor = recording.after(recording.first.base)
    while (event := cursor.take(merge=True)) is not None:
        fold.feed(event)
    return fold


def interruption(seq: int, fold: Fold) -> tuple[Cursor, StreamResult]:
    """The events that end a stream after the one numbered `seq`: an end for each open part, and the terminal event.
    They are to be read from the cursor. With the result, which has what was received."""
    log = EventLog(fold.stream_id, seq)
    cursor = Recording(log, Audience(lambda _: None)).after(log.base)
    for index, part in fold.open_parts():
        log.add(PartEndEvent, index, attrs.evolve(part, complete=False))
    result = StreamResult(
        state="truncated",
        stream_id=log.stream_id,
        model_name=fold.model_name,
        message_id=fold.message_id,
        parts=tuple(part for _, part in fold.parts()),
        usage=fold.usage,
        error=ErrorInfo("interrupted", "the process that ran the stream is gone", retryable=True),
        timestamp=datetime.now(UTC),
    )
    log.add(StreamEndEvent, result)
    return cursor, result


def never_begun(stream_id: str) -> Cursor:
    """The one event of a stream that was announced to a store and not begun. It is to be read from the cursor."""
    log = EventLog(stream_id)
    cursor = Recording(log, Audience(lambda _: None)).after(0)
    why = "it was never begun"
    result = StreamResult(
        state="cancelled", stream_id=stream_id, cancelled_by="engine", cancel_reason=why, timestamp=datetime.now(UTC)
    )
    log.add(StreamEndEvent, result)
    return cursor
