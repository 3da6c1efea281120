"""A run's progress and its summary, on standard error: alive on a terminal, a line every few seconds elsewhere."""

import sys
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..runs.figures import Figures, Rates
from ..stats import EngineStats

__all__ = ["Display", "LineDisplay", "LiveDisplay", "seconds", "summary", "waiting_text"]

_WAITS = {
    "concurrency": "for a slot",
    "adaptive_concurrency": "for what the API bears",
    "pause": "as the API asked",
    "pace": "not to go too fast",
    "requests_per_minute": "for requests per minute",
    "input_tokens_per_minute": "for input tokens per minute",
    "output_tokens_per_minute": "for output tokens per minute",
    "retry_budget": "as there are many retries",
    "group": "for their group",
    "cache": "for a shared prompt to be cached",
    "spend_cap": "for the spend cap",
    "backoff": "to be tried again",
}


class Display(Protocol):
    """What shows the figures of a run while it goes on."""

    interval: float
    """Seconds between updates."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def update(self) -> None:
        """Shows the figures as they are now."""
        ...

    def note(self, text: str) -> None:
        """A remark that stays."""
        ...


class LineDisplay:
    """One line every few seconds."""

    interval = 5.0

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

    def update(self) -> None:
        """Prints the line."""
        figures = self._figures
        events, tokens = self._rates.sample()
        done = f"{figures.done:,}" if figures.total is None else f"{figures.done:,}/{figures.total:,}"
        stats = self._stats()
        waiting = f", {waiting_text(stats)}" if stats.waits else ""
        self.note(
            f"{done} done, {figures.failed:,} failed, {stats.running:,} running{waiting}, {events:,.0f} events/s,"
            f" {tokens:,.0f} tokens/s, first content p50 {seconds(figures.first_content(0.5))}"
            f" p99 {seconds(figures.first_content(0.99))}"
        )

    def note(self, text: str) -> None:
        """Prints it."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class LiveDisplay:
    """A few lines of the terminal, drawn anew ten times a second."""

    interval = 0.1

    def __init__(self, figures: Figures, stats: Callable[[], EngineStats], console: Console) -> None:
        self._figures = figures
        self._stats = stats
        self._rates = Rates(figures)
        # Drawn by `update` alone: a thread of rich's own would compete with the streams.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self.update()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self) -> None:
        """Draws the figures."""
        self._live.update(self._draw(), refresh=True)

    def note(self, text: str) -> None:
        """Prints it above the figures."""
        self._live.console.print(Text(text))

    def _draw(self) -> Table:
        figures = self._figures
        events, tokens = self._rates.sample()
        stats = self._stats()
        total = figures.total
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total=total, completed=figures.done, width=40, pulse=total is None),
            Text(f"{figures.done:,}" if total is None else f"{figures.done:,} of {total:,}", style="bold"),
            Text(f"{figures.seconds:.1f} s", style="dim"),
        )
        cells = Table.grid(padding=(0, 4))
        failed = Text(f"{figures.failed:,}", style="bold red" if figures.failed else "bold")
        cells.add_row("running", "done", "failed", "events/s", "tokens/s", "first content p50", "p99", style="dim")
        cells.add_row(
            Text(f"{stats.running:,}", style="bold cyan"),
            Text(f"{figures.done:,}", style="bold green"),
            failed,
            Text(f"{events:,.0f}", style="bold"),
            Text(f"{tokens:,.0f}", style="bold"),
            seconds(figures.first_content(0.5)),
            seconds(figures.first_content(0.99)),
        )
        frame = Table.grid()
        frame.add_row(head)
        frame.add_row(cells)
        if stats.waits:
            frame.add_row(Text(waiting_text(stats), style="dim"))
        return frame


def waiting_text(stats: EngineStats) -> str:
    """How many wait, and what for."""
    counts = Counter(stats.waiting_for).most_common()
    return f"{len(stats.waits):,} waiting ({', '.join(f'{_WAITS[reason]} {count:,}' for reason, count in counts)})"


def summary(figures: Figures, output: str) -> list[str]:
    """A run in a few lines, its outcome last."""
    lines: list[str] = []
    if figures.done or figures.output_tokens:
        rate = figures.events / figures.seconds if figures.seconds else 0.0
        tokens = figures.output_tokens / figures.seconds if figures.seconds else 0.0
        lines += [
            f"time               {seconds(figures.seconds)}",
            f"tokens             {figures.input_tokens:,} in, {figures.output_tokens:,} out ({tokens:,.0f} out/s)",
            f"events             {figures.events:,} ({rate:,.0f}/s)",
            f"to first content   p50 {seconds(figures.first_content(0.5))}, p99 {seconds(figures.first_content(0.99))}"
            "  (from request sent to first content)",
        ]
        if (between := figures.between_contents()) is not None:
            lines.append(
                f"between contents   p50 {seconds(between[0])}, p99 {seconds(between[1])}"
                "  (the median stream's own percentiles)"
            )
    for kind, count in figures.errors.most_common():
        lines.append(f"errored            {count:,} {kind}")
    counts = [f"{count:,} {ending}" for ending, count in figures.endings.most_common()]
    if figures.not_run:
        counts.append(f"{figures.not_run:,} not run")
    total = figures.done + figures.not_run
    lines.append(f"{', '.join(counts) or 'nothing done'} of {total:,}; results in {output}")
    return lines


def seconds(value: float | None) -> str:
    """A time with a fitting unit."""
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 100 else f"{int(value // 60)} min {int(value % 60)} s"
