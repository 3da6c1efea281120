"""No duration in a journal depends on whether the wall clock was put right meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from manystream import StreamResult, Timings
from manystream.engine.report import read_report
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Ended, Registered
from manystream.engine.runs.session_clock import SessionClock


class Clocks:
    """A wall clock that can be put right, and a monotonic one."""

    def __init__(self, wall: float = 1_790_000_000.0) -> None:
        self.wall = wall
        self.steady = 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def session(self, after: float = 0.0) -> SessionClock:
        return SessionClock(after=after, wall=lambda: self.wall, monotonic=lambda: self.steady)


def ended_now(clocks: Clocks, took: float, jumped: float = 0.0) -> StreamResult:
    begun = datetime.fromtimestamp(clocks.wall - took - jumped, UTC)
    return StreamResult(state="complete", stream_id="s", timings=Timings(end=took), timestamp=begun)


@pytest.mark.parametrize("jump", [-86_400.0, -5.0, 5.0, 3e8])
def test_a_jump_changes_no_duration(jump: float) -> None:
    clocks = Clocks()
    clock = clocks.session()
    began = clock.began
    clocks.pass_by(10)
    assert clock.submitted(ended_now(clocks, 4)) == began + 6
    clocks.wall += jump
    clocks.pass_by(2)
    assert clock.now() == began + 12
    assert clock.submitted(ended_now(clocks, 5, jumped=jump)) == began + 7  # it was submitted before the jump
    assert clock.submitted(ended_now(clocks, 1)) == began + 11


def test_a_session_begins_where_the_one_before_left_off_at_the_earliest() -> None:
    clocks = Clocks(wall=1000.0)
    assert clocks.session(after=900.0).began == 1000.0
    clock = clocks.session(after=1500.0)
    assert clock.began == 1500.0
    clocks.pass_by(10)
    assert clock.now() == 1510.0
    assert clock.submitted(ended_now(clocks, 4)) == 1506.0


def test_sessions_do_not_overlap_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is set back between two sessions of which the first was killed."""
    wall = [2000.0]

    def session(*, after: float = 0.0) -> SessionClock:
        return SessionClock(after=after, wall=lambda: wall[0])

    monkeypatch.setattr("manystream.engine.runs.journal.SessionClock", session)
    path = str(tmp_path / "out.jsonl")
    journal = Journal(f"{path}.journal")
    journal.register([Registered("a", 1, b"h"), Registered("b", 2, b"h")])
    journal.begin_session()
    journal.commit((), [Ended(custom_id="a", kind="succeeded", submitted=2000.0, seconds=60.0)])
    journal.close()
    wall[0] = 500.0
    journal = Journal(f"{path}.journal")
    journal.begin_session()
    began = journal.clock.began
    journal.commit((), [Ended(custom_id="b", kind="succeeded", submitted=began, seconds=0.0)])
    journal.end_session("finished")
    journal.close()
    assert began == pytest.approx(2060.0, abs=0.01)
    assert began > 2060.0
    first, second = read_report(path).timeline.each(goes_on=False)
    assert (first[2] - first[1], first[3]) == (60.0, "killed")
    assert second[2] - second[1] == pytest.approx(0.0, abs=5.0)
