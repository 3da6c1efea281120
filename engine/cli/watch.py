"""`manystream watch`: the live view of a run that goes on in another terminal. It only looks."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console

from ..report.units import printable
from ..runs.journal_rows import journal_path
from ..runs.reading import is_written
from .display import line_interval
from .footer import Footer
from .frames import encode, lines_from
from .telling import fail, say
from .watch_place import found_sockets
from .watched import VERSION

__all__ = ["watch"]

_UNUSABLE = 2
_INTERRUPTED = 130
_CONNECT_SECONDS = 5.0
_COLUMNS = 120  # of what is asked for when nobody looks at a terminal


def watch(output: str, *, as_json: bool) -> int:
    """Shows how the run goes that writes `output`; returns the run's exit status when it ends, and 2 when there is none
    to watch."""
    if sys.platform == "win32":
        fail("watch needs Unix domain sockets, which Python doesn't have on Windows; `manystream report` reads a run")
        return _UNUSABLE
    run = _connected(output)
    if run is None:
        fail(_why_not(output))
        return _UNUSABLE
    try:
        with run:
            return _follow(run, output, as_json=as_json)
    except KeyboardInterrupt:
        say("no longer watching; the run goes on")
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _connected(output: str) -> socket.socket | None:
    for path in found_sockets(output):
        run = socket.socket(socket.AF_UNIX)
        try:
            run.settimeout(_CONNECT_SECONDS)
            run.connect(path)
        except OSError:
            run.close()
            continue
        run.settimeout(None)
        return run
    return None


def _why_not(output: str) -> str:
    path = journal_path(output)
    if output == "-":
        return "-: a run that writes to standard output can't be watched; name the results file of another"
    if not os.path.isfile(path):
        return f"{output}: no run writes it" + ("" if os.path.exists(output) else ", and there are no such results")
    try:
        if is_written(path):
            return (
                f"{output}: its run can't be watched: it is another user's, or it was not started by `manystream run`"
            )
    except OSError:
        pass
    return f"{output}: no run goes on; `manystream report {output}` tells what was"


def _follow(run: socket.socket, output: str, *, as_json: bool) -> int:
    messages = _messages(run)
    first = next(messages, None)
    if first is None:
        return _lost(output)
    if first.get("version") != VERSION:
        fail(f"{output}: its run is of another version of manystream, which can't be watched by this one")
        return _UNUSABLE
    if as_json:
        end = _print_figures(run, messages)
    else:
        console = Console(file=sys.stdout, highlight=False)
        live = console.is_terminal and not console.is_dumb_terminal
        end = _draw(run, messages, console) if live else _print_lines(run, messages)
    return _lost(output) if end is None else int(end["status"])


def _lost(output: str) -> int:
    fail(f"{output}: its run ended without a last word, as one does that is killed; the same command goes on with it")
    return _UNUSABLE


def _messages(run: socket.socket) -> Iterator[dict[str, Any]]:
    """What the run says, until it has ended."""
    with run.makefile("rb") as lines:
        try:
            for line in lines:
                if line.endswith(b"\n"):
                    yield json.loads(line)
        except ConnectionError:
            return


def _ask(run: socket.socket, what: dict[str, Any]) -> None:
    with suppress(OSError):  # it has ended, and may have said how
        run.sendall(encode(what))


def _until_the_end(messages: Iterator[dict[str, Any]], show: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
    for message in messages:
        if (end := message.get("end")) is not None:
            return end
        show(message)
    return None


def _print_figures(run: socket.socket, messages: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    def show(figures: dict[str, Any], status: int | None = None) -> None:
        print(json.dumps({**figures, "status": status}), flush=True)  # noqa: T201

    _ask(run, {"figures": True})
    end = _until_the_end(messages, lambda message: show(message["figures"]))
    if end is not None:
        show(end["figures"] or {}, end["status"])
    return end


def _draw(run: socket.socket, messages: Iterator[dict[str, Any]], console: Console) -> dict[str, Any] | None:
    width = console.width
    _ask(run, {"width": width})
    with Footer(console) as footer, _stoppable(footer):

        def show(message: dict[str, Any]) -> None:
            nonlocal width
            footer.show(lines_from(message["lines"]))
            if width != footer.width:
                width = footer.width
                _ask(run, {"width": width})

        end = _until_the_end(messages, show)
    return _with_last_words(end)


@contextmanager
def _stoppable(footer: Footer) -> Generator[None]:
    """Inside the block, Ctrl-Z takes the view away before it stops the process, and `fg` brings it back."""

    def stop(number: int, frame: object) -> None:
        footer.suspend()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here it stands still
        signal.signal(signal.SIGTSTP, stop)
        footer.resume()

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _print_lines(run: socket.socket, messages: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    due = 0.0

    def show(message: dict[str, Any]) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + line_interval(message["seconds"])
            print(printable(message["plain"]), flush=True)  # noqa: T201

    _ask(run, {"width": _COLUMNS})
    return _with_last_words(_until_the_end(messages, show))


def _with_last_words(end: dict[str, Any] | None) -> dict[str, Any] | None:
    for line in () if end is None else end["said"]:
        print(printable(line), flush=True)  # noqa: T201
    return end
