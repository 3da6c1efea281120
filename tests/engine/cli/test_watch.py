"""A run is watched from another terminal: what is seen, how it ends, and that no watcher harms the run."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.virtual import virtual_backends
from typer.testing import CliRunner

from manystream import EngineStats
from manystream.__main__ import app
from manystream.engine.cli.frames import ENDED, encode, figures_now, lines_from, lines_to
from manystream.engine.cli.telling import say
from manystream.engine.cli.view import live_lines
from manystream.engine.cli.watch_place import found_sockets, new_socket
from manystream.engine.cli.watched import VERSION, Watched
from manystream.engine.runs import Figures
from manystream.engine.runs.failures import Failure
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.rates import Rates, Speed
from manystream.engine.simulator import Simulator, Stall

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix domain sockets")

MODEL = ("--model", "claude-opus-5-5")


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory, whose path is short."""
    with tempfile.TemporaryDirectory(prefix="ms-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setenv("COLUMNS", "100")
        yield Path(name)


def start(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "manystream", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def room(output: Path | str) -> Generator[Watched]:
    with Watched() as watched:
        watched.open(str(output))
        yield watched


class Watcher:
    """Somebody who watches, by hand."""

    def __init__(self, output: Path | str) -> None:
        (path,) = found_sockets(str(output))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self._lines = self.socket.makefile("rb")
        assert self.hear() == {"version": VERSION}

    def ask(self, **what: Any) -> Watcher:
        self.socket.sendall(encode(what))
        return self

    def hear(self) -> Any:
        line = self._lines.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


# -- the place of the socket


def test_the_socket_is_ours_alone(runtime: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert found_sockets(str(output)) == []
    with room(output):
        (path,) = found_sockets(str(output))
        assert Path(path).parent == runtime / "manystream"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(runtime / "manystream").st_mode) == 0o700
    assert found_sockets(str(output)) == []


def test_it_is_found_by_any_name_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    monkeypatch.chdir(tmp_path)
    assert new_socket("out.jsonl") == new_socket(str(tmp_path / "out.jsonl")) == new_socket("link.jsonl")
    assert new_socket("out.jsonl") != new_socket("other.jsonl")


@pytest.mark.parametrize("spoil", ["open to others", "a link", "a file"])
def test_a_folder_that_is_not_ours_alone_is_not_used(
    runtime: Path, tmp_path: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="ms-") as other:
        monkeypatch.setattr(tempfile, "tempdir", other)
        folder = runtime / "manystream"
        if spoil == "open to others":
            folder.mkdir()
            folder.chmod(0o755)
        elif spoil == "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        else:
            folder.write_text("")
        with room(tmp_path / "out"):
            (path,) = found_sockets(str(tmp_path / "out"))
            assert Path(path).parent == Path(other) / f"manystream-{os.geteuid()}"


def test_a_path_is_short_enough_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    path = new_socket(str(deep / "out"))
    assert path is not None
    assert len(os.fsencode(path)) <= 103
    with room(deep / "out"):
        assert found_sockets(str(deep / "out")) == [path]


def test_another_terminal_may_have_no_runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", os.environ["XDG_RUNTIME_DIR"])
    runtime = os.environ.pop("XDG_RUNTIME_DIR")
    with room(tmp_path / "out"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", f"{runtime}/absent")
        assert len(found_sockets(str(tmp_path / "out"))) == 1


def test_a_socket_that_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    output = tmp_path / "out"
    path = new_socket(str(output))
    assert path is not None
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with room(output):
        Watcher(output).close()
    with room(output):
        os.unlink(path)
        Path(path).touch()  # another's by now
    assert os.path.exists(path)


# -- what is told


def figures() -> Figures:
    made = Figures(9, clock=lambda: 2.0)
    made.endings.update(succeeded=3, errored=1)
    made.errors.update(overloaded_error=1)
    made.stop_reasons.update(max_tokens=2, end_turn=1)
    made._failures.add(Failure("overloaded_error", "Overloaded", 1, "line-7"))  # pyright: ignore[reportPrivateUsage]
    return made


def test_lines_are_as_they_were() -> None:
    lines = live_lines(figures(), Speed(), ENDED, 80)
    again = lines_from(json.loads(json.dumps(lines_to(lines))))
    assert [line.markup for line in again] == [line.markup for line in lines]
    assert any(line.spans for line in again)


def test_figures_are_plain() -> None:
    told = json.loads(encode({"figures": figures_now(figures(), Speed(requests=1.5), ENDED)}))["figures"]
    assert (told["done"], told["total"], told["running"]) == (4, 9, 0)
    assert told["errors"] == {"overloaded_error": 1}
    assert told["messages"][0]["custom_id"] == "line-7"
    assert told["stop_reasons"] == {"max_tokens": 2, "end_turn": 1}
    assert told["requests_per_second"] == 1.5
    assert told["first_content"] is None


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def test_nothing_is_made_while_nobody_watches(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    sample = Rates.sample

    def counted(rates: Rates) -> Speed:
        asked.append(1)
        return sample(rates)

    monkeypatch.setattr(Rates, "sample", counted)

    def stats() -> EngineStats:
        asked.append(1)
        return ENDED

    async def main() -> None:
        with room(tmp_path / "out") as watched:
            with anyio.move_on_after(60):
                await watched.keep_telling(figures(), stats)
            assert not asked
            watchers = [Watcher(tmp_path / "out").ask(width=width) for width in (40, 40, 100)]
            watchers.append(Watcher(tmp_path / "out").ask(figures=True))
            inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
            while inside.wanted != {40, 100, "figures"}:
                pass
            with anyio.move_on_after(1.6):
                await watched.keep_telling(figures(), stats)
            narrow, same, wide, numbers = [watcher.hear() for watcher in watchers]
            assert narrow == same
            assert max(len(plain) for plain, _ in narrow["lines"]) < 40
            assert 40 < max(len(plain) for plain, _ in wide["lines"]) < 100
            assert wide["plain"].startswith("4/9 (44 %) done, 1 failed")
            assert numbers["figures"]["done"] == 4
            for watcher in watchers:
                watcher.close()

    name, options = virtual_backends(settle=0.05)[backend]
    anyio.run(main, backend=name, backend_options=options)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_fails_here_harms_no_run(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> EngineStats:
        raise ZeroDivisionError

    async def main() -> None:
        with room(tmp_path / "out") as watched:
            watcher = Watcher(tmp_path / "out").ask(width=80)
            inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
            while not inside.wanted:
                pass
            await watched.keep_telling(figures(), broken)
            assert watcher.hear() is None
            watcher.close()
            assert watched.conclude(lambda: 0, lambda: None) == 0

    name, options = virtual_backends(settle=0.05)[backend]
    anyio.run(main, backend=name, backend_options=options)
    assert capsys.readouterr().err == "the run can't be watched any more: ZeroDivisionError; it continues\n"

    def no_figures() -> dict[str, Any]:
        return {"dollars": float("inf")}

    with room(tmp_path / "out") as watched:
        assert watched.conclude(lambda: 3, no_figures) == 3


class HeldSelector(selectors.DefaultSelector):
    """Gives what is ready only while the gate is open, the bell first."""

    gate = threading.Event()
    first: object = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        super().select(timeout)
        assert self.gate.wait(10)
        ready = super().select(0)
        return ready if self.first is None else sorted(ready, key=lambda one: one[0].fileobj is not self.first)


def test_watchers_leave_as_the_bell_rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selectors.DefaultSelector", HeldSelector)
    HeldSelector.gate.set()
    with room(tmp_path / "out") as watched:
        inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
        leaving = [Watcher(tmp_path / "out").ask(figures=True) for _ in range(3)]
        while inside.wanted != {"figures"} or any(one.wanted is None for one in list(inside._watchers.values())):
            pass
        HeldSelector.gate.clear()
        monkeypatch.setattr(HeldSelector, "first", inside._bell)
        for watcher in leaving:
            watcher.close()
        inside.tell({"figures": encode({"number": 1})})
        HeldSelector.gate.set()
        staying = Watcher(tmp_path / "out").ask(figures=True)
        while inside.wanted != {"figures"} or len(inside._watchers) != 1:
            assert inside._thread.is_alive()
        inside.tell({"figures": encode({"number": 2})})
        assert staying.hear() == {"number": 2}
        staying.close()


@pytest.mark.parametrize("fails", ["select", "register"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_fails_harms_no_run(
    fails: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = threading.Event()

    class Broken(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if broken.is_set() and fails == "select":
                raise OSError("no memory")
            return super().select(timeout)

        def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
            if broken.is_set() and fails == "register":
                raise OSError("no memory")
            return super().register(fileobj, events, data)

    async def main() -> None:
        with room(tmp_path / "out") as watched:
            inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
            watcher = Watcher(tmp_path / "out").ask(figures=True)
            while not inside.wanted:
                pass
            broken.set()
            (path,) = found_sockets(str(tmp_path / "out"))
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(path)
                inside._thread.join(10)
            assert watcher.hear() is None
            watcher.close()
            await watched.keep_telling(figures(), lambda: ENDED)
            assert found_sockets(str(tmp_path / "out")) == []
            assert watched.conclude(lambda: 4, lambda: None) == 4

    monkeypatch.setattr("selectors.DefaultSelector", Broken)
    name, options = virtual_backends(settle=0.05)[backend]
    anyio.run(main, backend=name, backend_options=options)
    assert capsys.readouterr().err == "the run can't be watched any more: OSError; it continues\n"


def test_the_socket_goes_and_the_error_stays_when_the_room_can_not_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        wake()
        raise OSError("the pipe is broken")

    with pytest.raises(ZeroDivisionError), room(tmp_path / "out") as watched:
        inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
        wake = inside._wake
        monkeypatch.setattr(inside, "_wake", broken)
        raise ZeroDivisionError
    assert found_sockets(str(tmp_path / "out")) == []
    assert capsys.readouterr().err == "the run can't be watched any more: OSError; it continues\n"


def test_a_bell_that_is_gone_rings_for_nobody(tmp_path: Path) -> None:
    with room(tmp_path / "out") as watched:
        inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
        inside.close(None)
        inside.tell({})
        assert watched.conclude(lambda: 4, lambda: None) == 4


def test_a_stuck_watcher_holds_up_nobody(tmp_path: Path) -> None:
    big = encode({"lines": ["x" * 100_000], "plain": "", "seconds": 0})
    with room(tmp_path / "out") as watched:
        stuck = Watcher(tmp_path / "out").ask(width=40)
        other = Watcher(tmp_path / "out").ask(width=80)
        inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]
        while inside.wanted != {40, 80}:
            pass
        for number in range(30):  # more than the system takes for who does not read
            inside.tell({40: big, 80: encode({"number": number})})
            assert other.hear() == {"number": number}
        (watcher,) = [one for one in inside._watchers.values() if one.wanted == 40]
        assert len(watcher._sending) + len(watcher._next) <= 2 * len(big)
        watched.conclude(lambda: 0, lambda: None)
        assert other.hear()["end"]["status"] == 0
        assert other.hear() is None
        stuck.close()
        other.close()


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"[" * 5000, b'{"width": "wide"}\n', b'{"cancel": true}\n']
)
def test_whoever_says_anything_else_is_sent_away(tmp_path: Path, said: bytes) -> None:
    with room(tmp_path / "out") as watched:
        stranger = Watcher(tmp_path / "out")
        stranger.socket.sendall(said)
        with suppress(ConnectionError):
            assert stranger.hear() is None
        stranger.close()
        friend = Watcher(tmp_path / "out").ask(width=10**9)
        watched.conclude(lambda: 3, lambda: None)
        assert friend.hear() == {"end": {"status": 3, "said": [], "figures": None}}
        friend.close()


def test_the_last_words_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def conclude() -> int:
        say("two", "lines")
        return 4

    with room(tmp_path / "out") as watched:
        watcher = Watcher(tmp_path / "out")
        assert watched.conclude(conclude, lambda: {"done": 1}) == 4
        assert watcher.hear() == {"end": {"status": 4, "said": ["two", "lines"], "figures": {"done": 1}}}
        watcher.close()
    assert capsys.readouterr().err == "two\nlines\n"
    with Watched() as watched:
        assert watched.conclude(conclude, lambda: None) == 4  # nobody can watch it


# -- the command


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_is_watched_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"prompt": "Hello"}\n' * 6)
    with Simulator().in_thread() as simulator:
        simulator.script(["fine", 400, *[Stall(2, text="stalls here")] * 4])
        args = ("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--backend", backend)
        run = start(*args, "--concurrency", "6")
        simulator.wait_until(lambda it: len(it.requests) == 6, timeout=30)
        watchers = [start("watch", "out.jsonl"), start("watch", "./out.jsonl", "--json"), start("watch", "out.jsonl")]
        *watching, gone = watchers
        for watcher in watchers:
            assert watcher.stdout is not None
            assert watcher.stdout.readline()
        gone.send_signal(signal.SIGINT)
        assert gone.communicate(timeout=20)[1] == "no longer watching; the run goes on\n"
        assert gone.returncode == 130
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        assert any(line.startswith("stopping: 4 still running") for line in run.stderr)
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=30)
        lines, figures = [watcher.communicate(timeout=20) for watcher in watching]
    assert [watcher.returncode for watcher in watching] == [run.returncode] * 2
    assert run.returncode not in (0, 2)
    assert lines[1] == figures[1] == ""
    assert told.endswith(lines[0][-200:])
    last = json.loads(figures[0].splitlines()[-1])
    assert (last["status"], last["done"], last["errors"]) == (run.returncode, 2, {"invalid_request_error": 1})
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"], "manystream").iterdir())


def test_a_run_that_is_killed_under_a_watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text('{"prompt": "Hello"}\n')
    with Simulator().in_thread() as simulator:
        simulator.script([Stall(1, text="stalls here")])
        run = start("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url)
        simulator.wait_until(lambda it: len(it.requests) == 1, timeout=30)
        watcher = start("watch", "out.jsonl")
        assert watcher.stdout is not None
        assert watcher.stdout.readline()
        run.kill()
        run.communicate(timeout=20)
        _, told = watcher.communicate(timeout=20)
        assert watcher.returncode == 2
        assert told == (
            "error: out.jsonl: its run ended without a last word, as one does that is killed;"
            " the same command goes on with it\n"
        )
        assert len(found_sockets("out.jsonl")) == 1  # it left its socket
        again = CliRunner().invoke(app, ["watch", "out.jsonl"])
        assert (again.exit_code, again.stderr) == (2, f"error: {ENDED_RUN}\n")
        args = ["run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "-q"]
        assert CliRunner().invoke(app, args).exit_code == 0
        assert found_sockets("out.jsonl") == []


ENDED_RUN = "out.jsonl: no run goes on; `manystream report out.jsonl` tells what was"


def test_when_there_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.jsonl").touch()
    Journal("out.jsonl.journal").close()
    for name, message in {
        "out.jsonl": ENDED_RUN,
        "never.jsonl": "never.jsonl: no run writes it, and there are no such results",
        "other.jsonl": "other.jsonl: no run writes it",
        "-": "-: a run that writes to standard output can't be watched; name the results file of another",
    }.items():
        done = CliRunner().invoke(app, ["watch", name])
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_a_run_of_another_version(tmp_path: Path) -> None:
    path = new_socket(str(tmp_path / "out"))
    assert path is not None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        watcher = start("watch", str(tmp_path / "out"))
        connection, _ = other.accept()
        connection.sendall(encode({"version": 99}))
        _, told = watcher.communicate(timeout=20)
        connection.close()
    assert watcher.returncode == 2
    assert "is of another version of manystream" in told


def test_on_windows_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    done = CliRunner().invoke(app, ["watch", "out.jsonl"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Windows" in done.stderr


def on_a_terminal(
    args: list[str], until: Callable[[str], bool], then: Callable[[subprocess.Popen[bytes]], None]
) -> str:
    """What the command writes to a terminal of 60 columns. `then` is called once what it wrote fulfils `until`."""
    import pty
    import struct
    import termios
    from fcntl import ioctl

    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 60, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "manystream", *args],
        env={**environment, "TERM": "xterm", "NO_COLOR": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written, called = b"", False
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
            if not called and until(written.decode(errors="replace")):
                called = True
                then(process)
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(timeout=20)
    return written.decode()


def test_the_live_view_in_another_terminal(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    with room(output) as watched:
        inside: Any = watched._room  # pyright: ignore[reportPrivateUsage]

        def conclude() -> int:
            say("the last word")
            return 0

        def tell(_: object) -> None:
            watched.conclude(conclude, lambda: None)

        def seen(written: str) -> bool:
            return "4 of 9" in written

        def keep_telling() -> None:
            while 60 not in inside.wanted:
                pass
            lines = lines_to(live_lines(figures(), Speed(), ENDED, 60))
            inside.tell({60: encode({"lines": lines, "plain": "", "seconds": 1.0})})

        teller = threading.Thread(target=keep_telling)
        teller.start()
        written = on_a_terminal(["watch", output], seen, tell)
        teller.join()
    assert "overloaded_error" in written
    assert "stopped at max_tokens 2" in written
    after = written.rpartition("\x1b[J")[2]
    assert re.sub(r"\s+", " ", after).strip() == "the last word"  # the view is gone
