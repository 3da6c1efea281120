"""Runs a program's cases and takes down what became of each, whatever becomes of the program."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import attrs

__all__ = ["Ended", "run_cases"]

_SILENCE = 60.0  # seconds: a case that takes longer, or a program that doesn't begin, has failed


@attrs.frozen
class Ended:
    """A case that has ended; `failed` says why it failed, and is None when it passed."""

    name: str
    failed: str | None


def run_cases(
    command: Sequence[str], keeper: str, environment: Mapping[str, str], errors: Path, silence: float = _SILENCE
) -> Iterator[Ended]:
    """Runs `command KEEPER` and yields its cases as they end. What it says on standard error goes into `errors`.

    A case in which the program dies, or that keeps silent for `silence` seconds, has failed; the program is started
    again for those after it.
    """
    pending: list[str] | None = None
    while pending is None or pending:
        with errors.open("ab") as log:
            program = subprocess.Popen(
                [*command, keeper, *(pending or ())], stdout=subprocess.PIPE, stderr=log, env=dict(environment)
            )
        assert program.stdout is not None
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(program.stdout, lines), daemon=True)
        reader.start()
        line: bytes | None = b""
        try:
            while line := _next(lines, silence):
                told: dict[str, Any] = json.loads(line)
                if "cases" in told:
                    pending = list(told["cases"])
                    continue
                assert pending is not None
                pending.remove(told["case"])
                yield Ended(told["case"], told["failed"])
                if not pending:
                    break
        finally:
            program.kill()
            program.wait()
            reader.join()
            program.stdout.close()
        silent = line is None
        if pending is None:
            yield Ended("the program itself", "did not begin: " + _last_line(errors))
            return
        if pending:
            why = f"said nothing for {silence:.0f} s" if silent else f"the program ended: {_last_line(errors)}"
            yield Ended(pending.pop(0), why)


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")


def _next(lines: queue.SimpleQueue[bytes], seconds: float) -> bytes | None:
    """The next line: empty at the end, None when none comes in time."""
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return None


def _last_line(errors: Path) -> str:
    said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return said[-1] if said else "without a word"
