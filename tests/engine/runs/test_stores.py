"""Stores that can't be written, for real: the run stops with status 3 and one line, nothing is marked as failed, what
was answered is kept, and the same command goes on."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from manystream.__main__ import app
from manystream.engine.cli.display import LineDisplay
from manystream.engine.simulator import Simulator, Stall

COUNT = 30
ORDERS = [
    pytest.param((), id="as they come"),
    pytest.param(("--ordered",), id="ordered", marks=pytest.mark.slow),
]
LONG = "one two three four five six seven eight nine ten " * 100


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        simulator.script([LONG] * 3 * COUNT)
        yield simulator


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(COUNT)))


def command(simulator: Simulator, *more: str, output: str = "out.jsonl") -> list[str]:
    given = ["run", "in.jsonl", "-o", output, "--model", "claude-opus-5-5", "--base-url", simulator.url]
    return [sys.executable, "-m", "manystream", *given, "--concurrency", "2", *more]


@contextmanager
def limited(size: int) -> Generator[None]:
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run(simulator: Simulator, *more: str) -> Result:
    """The command, in this process: to start another takes a second or more."""
    return CliRunner().invoke(app, command(simulator, *more)[3:])


def apart(args: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    return subprocess.run(args, text=True, timeout=60, check=False, **options)


def errors(told: str) -> list[str]:
    return [line for line in told.splitlines() if line.startswith("error: ")]


def answers(path: str = "out.jsonl") -> list[str]:
    content = Path(path).read_bytes()
    assert content == b"" or content.endswith(b"\n")
    found = [json.loads(line) for line in content.splitlines()]
    assert {line["result"]["type"] for line in found} <= {"succeeded"}
    return [line["custom_id"] for line in found]


def check_it_goes_on(simulator: Simulator, *more: str) -> None:
    before = answers()
    done = run(simulator, *more)
    assert (done.exit_code, errors(done.stderr)) == (0, [])
    after = answers()
    assert after[: len(before)] == before
    assert sorted(after) == sorted(f"line-{number}" for number in range(1, COUNT + 1))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("ordered", ORDERS)
@pytest.mark.parametrize("store", ["results", "journal"])
def test_a_store_that_cannot_grow(backend: str, ordered: tuple[str, ...], store: str) -> None:
    """Long answers fill the results first, or, held in it until their turn, the journal; short ones that end one after
    the other fill the journal's log."""
    more = ("--backend", backend, *ordered)
    with Simulator().in_thread() as simulator:
        if store == "results":
            simulator.script([LONG * 5] * COUNT)
        else:
            simulator.script([Stall(1, text="short " * 9, seconds=0.12)] * COUNT)
        with limited(125_000 if store == "results" else 66_000):
            done = run(simulator, *more)
        assert done.exit_code == 3
        (told,) = errors(done.stderr)
        if ordered or store == "journal":
            assert told == "error: out.jsonl.journal: can't be read or written: disk I/O error"
        else:
            assert told == "error: out.jsonl: file too large"
        assert "Traceback" not in done.stderr
        assert len(answers()) < COUNT
        assert answers() != [] or ordered
        with closing(sqlite3.connect("out.jsonl.journal")) as journal:
            assert journal.execute("SELECT count(*) FROM request WHERE kind = 'errored'").fetchone() == (0,)
    with Simulator().in_thread() as simulator:
        check_it_goes_on(simulator, *more)


def test_a_journal_that_cannot_even_be_made(simulator: Simulator) -> None:
    with limited(6_000):
        done = run(simulator)
    assert done.exit_code == 3
    assert errors(done.stderr) == ["error: out.jsonl.journal: can't be read or written: disk I/O error"]
    assert simulator.requests == []
    assert run(simulator).exit_code == 0


def test_events_that_cannot_be_written(simulator: Simulator) -> None:
    Path("events").mkdir()
    Path("events/line-20.jsonl").mkdir()
    done = run(simulator, "--stream-events", "events")
    assert done.exit_code == 3
    assert errors(done.stderr) == ["error: events/line-20.jsonl: is a directory"]
    Path("events/line-20.jsonl").rmdir()
    assert len(answers()) < COUNT
    check_it_goes_on(simulator, "--stream-events", "events")


def test_a_journal_that_somebody_else_has(simulator: Simulator) -> None:
    assert run(simulator, "--limit", "3").exit_code == 0
    before = Path("out.jsonl").read_bytes()
    with closing(sqlite3.connect("out.jsonl.journal", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = run(simulator)
    assert done.exit_code == 3
    assert errors(done.stderr) == ["error: out.jsonl.journal: in use: another run is writing these results"]
    assert Path("out.jsonl").read_bytes() == before
    check_it_goes_on(simulator)


@pytest.mark.parametrize("ordered", ORDERS)
def test_a_directory_that_is_removed_meanwhile(simulator: Simulator, ordered: tuple[str, ...]) -> None:
    Path("there").mkdir()
    simulator.script([LONG] * 3 * COUNT)
    args = command(simulator, *ordered, output="there/out.jsonl")
    process = subprocess.Popen([*args, "--quiet"], text=True, stderr=subprocess.PIPE)
    simulator.wait_until(lambda it: len(it.requests) >= 4, timeout=30)
    shutil.rmtree("there")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    (error,) = errors(told)
    saved = re.fullmatch(
        r"error: there/out.jsonl: was removed while it was written: its results are saved in (\S+)", error
    )
    assert saved is not None
    assert "Traceback" not in told
    assert len(answers(saved[1])) >= 1
    os.unlink(saved[1])  # it is in the temporary directory, since its own is gone


@pytest.mark.parametrize("ordered", ORDERS)
@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_results_that_are_gone_are_saved_and_told(simulator: Simulator, how: str, ordered: tuple[str, ...]) -> None:
    process = subprocess.Popen([*command(simulator, *ordered), "--quiet"], text=True, stderr=subprocess.PIPE)
    simulator.wait_until(lambda it: len(it.requests) >= 4, timeout=30)
    if how == "removed":
        Path("out.jsonl").unlink()
    elif how == "replaced":
        Path("other").write_text("other\n")
        Path("other").replace("out.jsonl")
    else:
        Path("out.jsonl").rename("elsewhere")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3
    (error,) = errors(told)
    where = "elsewhere"
    if how == "moved":
        assert error.endswith("out.jsonl: was moved while it was written: its results are where it is now")
    else:
        text, _, where = error.rpartition(" ")
        assert text == f"error: out.jsonl: was {how} while it was written: its results are saved in"
        assert stat.S_IMODE(os.stat(where).st_mode) == 0o600
    if how == "replaced":
        assert Path("out.jsonl").read_text() == "other\n"
    known = len(answers(where))
    assert known >= 1
    # Put back, they are the results, and the run goes on behind them.
    Path(where).replace("out.jsonl")
    done = run(simulator, *ordered)
    assert done.exit_code == 0, done.stderr
    assert len(answers()) == COUNT
    assert len(simulator.requests) <= 2 * COUNT


@pytest.mark.parametrize("ordered", ORDERS)
def test_a_journal_that_is_removed_is_there_again(simulator: Simulator, ordered: tuple[str, ...]) -> None:
    args = [*command(simulator, *ordered, "--limit", "8"), "--quiet"]
    process = subprocess.Popen(args, text=True, stderr=subprocess.PIPE)
    simulator.wait_until(lambda it: len(it.requests) >= 4, timeout=30)
    os.unlink("out.jsonl.journal")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert not [name for name in os.listdir() if name.startswith("out.jsonl.journal-") or name.endswith("-new")]
    assert stat.S_IMODE(os.stat("out.jsonl.journal").st_mode) == 0o600
    done = run(simulator, *ordered)
    assert done.exit_code == 0, done.stderr
    assert "continuing: 8 done before" in done.stderr
    assert len(answers()) == len(simulator.requests) == COUNT


def test_the_journal_is_its_owner_s(simulator: Simulator) -> None:
    before = os.umask(0)
    try:
        assert run(simulator, "--limit", "1").exit_code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("out.jsonl.journal").st_mode) == 0o600


def test_results_behind_a_link_stay_there_when_they_are_rewritten() -> None:
    Path("far").mkdir()
    Path("out.jsonl").symlink_to("far/results")
    Path("victim").write_text("mine\n")
    with Simulator().in_thread() as simulator:
        simulator.script([400])
        assert run(simulator, "--limit", "2").exit_code == 1
        Path("far/results.manystream-new").symlink_to(
            "../victim"
        )  # as somebody would who wants it to be written through
        assert run(simulator, "--limit", "2", "--retry-errored").exit_code == 0
    assert Path("out.jsonl").is_symlink()
    assert len(answers("far/results")) == 2
    assert Path("victim").read_text() == "mine\n"
    assert not os.path.lexists("far/results.manystream-new")


def test_events_go_to_a_directory(simulator: Simulator) -> None:
    Path("taken").write_text("mine")
    for where in ("taken", "taken/below"):
        done = run(simulator, "--stream-events", where)
        assert done.exit_code == 2
        assert errors(done.stderr) == [f"error: {where}: is no directory: name one for the files of events, or `-`"]
        assert not os.path.exists("out.jsonl.journal")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output(simulator: Simulator) -> None:
    with open("/dev/full", "wb") as full:
        done = apart(command(simulator, output="-"), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert errors(done.stderr) == ["error: stdout: no space left on device"]


def test_nobody_reads_the_results(simulator: Simulator) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = apart(command(simulator, output="-"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 3
    assert errors(done.stderr) == ["error: stdout: broken pipe"]
    closed = apart(["sh", "-c", 'exec "$@" >&-', "sh", *command(simulator, output="-")], stderr=subprocess.PIPE)
    assert closed.returncode == 3
    assert errors(closed.stderr) == ["error: stdout: bad file descriptor"]


# -- what is told on standard error is worth less than an answer


def test_nobody_reads_what_is_told(simulator: Simulator) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert apart(command(simulator, "--limit", "6"), stderr=writer, stdout=subprocess.DEVNULL).returncode == 0
    os.close(writer)
    assert len(answers()) == 6


def test_standard_error_is_closed(simulator: Simulator) -> None:
    """No file takes its number, and nothing goes to standard output instead."""
    more = ("--limit", "6", "--log-level", "debug")
    args = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command(simulator, *more, output="-")]
    done = apart(args, stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 6
    args = ["sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *command(simulator, *more)]
    assert apart(args).returncode == 0
    assert len(answers()) == 6
    assert sqlite3.connect("out.jsonl.journal").execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("where", ["__enter__", "update", "__exit__"])
def test_a_display_that_fails_harms_no_run(
    simulator: Simulator, backend: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LineDisplay, where, broken)
    monkeypatch.setattr(LineDisplay, "interval", 0.01)
    simulator.script([Stall(2, text=LONG, seconds=0.2)])
    with pytest.raises(SystemExit) as ended:
        app([*command(simulator)[3:], "--limit", "6", "--backend", backend])
    assert ended.value.code == 0
    assert len(answers()) == 6
    told = capsys.readouterr().err
    assert "the progress can't be shown: ZeroDivisionError; the run continues" in told
    assert told.count("ZeroDivisionError") == 1
