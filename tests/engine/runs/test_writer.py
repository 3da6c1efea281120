"""The writer of a run, when the disk takes nothing for a while: no answer is lost, and none is written twice."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from manystream import Attempt, StreamResult, Usage
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Begun, Ended, Registered
from manystream.engine.runs.output import OutputError, ResultFile
from manystream.engine.runs.writer import Answer, Writer

IDS = list("abcdef")


def answer(custom_id: str, **columns: Any) -> Answer:
    attempt = Attempt(number=1, started=0.0, ended=1.0, usage=Usage(output_tokens=9))
    result = StreamResult(state="complete", stream_id=custom_id, timestamp=datetime.now(UTC), attempts=(attempt,))
    return Answer(result, Ended(custom_id=custom_id, kind="succeeded", **columns), f'"{custom_id}"\n'.encode())


class Disk:
    """The disk below a run: how many bytes of results it takes, and whether it takes what the journal commits."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.room = 1000
        self.journal_fails = False
        write, commit = os.write, Journal.commit

        def limited(descriptor: int, data: Any) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            written = write(descriptor, data[: self.room])
            self.room -= written
            return written

        def checked(journal: Journal, *arguments: Any) -> None:
            with journal._failures():  # pyright: ignore[reportPrivateUsage]
                if self.journal_fails:
                    raise sqlite3.OperationalError("disk I/O error")
            commit(journal, *arguments)

        patch.setattr(os, "write", limited)
        patch.setattr(Journal, "commit", checked)

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().replace('"', "").splitlines()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "out.jsonl", monkeypatch)


@pytest.fixture
def journal() -> Iterator[Journal]:
    with closing(Journal(None)) as journal:
        journal.register([Registered(custom_id, number, b"h") for number, custom_id in enumerate(IDS)])
        journal.begin_session()
        yield journal


@pytest.fixture
def output(disk: Disk) -> Iterator[ResultFile]:
    output = ResultFile(disk.path)
    output.open()
    with closing(output):
        yield output


def given(writer: Writer) -> list[str]:
    return [one.ended.custom_id for one in writer.safe]


@pytest.mark.parametrize("ordered", [False, True])
def test_noting_leaves_the_results_alone(disk: Disk, journal: Journal, output: ResultFile, ordered: bool) -> None:
    writer = Writer(output, journal, ordered=ordered)
    writer.add(answer("a"))
    writer.used(Begun("b", 1.0, dollars=0.5))
    disk.room = 0
    writer.note()
    assert (writer.waiting, given(writer), disk.lines) == (1, [], [])
    assert journal.read("SELECT custom_id, dollars FROM request WHERE state = 'begun'") == [("b", 0.5)]
    disk.room = 1000
    writer.flush()
    assert (writer.waiting, given(writer), disk.lines) == (0, ["a"], ["a"])


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("room", range(14))
def test_what_was_not_written_is_written_later(
    disk: Disk, journal: Journal, output: ResultFile, room: int, ordered: bool
) -> None:
    writer = Writer(output, journal, ordered=ordered)
    for custom_id in "abc":
        writer.add(answer(custom_id))
    disk.room = room
    if room < 12:
        with pytest.raises(OutputError, match="no space left on device"):
            writer.flush()
    else:
        writer.flush()
    assert disk.lines == IDS[: min(3, room // 4)]
    assert ordered or given(writer) == disk.lines
    writer.add(answer("d"))
    disk.room = 1000
    writer.flush()
    assert given(writer) == disk.lines == list("abcd")
    writer.close("finished")
    assert (disk.lines, journal.totals().done, journal.totals().pending) == (list("abcd"), 4, 2)


@pytest.mark.parametrize("ordered", [False, True])
def test_what_was_not_noted_is_noted_later(disk: Disk, journal: Journal, output: ResultFile, ordered: bool) -> None:
    writer = Writer(output, journal, ordered=ordered)
    writer.used(Begun("a", 1.0, dollars=0.25))
    writer.used(Begun("b", 1.0, dollars=0.5))
    disk.journal_fails = True
    for attempt in (writer.note, writer.flush):
        with pytest.raises(OutputError):
            attempt()
    writer.add(answer("a", dollars=1.0))
    with pytest.raises(OutputError):
        writer.flush()
    assert disk.lines == ([] if ordered else ["a"])  # the answers matter more
    disk.journal_fails = False
    writer.close("cancelled")
    assert (given(writer), disk.lines) == (["a"], ["a"])
    assert (journal.totals().dollars, journal.totals().lost_dollars) == (1.0, 0.5)


def test_what_is_never_written_has_cost_something(disk: Disk, journal: Journal, output: ResultFile) -> None:
    writer = Writer(output, journal, ordered=False)
    for custom_id in "ab":
        writer.used(Begun(custom_id, 1.0, dollars=0.25))
        writer.note()
        writer.add(answer(custom_id, dollars=1.0))
    disk.room = 6
    for _ in range(2):
        with pytest.raises(OutputError):
            writer.flush()
    with pytest.raises(OutputError):
        writer.close("cancelled")
    totals = journal.totals()
    assert (given(writer), disk.lines) == (["a"], ["a"])
    assert (totals.done, totals.dollars, totals.lost_dollars, totals.lost_output_tokens) == (1, 1.0, 1.0, 9)
    assert journal.read("SELECT how FROM session") == [("cancelled",)]


@pytest.mark.parametrize("room", range(13))
def test_a_pipe_gets_the_rest_of_a_line(disk: Disk, journal: Journal, room: int) -> None:
    reading, writing = os.pipe()
    output = ResultFile(f"/dev/fd/{writing}")
    output.open()
    os.close(writing)
    writer = Writer(output, journal, ordered=False)
    for custom_id in "abc":
        writer.add(answer(custom_id))
    for disk.room in (room, 1, 1, 1000):
        try:
            writer.flush()
        except OutputError:
            assert len(given(writer)) < 3
    output.close()
    with open(reading, "rb") as file:
        assert file.read() == b'"a"\n"b"\n"c"\n'
    assert given(writer) == list("abc")
