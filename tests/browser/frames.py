"""The frames that encoders make of the reference corpus, as files for programs that read them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.told import reference

from manystream.actors import PartEvent, StreamEndEvent, TextPart
from manystream.actors.message import mended
from manystream.engine.relay.encoders import Protocol, encoder

__all__ = ["write_frames"]

_SENTENCES = {"failed": "The model is overloaded just now.", "truncated": "The answer broke off."}


def write_frames(protocol: Protocol, path: Path) -> None:
    """Writes a list of streams, each with its name, the bytes that were sent, the text and the error that a reader is
    to have. The text is None where readers order parts otherwise than the result does."""
    streams: list[dict[str, str | None]] = []
    for name, events in reference():
        sent = b"".join(map(encoder(protocol).feed, events)).decode()
        text, error = _told(events)
        streams.append({"name": name, "sent": sent, "text": None if "out of order" in name else text, "error": error})
    path.write_text(json.dumps(streams), encoding="utf-8")


def _told(events: list[PartEvent]) -> tuple[str, str | None]:
    end = events[-1]
    assert isinstance(end, StreamEndEvent)
    texts = [mended(part.content) for part in end.result.parts if isinstance(part, TextPart)]
    return "".join(texts), _SENTENCES.get(end.result.state)
