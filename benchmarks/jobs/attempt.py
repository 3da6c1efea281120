"""One contestant in one case: the program is started, killed in the middle if so, started again, and what it left is
counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from manystream.engine.prices import Prices

from .cases import MODEL, Case, prompts
from .contestants import Installed
from .service import Service, served
from .tally import Tally, read_rows, tally

__all__ = ["Attempt", "Session", "attempt"]

_LOOK_EVERY = 0.25  # seconds
_LONGEST = 1_800.0  # seconds of one session


@attrs.frozen
class Session:
    """A process from its start to its end. `seconds` pass on the clock, `cpu_seconds` on the processor."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    status: int
    """The exit status; below 0 the signal that ended it."""


@attrs.frozen(kw_only=True)
class Attempt:
    """What became of a contestant in a case."""

    case: str
    contestant: str
    versions: str
    sessions: tuple[Session, ...]
    tally: Tally
    allowed_seconds: float | None
    load: float
    """The machine's load in the minute before the end: above the count of its cores, the figures are in doubt."""

    @property
    def seconds(self) -> float:
        """All sessions together."""
        return sum(session.seconds for session in self.sessions)

    @property
    def cpu_seconds(self) -> float:
        """All sessions together."""
        return sum(session.cpu_seconds for session in self.sessions)

    @property
    def peak_mb(self) -> float:
        """The most of any session."""
        return max(session.peak_mb for session in self.sessions)


def attempt(case: Case, installed: Installed, rows: int, folder: Path) -> Attempt:
    """Lets a contestant do the job in `folder`, which it makes and which must not be there."""
    folder.mkdir(parents=True)
    asked = prompts(case.count(rows))
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for id, prompt in asked.items():
            file.write(json.dumps({"custom_id": id, "prompt": prompt}) + "\n")
    sessions: list[Session] = []
    with served(case.name) as service:
        if case.killed:
            sessions.append(_run(installed, service, folder, until=lambda: service.answered() >= len(asked) / 2))
        sessions.append(_run(installed, service, folder))
        time.sleep(1)  # the service notices within a moment who has gone
        exchanges = service.ledger()
    results = folder / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    price = Prices().price(MODEL)
    assert price is not None
    return Attempt(
        case=case.name,
        contestant=installed.contestant.name,
        versions=installed.versions,
        sessions=tuple(sessions),
        tally=tally(asked, exchanges, read_rows(lines), price=(price.input, price.output)),
        allowed_seconds=case.allowed_seconds(len(asked)),
        load=os.getloadavg()[0],
    )


def _run(installed: Installed, service: Service, folder: Path, until: Callable[[], bool] | None = None) -> Session:
    """Runs the program to its end, or kills it as `kill -9` does when the condition holds."""
    began = time.monotonic()
    with (folder / "said.log").open("ab") as log:
        # Not waited for by Popen: the operating system tells only one who waits what a process has used.
        process = subprocess.Popen(
            installed.command(folder),
            cwd=folder,
            env=installed.environment(service.url),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    pid = status = 0
    used = None
    try:
        while not pid:
            time.sleep(_LOOK_EVERY)
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if not pid and (time.monotonic() - began > _LONGEST or (until is not None and until())):
                break
    finally:  # also when somebody presses Ctrl-C: the program has a session of its own, and would go on
        if not pid:
            os.killpg(process.pid, signal.SIGKILL)
            _, status, used = os.wait4(process.pid, 0)
    assert used is not None
    process.returncode = os.waitstatus_to_exitcode(status)
    return Session(
        seconds=time.monotonic() - began,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6,
        status=process.returncode,
    )
