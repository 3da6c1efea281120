"""Which display a run gets, how often it speaks, and what `--quiet` leaves."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import anyio
import pytest
from tests.support.virtual import virtual_backends
from typer.testing import CliRunner

from manystream import EngineStats
from manystream.__main__ import app
from manystream.engine.cli.display import (
    Display,
    HarmlessDisplay,
    LineDisplay,
    LiveDisplay,
    QuietDisplay,
    display_for,
    tell_trouble,
)
from manystream.engine.runs import Figures
from manystream.engine.simulator import Simulator

IDLE = EngineStats(running=0, waiting=0, backoff=0, waits=(), pools=(), spent=None)


class Terminal:
    """Standard error or output, when somebody looks at it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


def display(output: str = "out", *, quiet: bool = False) -> Display:
    return display_for(Figures(7), lambda: IDLE, output=output, quiet=quiet)


def test_which_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display(), LineDisplay)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(display(), LiveDisplay)
    assert isinstance(display("-"), LiveDisplay)  # standard output is a file here
    assert isinstance(display(quiet=True), QuietDisplay)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert isinstance(display(), LiveDisplay)
    assert isinstance(display("-"), LineDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(), LineDisplay)


def test_the_live_display_leaves_nothing_but_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with display() as shown:
        assert "0 of 7" in terminal.written
        shown.note("stopping")
        shown.update()
    last_erased = terminal.written.rpartition("\x1b[J")[2]
    assert last_erased == ""
    assert "\x1b[Jstopping\n" in terminal.written
    assert sys.stderr is terminal


def test_nothing_is_left_of_the_view_after_ctrl_z_and_fg(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with display() as shown:
        shown.suspend()
        assert terminal.written.rpartition("\x1b[J")[2] == ""  # all of it is taken away
        before = terminal.written
        shown.update()  # an update that was on its way
        assert terminal.written == before
        terminal.write("[1]+  Stopped\n$ fg\n")
        shown.resume()
        drawn = terminal.written.removeprefix(before + "[1]+  Stopped\n$ fg\n")
        assert "0 of 7" in drawn
        assert "\x1b[J" not in drawn  # what the shell has written stays
        shown.update()
        assert "\x1b[J" in terminal.written.removeprefix(before)
    for quiet in (QuietDisplay(), LineDisplay(Figures(7), lambda: IDLE)):
        quiet.suspend()
        quiet.resume()


def test_lines_become_rarer(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    shown = LineDisplay(Figures(7, clock=lambda: now[-1]), lambda: IDLE)
    for moment, interval in ((0.0, 5), (54.0, 5), (56.0, 30), (569.0, 30), (600.0, 60), (1e6, 60)):
        now.append(moment)
        assert shown.interval == interval
    with shown:
        shown.update()
    assert capsys.readouterr().err.startswith("0/7 (0 %) done, 0 failed, 0 running, ")


def test_the_quiet_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with QuietDisplay() as shown:
        shown.update()
        shown.note("stopping")
        assert shown.interval == math.inf
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_trouble_is_told_at_once_unless_nothing_is(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(7)

    def broken() -> Display:
        raise ZeroDivisionError

    async def main() -> None:
        began = anyio.current_time()
        with anyio.fail_after(60), HarmlessDisplay(broken) as harmless:
            await tell_trouble(QuietDisplay(), figures)
            await tell_trouble(harmless, figures)
        assert anyio.current_time() == began
        capsys.readouterr()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell_trouble, LineDisplay(figures, lambda: IDLE), figures)
            for trouble, said in (
                (None, ""),
                ("no way", "no way\n"),
                ("no way", ""),
                (None, "the API answers again\n"),
            ):
                figures.trouble = trouble
                await anyio.sleep(1)
                assert capsys.readouterr().err == said
            tasks.cancel_scope.cancel()

    name, options = virtual_backends()[backend]
    anyio.run(main, backend=name, backend_options=options)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_quiet_leaves_errors_and_the_last_line(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"prompt": "Hello"}\n' * 3)
    with Simulator().in_thread() as simulator:
        simulator.script(["fine", 400])
        args = ["run", "in.jsonl", "-o", "out", "--model", "claude-opus-5-5", "--base-url", simulator.url]
        done = CliRunner().invoke(app, [*args, "--quiet", "--backend", backend])
    assert done.exit_code == 1
    said, *last = done.stderr.splitlines()
    assert said.startswith("errored            1 invalid_request_error: Invalid request (such as line-")
    assert last == [
        "2 succeeded, 1 errored of 3; results in out",
        "1 errored by invalid_request_error: mend the input, then --retry-errored",
    ]
