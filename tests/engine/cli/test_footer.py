"""The lines at the bottom of a terminal: what they leave on the screen, and what others write above them."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from manystream.engine.cli.footer import Footer
from manystream.engine.simulator import Simulator

BACKGROUND = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
from rich.console import Console
from rich.text import Text
from manystream.engine.cli.footer import Footer
ours = os.getpgrp()
other = os.fork()
if not other:
    os.setpgid(0, 0)
    signal.pause()
while os.getpgid(other) == ours:
    pass
with Footer(Console(file=sys.stderr)) as footer:
    footer.show([Text("in front")])
    os.tcsetpgrp(2, other)  # as the shell does when another job comes to the front
    os.write(2, b"another's\\r\\n")
    footer.show([Text("behind")])
    os.tcsetpgrp(2, ours)
    footer.show([Text("again")])
os.kill(other, signal.SIGKILL)
os.waitpid(other, 0)
"""
PROGRAM = """
import logging, sys, threading, time, warnings
logging.basicConfig(format="%(levelname)s %(message)s")  # a handler that has the stream from before
import structlog
def chatter():
    log = logging.getLogger("chatter")
    while sys.stderr is sys.__stderr__:  # until the view is there
        time.sleep(0.01)
    for number in range(40):
        time.sleep(0.01)
        log.warning("number %d %s", number, "long " * 30)
    sys.stderr.write("half a ")
    sys.stderr.write("line\\n")
    warnings.warn("beware")
    structlog.get_logger().info("structured", key="value")
threading.Thread(target=chatter, daemon=True).start()
from manystream.__main__ import main
main()
"""


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str, width: int) -> list[str]:
    """The lines that a terminal of this width would show, without colours; rows that it had to break are joined."""
    rows: list[tuple[str, bool]] = [("", False)]  # and whether it goes on
    row = column = 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", written, re.DOTALL):
        if part == "\n":
            row, column = row + 1, column
        elif part == "\r":
            column = 0
        elif part[0] == "\x1b":
            count = int(part[2:-1] or 1) if part[-1] in "AJ" else 0
            if part[-1] == "A":
                row = max(0, row - count)
            elif part[-1] == "J":
                assert column == 0
                rows[row:] = [("", False)]
            else:
                assert part[-1] == "m"
        else:
            if column == width:
                rows[row] = (rows[row][0], True)
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append(("", False))
            text = rows[row][0].ljust(column)
            rows[row] = (text[:column] + part + text[column + 1 :], False)
            column += 1
        while len(rows) <= row:
            rows.append(("", False))
    lines = [""]
    for text, goes_on in rows:
        lines[-1] += text
        if not goes_on:
            lines.append("")
    return [line.rstrip() for line in lines[:-1]]


def console(terminal: Tty, width: int = 20, height: int = 10) -> Console:
    return Console(file=terminal, force_terminal=True, width=width, height=height, no_color=True)


def on_standard_error(monkeypatch: pytest.MonkeyPatch) -> Tty:
    # Not a fixture: pytest sets its own between a fixture and the test.
    terminal = Tty()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def seen(terminal: Tty, width: int = 20) -> list[str]:
    return screen(terminal.getvalue().replace("\n", "\r\n"), width)


def test_lines_take_the_place_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_standard_error(monkeypatch)
    with Footer(console(terminal)) as footer:
        footer.show([Text("one"), Text("two"), Text("three")])
        assert seen(terminal) == ["one", "two", "three", ""]
        footer.show([Text("four")])
        assert seen(terminal) == ["four", ""]
    assert seen(terminal) == [""]


def test_what_others_write_goes_above(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_standard_error(monkeypatch)
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger("test_footer")
    logger.addHandler(handler)
    try:
        with Footer(console(terminal)) as footer:
            footer.show([Text("footer")])
            logger.warning("a log line that is longer than the terminal is wide")
            print("begun", end="", file=sys.stderr)  # noqa: T201
            assert seen(terminal)[-2:] == ["footer", ""]
            print(", ended", file=sys.stderr)  # noqa: T201
            sys.stderr.write("left over")
            told = seen(terminal)
            assert told[:2] == ["a log line that is longer than the terminal is wide", "begun, ended"]
            assert told[-2:] == ["footer", ""]
            footer.show([Text("footer 2")])
            assert seen(terminal)[-2:] == ["footer 2", ""]
        assert seen(terminal)[-1] == "left over"
        assert handler.stream is sys.stderr is terminal
    finally:
        logger.removeHandler(handler)


def test_no_more_than_the_terminal_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_standard_error(monkeypatch)
    with Footer(console(terminal, height=4)) as footer:
        footer.show([Text(str(number)) for number in range(9)])
        assert seen(terminal) == ["0", "1", "2", ""]


def test_a_window_that_was_made_narrower_has_broken_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_standard_error(monkeypatch)
    wide = console(terminal)
    with Footer(wide) as footer:
        footer.show([Text("0123456789012345678"), Text("short")])
        wide.width = 8
        footer.above("")
        assert terminal.getvalue().endswith("\r\x1b[4A\x1b[J0123456789012345678\nshort\n")


def test_a_terminal_that_is_gone_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_standard_error(monkeypatch)
    with Footer(console(terminal)) as footer:
        footer.show([Text("one")])
        terminal.close()
        footer.show([Text("two")])
        footer.above("three\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_terminal_of_another_job_is_left_alone() -> None:
    import pty

    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", BACKGROUND]
    process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
        assert process.wait(timeout=20) == 0
    assert b"behind" not in written
    assert b"again" in written
    assert [line for line in screen(written.decode(), 80) if line] == ["in front", "another's"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("columns", "colours"), [(80, True), (40, False)])
def test_a_run_on_a_terminal(tmp_path: Path, columns: int, colours: bool) -> None:
    import pty
    import struct
    import termios
    from fcntl import ioctl

    (tmp_path / "in.jsonl").write_text('{"prompt": "Tell me"}\n' * 8)
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color"} | ({} if colours else {"NO_COLOR": "1"})
    with Simulator(time_to_first_token=0.2, tokens_per_second=400).in_thread() as simulator:
        simulator.script([529, "fine", 400])
        args = ["run", "in.jsonl", "-o", "out", "--model", "claude-opus-5-5", "--base-url", simulator.url]
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), *args, "--concurrency", "4", "--max-tokens", "60"],
            cwd=tmp_path,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        finally:
            os.close(ours)
            assert process.wait(timeout=20) == 1
    text = written.decode()
    told = screen(text, columns)
    assert [line for line in told if line.startswith("WARNING number")] == [
        f"WARNING number {number} {'long ' * 30}".rstrip() for number in range(40)
    ]
    assert "half a line" in told
    assert any("UserWarning: beware" in line for line in told)
    assert any(re.search(r"structured .*key.*=.*value", line) for line in told)
    assert "7 succeeded, 1 errored of 8; results in out" in told
    assert "-errored" in told[-2]
    assert not any(line.startswith("running ") for line in told)  # nothing of the view remains
    for words in ("running ", "of 8", "to first content", "error ", "at once"):
        assert words in text
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]m", text)) is colours
