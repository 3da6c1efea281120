"""A run's progress on standard error: live on a terminal, a line now and then elsewhere, nothing with `--quiet`."""

import math
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Protocol, Self

import anyio
from rich.console import Console

from ..report.units import printable
from ..runs.figures import Figures
from ..runs.rates import Rates
from ..stats import EngineStats
from .footer import Footer
from .telling import say
from .view import live_lines, plain_line

__all__ = [
    "Display",
    "HarmlessDisplay",
    "LineDisplay",
    "LiveDisplay",
    "QuietDisplay",
    "display_for",
    "line_interval",
    "tell_trouble",
]

_SOON = 0.25  # seconds


class Display(Protocol):
    """Shows the figures of a run while it is running."""

    @property
    def interval(self) -> float:
        """Seconds until the next update."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def update(self) -> None:
        """Shows the figures as they are now."""
        ...

    def note(self, text: str) -> None:
        """Prints a remark that stays."""
        ...

    def suspend(self) -> None:
        """Leaves the terminal to others until `resume`: call it before the process is stopped, as by Ctrl-Z."""
        ...

    def resume(self) -> None:
        """Shows the figures again, below what others have written: call it when the process goes on (SIGCONT)."""
        ...


class QuietDisplay:
    """Shows nothing."""

    interval = math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    def update(self) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""

    def suspend(self) -> None:
        """Does nothing."""

    def resume(self) -> None:
        """Does nothing."""


def line_interval(taken: float) -> float:
    """The seconds between two lines about a run that has taken so many: they become rarer."""
    return 5.0 if taken < 55 else 30.0 if taken < 570 else 60.0


class LineDisplay:
    """Prints a line every five seconds, every half minute after the first minute, every minute after ten."""

    def __init__(self, figures: Figures, stats: Callable[[], EngineStats]) -> None:
        self._figures = figures
        self._stats = stats
        self._rates = Rates(figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    @property
    def interval(self) -> float:
        """Seconds until the next line."""
        return line_interval(self._figures.seconds)

    def update(self) -> None:
        """Prints the line."""
        self.note(plain_line(self._figures, self._rates.sample(), self._stats()))

    def note(self, text: str) -> None:
        """Prints it."""
        say(text)

    def suspend(self) -> None:
        """Does nothing: lines stay."""

    def resume(self) -> None:
        """Does nothing."""


class LiveDisplay:
    """Draws a few lines at the bottom of the terminal, four times a second. Logs and warnings go above them."""

    interval = 0.25

    def __init__(self, figures: Figures, stats: Callable[[], EngineStats], console: Console) -> None:
        self._figures = figures
        self._stats = stats
        self._rates = Rates(figures)
        self._footer = Footer(console)

    def __enter__(self) -> Self:
        self._footer.__enter__()
        self.update()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._footer.__exit__(exc_type, exc, tb)

    def update(self) -> None:
        """Draws the figures."""
        self._footer.show(live_lines(self._figures, self._rates.sample(), self._stats(), self._footer.width))

    def note(self, text: str) -> None:
        """Prints it above the figures."""
        self._footer.above(f"{printable(text)}\n")

    def suspend(self) -> None:
        """Takes the figures off the terminal, and draws none until `resume`."""
        self._footer.suspend()

    def resume(self) -> None:
        """Draws the figures again, below what others have written."""
        self._footer.resume()
        self.update()


class HarmlessDisplay:
    """Wraps another display, which it makes when it is entered, so that its failures do not harm the run: the first one
    is printed, and nothing is shown after it."""

    def __init__(self, make: Callable[[], Display]) -> None:
        self._make = make
        self._display: Display = QuietDisplay()

    def __enter__(self) -> Self:
        with self._watched():
            self._display = self._make()
            self._display.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._watched():
            self._display.__exit__(exc_type, exc, tb)

    @property
    def interval(self) -> float:
        """Seconds until the next update."""
        return self._display.interval

    def update(self) -> None:
        """Shows the figures as they are now."""
        with self._watched():
            self._display.update()

    def note(self, text: str) -> None:
        """Prints a remark that stays."""
        with self._watched():
            self._display.note(text)

    def suspend(self) -> None:
        """Leaves the terminal to others until `resume`."""
        with self._watched():
            self._display.suspend()

    def resume(self) -> None:
        """Shows the figures again."""
        with self._watched():
            self._display.resume()

    @contextmanager
    def _watched(self) -> Generator[None]:
        try:
            yield
        except Exception as exc:
            failed, self._display = self._display, QuietDisplay()
            with suppress(Exception):
                failed.__exit__(None, None, None)
            say(f"the progress can't be shown: {type(exc).__name__}; the run continues")


def display_for(figures: Figures, stats: Callable[[], EngineStats], *, output: str, quiet: bool) -> Display:
    """The display that fits standard error. `output` is the results file, or `-`."""
    if quiet or sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
        return QuietDisplay()
    console = Console(file=sys.stderr, highlight=False)
    # Results and figures on one terminal would overwrite each other.
    together = output == "-" and sys.stdout.isatty()
    if console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows and not together:
        return LiveDisplay(figures, stats, console)
    return LineDisplay(figures, stats)


async def tell_trouble(display: Display, figures: Figures) -> None:
    """Says at once what keeps the requests from being answered, where the figures are shown only now and then. Returns
    where they are shown all the time, or never."""
    told = None
    while _SOON < display.interval < math.inf:
        await anyio.sleep(_SOON)
        if figures.trouble != told:
            told = figures.trouble
            display.note(told or "the API answers again")
