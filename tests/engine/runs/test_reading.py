"""A report is read without leaving a trace: of a run that goes on, one that was killed, in a read-only folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from manystream.__main__ import app
from manystream.engine.plan import read_past
from manystream.engine.report import read_report
from manystream.engine.runs.journal import Journal, JournalInUseError, remove_journal
from manystream.engine.runs.journal_rows import Ended, Registered
from manystream.engine.runs.reading import BusyError, is_written, read_journal
from manystream.engine.runs.seeds import settled_order

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions and locks")
NOBODY = 65_534

WRITER = """
import sys
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Ended, Registered
journal = Journal(sys.argv[1])
journal.register([Registered(str(number), number, b"h") for number in range(9)])
journal.begin_session()
journal.commit((), [Ended(custom_id="3", kind="succeeded", output_tokens=7)])
print("written", flush=True)
sys.stdin.readline()
"""


@contextmanager
def being_written(path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process has the journal open and has answered one request of nine."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        yield writer
    finally:
        writer.kill()
        writer.communicate()


@contextmanager
def read_only_folder(mode: int = 0o555) -> Generator[Path]:
    """A folder whose parents all may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            folder.chmod(0o755)


@contextmanager
def as_somebody_else() -> Generator[None]:
    """As a user for whom permissions count, since they don't for root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


@posix
def test_a_run_that_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "out.jsonl.journal"
    with being_written(journal) as writer:
        before = listing(tmp_path)
        assert "out.jsonl.journal-wal" in before
        report = read_report(str(tmp_path / "out.jsonl"))
        assert (report.totals.done, report.totals.pending, report.totals.output_tokens) == (1, 8, 7)
        assert report.goes_on
        assert [how for *_, how in report.timeline.each(goes_on=True)] == ["goes on"]
        told = CliRunner().invoke(app, ["report", str(tmp_path / "out.jsonl")])
        assert "goes on" in told.stdout
        assert listing(tmp_path) == before
        assert is_written(str(journal))  # the writer still has its lock
        assert writer.poll() is None


def goes_on(output: str) -> None:
    assert read_report(output).goes_on


def has_its_answers(output: str) -> None:
    assert list(read_past(output).answers) == ["3"]


def has_its_seed(output: str) -> None:
    assert settled_order(output, sample=2, shuffle=False, seed=None, overwrite=False).seed == 17


def is_refused(output: str) -> None:
    with pytest.raises(JournalInUseError, match="in use"):
        Journal(f"{output}.journal")


def is_not_removed(output: str) -> None:
    with pytest.raises(JournalInUseError, match="in use"):
        remove_journal(output)


@posix
@pytest.mark.parametrize("look", [goes_on, has_its_answers, has_its_seed, is_refused, is_not_removed])
def test_looking_at_a_run_of_this_process_leaves_it_its_lock(tmp_path: Path, look: Callable[[str], None]) -> None:
    output = str(tmp_path / "out.jsonl")
    (tmp_path / "link.jsonl.journal").symlink_to("out.jsonl.journal")
    journal = Journal(f"{output}.journal")
    journal.register([Registered(str(number), number, b"h") for number in range(9)])
    journal.keep("seed", 17)
    journal.begin_session()
    journal.commit((), [Ended(custom_id="3", kind="succeeded", output_tokens=7)])
    look(output)
    if look is not is_not_removed:
        look(str(tmp_path / "link.jsonl"))
    opening = "import sys; from manystream.engine.runs.journal import Journal; Journal(sys.argv[1])"
    another = subprocess.run([sys.executable, "-c", opening, journal.path or ""], capture_output=True, text=True)
    assert "in use" in another.stderr
    assert is_written(journal.path or "")
    journal.close()
    assert not is_written(journal.path or "")


@posix
def test_the_seed_of_a_run_of_another_process(tmp_path: Path) -> None:
    output = str(tmp_path / "out.jsonl")
    with closing(Journal(f"{output}.journal")) as journal:
        journal.keep("seed", 17)
    with being_written(tmp_path / "out.jsonl.journal"):
        before = listing(tmp_path)
        has_its_seed(output)
        assert listing(tmp_path) == before


@posix
def test_a_run_that_was_killed(tmp_path: Path) -> None:
    with being_written(tmp_path / "out.jsonl.journal"):
        pass
    before = listing(tmp_path)
    assert "out.jsonl.journal-wal" in before
    report = read_report(str(tmp_path / "out.jsonl"))
    assert (report.totals.done, report.goes_on) == (1, False)
    assert [how for *_, how in report.timeline.each(goes_on=False)] == ["killed"]
    assert listing(tmp_path) == before


@posix
@pytest.mark.parametrize("state", ["ended", "killed", "going on"])
def test_a_folder_where_nothing_may_be_written(state: str) -> None:
    with read_only_folder() as folder:
        path = folder / "out.jsonl.journal"
        with being_written(path) as writer:
            if state != "going on":
                writer.kill()
                writer.communicate()
            if state == "ended":
                Journal(str(path)).close()  # which moves the log into it
                assert [found.name for found in folder.iterdir()] == ["out.jsonl.journal"]
            for found in folder.iterdir():
                found.chmod(0o444)
            folder.chmod(0o555)
            before = listing(folder)
            with as_somebody_else():
                with pytest.raises(PermissionError):
                    (folder / "probe").touch()
                report = read_report(str(folder / "out.jsonl"))
            assert (report.totals.done, report.totals.pending) == (1, 8)
            assert listing(folder) == before


@posix
def test_a_journal_that_may_not_be_read() -> None:
    with read_only_folder() as folder:
        path = folder / "out.jsonl.journal"
        Journal(str(path)).close()
        path.chmod(0o000)
        # What is imported late is there then: somebody else may not read where it is installed.
        assert CliRunner().invoke(app, ["report", str(folder / "nothing.jsonl")]).exit_code == 2
        with as_somebody_else():
            done = CliRunner().invoke(app, ["report", str(folder / "out.jsonl")])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"error: {path}: cannot be read: permission denied\n"


def test_it_is_read_again_when_it_changed_meanwhile(tmp_path: Path) -> None:
    path = str(tmp_path / "j")
    journal = Journal(path)
    journal.register([Registered("a", 1, b"h")])
    journal.close()
    times = 0

    def count(db: sqlite3.Connection) -> int:
        nonlocal times
        times += 1
        if times == 1:
            with Journal(path).transaction() as other:  # another writes, and moves its log into the journal
                other.execute("UPDATE request SET state = 'ended'")
            raise sqlite3.DatabaseError("database disk image is malformed")
        return db.execute("SELECT count(*) FROM request WHERE state = 'ended'").fetchone()[0]

    assert read_journal(path, count) == 1
    assert times == 2

    def change(db: sqlite3.Connection) -> None:
        os.utime(path)

    with pytest.raises(BusyError, match="changes all the time"):
        read_journal(path, change)


def test_what_fails_of_itself_is_told_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "j")
    Journal(path).close()
    with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
        read_journal(path, lambda db: db.execute("SELECT * FROM absent"))


def test_estimates_are_marked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    journal = Journal(f"{path}.journal")
    journal.register([Registered("a", 1, b"h"), Registered("b", 2, b"h")])
    journal.begin_session()
    paid = {"model": "m", "dollars": 1.0, "output_tokens": 1234}
    journal.commit((), [Ended(custom_id="a", kind="succeeded", estimated=1, **paid)])
    journal.commit((), [Ended(custom_id="b", kind="succeeded", estimated=0, **paid)])
    assert journal.totals().estimated == 1
    journal.end_session("finished")
    journal.close()
    report = read_report(str(path))
    assert (report.totals.estimated, report.exact, report.models[0].estimated) == (1, False, 1)
    told = CliRunner().invoke(app, ["report", str(path)]).stdout
    assert "cost ~$2.00" in told
    assert "~2,468" in told
    with Journal(f"{path}.journal").transaction() as db:
        db.execute("UPDATE request SET estimated = 0")
    told = CliRunner().invoke(app, ["report", str(path)]).stdout
    assert "~" not in told.replace("Dollars are by public prices: ~", "")
