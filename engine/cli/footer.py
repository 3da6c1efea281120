"""Lines that stay at the bottom of a terminal, while everything else that the process writes there goes above them.

rich's `Live` does something similar. But it wraps what others write at the terminal's width, it misses log handlers
that already hold the stream, and it leaves parts of old lines when the window is made narrower.
"""

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console
from rich.text import Text

__all__ = ["Footer"]


class Footer:
    """The lines at the bottom. Inside the block, standard error goes above them, and so does standard output if it is a
    terminal.

    When the terminal goes away, nothing is shown any more and nothing is raised. While the process is in the
    background, the terminal is others': nothing is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._terminal = console.file
        self._lock = threading.RLock()  # any thread may log
        self._drawn = ""
        self._lengths: list[int] = []  # of the lines, in columns
        self._suspended = False
        self._diversions: list[_Diversion] = []

    def __enter__(self) -> Self:
        for name in ("stderr", "stdout"):
            stream: TextIO | None = getattr(sys, name)
            if stream is not None and stream.isatty():
                diversion = _Diversion(stream, self)
                self._diversions.append(diversion)
                setattr(sys, name, diversion)
                for handler in _handlers(stream):
                    handler.setStream(diversion)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            self.show(())
        finally:
            self._restore()

    def _restore(self) -> None:
        for diversion in self._diversions:
            diversion.finish()
            for name in ("stderr", "stdout"):
                if getattr(sys, name) is diversion:
                    setattr(sys, name, diversion.stream)
            for handler in _handlers(diversion):
                handler.setStream(diversion.stream)

    @property
    def width(self) -> int:
        """The terminal's width in columns."""
        return self._console.width

    def show(self, lines: Sequence[Text]) -> None:
        """Replaces the lines. The last ones are left out if the terminal has no room for them."""
        lines = lines[: max(1, self._console.height - 1)]
        drawn = self._render(lines)
        with self._lock:
            if self._suspended:
                return
            if self._in_background():
                self._drawn, self._lengths = "", []  # others have written below it since
                return
            erasing = self._erasing()
            self._drawn, self._lengths = drawn, [line.cell_len for line in lines]
            self._write(erasing + drawn)

    def suspend(self) -> None:
        """Takes the lines away, and draws none until `resume`: for a process that is about to be stopped, as by
        Ctrl-Z. What others write goes on."""
        self.show(())
        with self._lock:
            self._suspended = True

    def resume(self) -> None:
        """Draws again from the next `show` on: for a process that goes on after it was stopped. What stands on the
        terminal by now, others have written: it stays, and the lines come below it."""
        with self._lock:
            self._suspended = False
            self._drawn, self._lengths = "", []

    def _in_background(self) -> bool:
        try:
            return os.tcgetpgrp(self._terminal.fileno()) != os.getpgrp()
        except (AttributeError, OSError, ValueError):  # there is no such thing here
            return False

    def above(self, text: str) -> None:
        """Writes whole lines above the footer."""
        with self._lock:
            self._write(self._erasing() + text + self._drawn)

    def _erasing(self) -> str:
        # In a window that was made narrower, a line takes several rows.
        rows = sum(-(-length // self.width) or 1 for length in self._lengths)
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _render(self, lines: Sequence[Text]) -> str:
        with suppress(OSError, ValueError):
            with self._console.capture() as capture:
                for line in lines:
                    self._console.print(line, soft_wrap=True)
            return capture.get()
        return ""

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._terminal.write(text)
            self._terminal.flush()


class _Diversion(io.TextIOBase):
    """Replaces a stream: whole lines go above the footer, the rest of a line waits for its line feed."""

    def __init__(self, stream: TextIO, footer: Footer) -> None:
        self.stream = stream
        self._footer = footer
        self._begun = ""

    def write(self, text: str, /) -> int:
        lines, feed, self._begun = (self._begun + text).rpartition("\n")
        if feed:
            self._footer.above(lines + feed)
        return len(text)

    def finish(self) -> None:
        """Writes the line that was begun, if there is one."""
        if self._begun:
            self._footer.above(self._begun)
            self._begun = ""

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _handlers(stream: object) -> Iterator["logging.StreamHandler[Any]"]:
    """The log handlers that write to this stream."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            if isinstance(handler, logging.StreamHandler):
                writing = cast("logging.StreamHandler[Any]", handler)
                if writing.stream is stream:
                    yield writing
