"""Part events as lines, for other programs: all that happened, in files that hold one try each."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from manystream import StreamResult, decode_event
from manystream.actors import (
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    StreamEndEvent,
    TaggedEvent,
    TextPart,
    TextPartDelta,
)
from manystream.engine.runs import event_files
from manystream.engine.runs.event_files import EventDirectory, EventOutput, open_event_files
from manystream.engine.runs.output import OutputError

RESULT = StreamResult(state="complete", stream_id="s", timestamp=datetime(2026, 1, 2, tzinfo=UTC))
EVENTS: list[PartEvent] = [
    PartStartEvent(0, TextPart(""), stream_id="s", first_seq=1, seq=1),
    PartDeltaEvent(0, TextPartDelta("Ünï \ud83d\n"), stream_id="s", first_seq=2, seq=3),
    PartEndEvent(0, TextPart("Ünï \ud83d\n"), stream_id="s", first_seq=4, seq=4),
    StreamEndEvent(RESULT, stream_id="s", first_seq=5, seq=5),
]


def lines(path: Path) -> list[PartEvent]:
    return [decode_event(line) for line in path.read_bytes().splitlines()]


def test_each_request_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "_OPEN_FILES", 2)
    files = open_event_files(str(tmp_path / "events"))
    assert not files.waiting
    names = ["a", "b", "c", "d/../\u00e9"]
    for event in EVENTS:
        for name in names:
            files.add(TaggedEvent(name, event))
        assert files.waiting
        files.flush()
    files.close()
    assert sorted(os.listdir(tmp_path / "events")) == ["a.jsonl", "b.jsonl", "c.jsonl", "d%2F..%2F%C3%A9.jsonl"]
    for file in (tmp_path / "events").iterdir():
        assert [event.seq for event in lines(file)] == [event.seq for event in EVENTS]


def test_a_file_holds_the_last_try_alone(tmp_path: Path) -> None:
    for count in (3, 2):  # the first is interrupted
        files = EventDirectory(str(tmp_path))
        for event in EVENTS[:count]:
            files.add(TaggedEvent("a", event))
        files.flush()
        files.close()
    assert lines(tmp_path / "a.jsonl") == EVENTS[:2]
    files = EventDirectory(str(tmp_path))
    for _ in range(2):
        for event in EVENTS:
            files.add(TaggedEvent("a", event))
            files.flush()
    assert len(lines(tmp_path / "a.jsonl")) == len(EVENTS)


def test_on_standard_output_each_line_says_whose_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    files = open_event_files("-")
    assert isinstance(files, EventOutput)
    for event in EVENTS:
        files.add(TaggedEvent('"ü"', event))
    assert files.waiting
    files.flush()
    files.flush()
    assert not files.waiting
    files.close()
    found: list[dict[str, Any]] = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert {line["custom_id"] for line in found} == {'"ü"'}
    assert isinstance(decode_event(json.dumps(found[-1]["event"])), StreamEndEvent)
    assert len(found) == len(EVENTS)


def test_ids_of_any_kind(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    names = ["a\ud83d", "\u2028\x85", "\x1b[2J", "x" * 5000, "x" * 5001, "..", "CON/.."]
    files, output = EventDirectory(str(tmp_path)), EventOutput()
    for name in names:
        files.add(TaggedEvent(name, EVENTS[0]))
        output.add(TaggedEvent(name, EVENTS[0]))
    files.flush()
    files.close()
    output.flush()
    assert len(os.listdir(tmp_path)) == len(names)
    assert all(name.isascii() and len(name) <= 255 for name in os.listdir(tmp_path))
    written = capfdbinary.readouterr().out.decode("ascii").splitlines()
    assert [json.loads(line)["custom_id"] for line in written] == names


def test_what_cant_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"file: is no directory"):
        open_event_files(str(tmp_path / "file"))
    (tmp_path / "a.jsonl").mkdir()
    files = EventDirectory(str(tmp_path))
    files.add(TaggedEvent("a", EVENTS[0]))
    with pytest.raises(OutputError, match=r"a\.jsonl: is a directory"):
        files.flush()
    files.close()
