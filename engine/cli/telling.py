"""What a command tells on standard error, which may be closed, full or gone: that is no reason to lose an answer.

Names and words of others (of a service, of files) are among it: they are printed, and never acted upon by a terminal.
"""

import sys
from contextlib import suppress

from ..report.units import plain, printable

__all__ = ["fail", "say"]


def say(*lines: str) -> None:
    """Prints on standard error: standard output is for results."""
    stream = sys.stderr
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python began
        return
    with suppress(OSError, ValueError):
        for line in lines:
            stream.write(f"{printable(line)}\n")
        stream.flush()


def fail(message: object) -> None:
    """Says on standard error what is wrong, in one line."""
    say(f"error: {plain(str(message))}")
