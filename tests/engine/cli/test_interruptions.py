"""Signals, as people and systems send them to a run in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from manystream.engine.simulator import Simulator, Stall

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

LONG = "one two three four"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def command(request: pytest.FixtureRequest, simulator: Simulator, tmp_path: Path) -> list[str]:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(6)))
    given = ["run", "in.jsonl", "-o", "out.jsonl", "--model", "claude-opus-5-5", "--base-url", simulator.url]
    return [sys.executable, "-m", "manystream", *given, "--concurrency", "2", "--backend", request.param]


def start(command: list[str], tmp_path: Path, *, ignored: int | None = None) -> subprocess.Popen[str]:
    def ignore() -> None:
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    return subprocess.Popen(command, cwd=tmp_path, text=True, stderr=subprocess.PIPE, preexec_fn=ignore)


def lines(tmp_path: Path) -> int:
    return (tmp_path / "out.jsonl").read_bytes().count(b"\n")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str
)
def test_the_first_signal_drains_and_the_status_names_it(
    simulator: Simulator, command: list[str], tmp_path: Path, number: int, status: int
) -> None:
    simulator.script([Stall(1, text=LONG, seconds=0.5), Stall(1, text=LONG, seconds=0.5)])
    process = start(command, tmp_path)
    simulator.wait_until(lambda seen: len(seen.requests) == 2, timeout=30)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == status, told
    assert lines(tmp_path) == len(simulator.requests) < 6  # what was sent is there, and nothing else was begun
    assert "the same command" in told.splitlines()[-1], told
    assert subprocess.run(command, cwd=tmp_path, check=False, timeout=60).returncode == 0
    assert lines(tmp_path) == len(simulator.requests) == 6


def test_a_terminal_that_closes_may_hang_up_twice(simulator: Simulator, command: list[str], tmp_path: Path) -> None:
    simulator.script([Stall(1, text=LONG, seconds=1), Stall(1, text=LONG, seconds=1)])
    process = start(command, tmp_path)
    simulator.wait_until(lambda seen: len(seen.requests) == 2, timeout=30)
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 129
    assert lines(tmp_path) == len(simulator.requests) < 6


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=str)
def test_what_is_ignored_from_the_start_stays_so(
    simulator: Simulator, command: list[str], tmp_path: Path, number: int
) -> None:
    simulator.script([Stall(1, text=LONG, seconds=0.3)])
    process = start(command, tmp_path, ignored=number)
    simulator.wait_until(lambda seen: len(seen.requests) >= 1, timeout=30)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert lines(tmp_path) == 6


SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(sys.argv[1:], process_group=0, preexec_fn=lambda: signal.signal(signal.SIGTTOU, signal.SIG_DFL))
os.tcsetpgrp(2, job.pid)
_, status = os.waitpid(job.pid, os.WUNTRACED)
os.tcsetpgrp(2, os.getpgrp())
os.write(2, b"<stopped>" if os.WIFSTOPPED(status) else b"<ended>")
os.tcsetpgrp(2, job.pid)
os.kill(job.pid, signal.SIGCONT)
_, status = os.waitpid(job.pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_ctrl_z_and_fg(simulator: Simulator, command: list[str], tmp_path: Path) -> None:
    import pty

    simulator.script([Stall(1, text=LONG, seconds=0.5)] * 6)
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL, *command],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    simulator.wait_until(lambda seen: len(seen.requests) == 2, timeout=30)
    os.write(ours, b"\x1a")  # Ctrl-Z, as it is typed
    screen = b""
    with suppress(OSError):  # the other side is closed
        while block := os.read(ours, 1 << 16):
            screen += block
    os.close(ours)
    assert shell.wait(30) == 0, screen
    assert lines(tmp_path) == 6
    before, _, after = screen.partition(b"<stopped>")
    assert b"6 succeeded of 6" in after, screen
    # The lines at the bottom were taken off before the shell got the terminal: it writes where they began.
    assert before.endswith((b"\x1b[J", b"\x1b[0J", b"\x1b[?25h", b"\x1b[K")), before[-80:]


def test_few_file_descriptors(simulator: Simulator, command: list[str], tmp_path: Path) -> None:
    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    command = [*command[:-4], "--concurrency", "500", *command[-2:]]
    (tmp_path / "in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(60)))
    done = subprocess.run(
        command, cwd=tmp_path, check=False, timeout=60, capture_output=True, text=True, preexec_fn=few
    )
    assert done.returncode == 0, done.stderr
    assert "16 requests at a time, not 500: the system allows 80 open files (ulimit -n)" in done.stderr
    assert lines(tmp_path) == 60


def test_the_soft_limit_of_file_descriptors_is_raised(simulator: Simulator, command: list[str], tmp_path: Path) -> None:
    import resource

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    command = [*command[:-4], "--concurrency", "200", *command[-2:]]
    done = subprocess.run(
        command, cwd=tmp_path, check=False, timeout=60, capture_output=True, text=True, preexec_fn=few
    )
    assert done.returncode == 0, done.stderr
    assert "open files" not in done.stderr
