"""What a command prints on standard error. It may be closed, full or gone, which is no reason to lose an answer.

The text may contain words from outside (a service, a file name). They are printed so that no terminal acts on them.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

from ..report.units import plain, printable

__all__ = ["fail", "heard", "say"]

_hearers: list[list[str]] = []


def say(*lines: str) -> None:
    """Prints on standard error: standard output is for results."""
    for hearer in _hearers:
        hearer += lines
    stream = sys.stderr
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
        return
    with suppress(OSError, ValueError):
        for line in lines:
            stream.write(f"{printable(line)}\n")
        stream.flush()


def fail(message: object) -> None:
    """Prints on standard error what is wrong, in one line."""
    say(f"error: {plain(str(message))}")


@contextmanager
def heard() -> Generator[list[str]]:
    """The lines that are said inside the block."""
    lines: list[str] = []
    _hearers.append(lines)
    try:
        yield lines
    finally:
        _hearers.remove(lines)
