"""Streams as encoders are told them: the reference corpus, each with the ending that its bytes lead to."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.support.reference.streams import STREAMS, ReferenceStream, recordings

from manystream.actors import (
    ErrorInfo,
    PartEvent,
    RestartEvent,
    SnapshotEvent,
    StreamEndEvent,
    StreamResult,
    StreamStartEvent,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.stream import Ending
from manystream.actors.wire.events import WireError, decode
from manystream.actors.wire.framing import FramingError, SSEFramer

__all__ = ["MIDNIGHT", "a_result", "numbered", "reference", "snapshot", "told"]

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def a_result(state: Ending = "complete", **fields: Any) -> StreamResult[Any]:
    """An ending; of one that failed, with the API's own words."""
    if state in ("failed", "truncated") and "error" not in fields:
        kind = "truncated" if state == "truncated" else "overloaded_error"
        fields["error"] = ErrorInfo(kind, "organisation acme has its limit", retryable=True)
    return StreamResult(state=state, stream_id="s", timestamp=MIDNIGHT, **fields)


def numbered(*events: PartEvent) -> list[PartEvent]:
    """The events with the numbers of a stream from 1."""
    import attrs

    return [attrs.evolve(event, stream_id="s", first_seq=seq, seq=seq) for seq, event in enumerate(events, 1)]


def told(stream: ReferenceStream, *, merge: bool = False) -> list[PartEvent]:
    """What a consumer of the stream is told, its ending included."""
    log = EventLog("s")
    assembler = Assembler(log, beta=stream.beta)
    framer = SSEFramer()
    state: Ending = "complete"
    try:
        for frame in (*framer.feed(stream.body), *framer.close()):
            assembler.feed(decode(frame))
            if assembler.stopped:
                break
    except (WireError, FramingError):
        state = "failed"
    assembler.close()
    message = assembler.message() or {}
    if state == "complete" and message.get("stop_reason") is None:
        state = "truncated"
    reason = message.get("stop_reason")
    result = a_result(state, stop_reason=reason, parts=tuple(part for _, part in assembler.parts()))
    log.add(StreamEndEvent, result)
    cursor = Cursor.after(log, log.base)
    events: list[PartEvent] = []
    while (event := cursor.take(merge=merge)) is not None:
        events.append(event)
    return events


def snapshot(events: list[PartEvent]) -> list[PartEvent]:
    """The same stream for who comes at its end: all there is, and the ending."""
    end = events[-1]
    assert isinstance(end, StreamEndEvent)
    begun = next((event for event in events if isinstance(event, StreamStartEvent)), None)
    parts = tuple(enumerate(end.result.parts))
    before = end.seq - 1
    found = SnapshotEvent(
        parts, end.result.usage, begun and begun.message_id, "claude-x", first_seq=1, seq=before, stream_id="s"
    )
    return [found, end]


def reference() -> Iterator[tuple[str, list[PartEvent]]]:
    """Every stream of the corpus: event by event, merged, as a snapshot, and begun anew in its middle."""
    for stream in (*STREAMS.values(), *recordings()):
        events = told(stream)
        yield stream.name, events
        yield f"{stream.name}, merged", told(stream, merge=True)
        yield f"{stream.name}, joined late", snapshot(events)
        middle = [event for event in events[: len(events) // 2] if not isinstance(event, StreamEndEvent)]
        yield f"{stream.name}, begun anew", numbered(*middle, RestartEvent(2), *events)
