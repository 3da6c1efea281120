"""Performs a run for the command line: the engine, the progress, Ctrl-C, the summary and the exit status.

The first Ctrl-C (or SIGTERM) drains, the second cancels, the third ends the process on the spot.
"""

import gc
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from ...actors.message import EMPTY
from ...actors.stream import Deadlines, Recovery, StreamRequest
from ..api.model import AnthropicModel, MissingCredentialsError
from ..engine import Engine
from ..prices import Price
from ..runs import InputError, OutputError, RequestFile, Run, RunStopped, open_run
from ..runs.output import StoreError
from ..runs.pipe import RequestPipe
from ..runs.rates import Speed
from .display import Display, HarmlessDisplay, display_for
from .event_loop import run as run_in_loop
from .frames import ENDED, figures_now
from .telling import fail, say
from .view import lost, outcome, resumed, skipped, stopping_text, summary
from .watched import Watched

__all__ = ["Job", "Status", "perform"]


class Status(IntEnum):
    """The exit status of the process."""

    SUCCEEDED = 0
    """All requests succeeded."""
    FAILED = 1
    """Some requests failed, or a failure that concerned all of them stopped the run."""
    UNUSABLE = 2
    """Nothing was sent: the command line, the input or the credentials were wrong."""
    UNWRITTEN = 3
    """The system refused to write the results, their journal or the events. Answers that were written are kept, no
    request is marked as failed, and the same command continues the run."""
    INTERRUPTED = 130
    """Ctrl-C left requests without an answer."""


@attrs.frozen(kw_only=True)
class Job:
    """What to run."""

    model: AnthropicModel
    source: RequestFile | RequestPipe | Sequence[StreamRequest]
    output: str
    concurrency: int
    limit: int | None = None
    timeout: float | None = None
    """Seconds for each request in all."""
    prices: Mapping[str, Price] = EMPTY
    overwrite: bool = False
    ordered: bool = False
    retry_errored: bool = False
    stream_events: str | None = None
    recovery: Recovery = "fail"
    spend_cap: float | None = None
    throwaway: bool = False
    """Whether nobody will want to continue it."""
    quiet: bool = False
    """Whether only errors and the last line are shown."""


def perform(job: Job, *, backend: str = "asyncio") -> Status:
    """Runs the job to its end, shows its progress and a summary, and returns the exit status."""
    with Watched() as watched:
        performance = _Performance(job, watched)
        try:
            run_in_loop(performance.main, backend)
        except KeyboardInterrupt:
            # Signals can't be received, as on Windows, or not yet: the first Ctrl-C cancels.
            performance.interrupted = True
        return Status(watched.conclude(performance.conclude, performance.last_figures))


class _Performance:
    """One run, from its engine to its exit status."""

    def __init__(self, job: Job, watched: Watched) -> None:
        self._job = job
        self._watched = watched
        self._run: Run | None = None
        self._display: Display | None = None
        self._failure: Exception | None = None
        self.interrupted = False

    async def main(self) -> None:
        """Runs the job. A failure is kept for `conclude`."""
        try:
            job = self._job
            async with Engine(
                job.model,
                max_concurrency=job.concurrency,
                deadlines=Deadlines(total=job.timeout),
                recovery=job.recovery,
                spend_cap=job.spend_cap,
                prices=job.prices,
            ) as engine:
                # What is loaded by now stays loaded. Without this, each full collection would look at all of it, which
                # delays the streams by a quarter of a second.
                gc.freeze()
                await self._with_interrupts(engine)
        except MissingCredentialsError:
            self._failure = MissingCredentialsError("no API key: set the environment variable ANTHROPIC_API_KEY")

    async def _with_interrupts(self, engine: Engine) -> None:
        try:
            receiver = anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM)
            signals = receiver.__enter__()
        except NotImplementedError:
            await self._drive(engine)
            return
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._obey, engine, signals, tasks)
                await self._drive(engine)
                tasks.cancel_scope.cancel()
        finally:
            receiver.__exit__(None, None, None)

    async def _obey(self, engine: Engine, signals: AsyncIterator[signal.Signals], tasks: TaskGroup) -> None:
        async for _ in signals:
            if self._run is None or self.interrupted:
                self.interrupted = True
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                tasks.cancel_scope.cancel()
                return
            self.interrupted = True
            self._run.drain()
            if self._display is not None:
                self._display.note(stopping_text(engine.stats()))

    async def _drive(self, engine: Engine) -> None:
        job = self._job
        try:
            async with open_run(
                engine,
                job.source,
                job.output,
                overwrite=job.overwrite,
                limit=job.limit,
                ordered=job.ordered,
                retry_errored=job.retry_errored,
                stream_events=job.stream_events,
            ) as run:
                self._run = run
                if not job.quiet:
                    say(*resumed(run))
                async with anyio.create_task_group() as tasks:
                    with HarmlessDisplay(
                        lambda: display_for(run.figures, engine.stats, output=job.output, quiet=job.quiet)
                    ) as self._display:
                        tasks.start_soon(self._refresh, self._display)
                        if run.resumable:
                            self._watched.open(job.output)
                            tasks.start_soon(self._watched.keep_telling, run.figures, engine.stats)
                        await self._exhaust(run)
                        tasks.cancel_scope.cancel()
        except (InputError, OutputError) as exc:
            self._failure = exc

    async def _exhaust(self, run: Run) -> None:
        try:
            async for _ in run:
                pass
        except (InputError, OutputError, RunStopped) as exc:
            self._failure = exc

    async def _refresh(self, display: Display) -> None:
        while True:
            await anyio.sleep(display.interval)
            display.update()

    def last_figures(self) -> dict[str, Any] | None:
        """What those who watch are told at the end."""
        return None if self._run is None else figures_now(self._run.figures, Speed(), ENDED)

    def conclude(self) -> Status:
        """Prints the summary; returns the exit status."""
        failure = self._failure
        if failure is not None:
            fail(f"stopped by {failure}" if isinstance(failure, RunStopped) else failure)
        if self._run is None:
            if failure is None:
                say("interrupted: nothing was sent")
            if isinstance(failure, StoreError):
                return Status.UNWRITTEN
            return Status.UNUSABLE if failure is not None else Status.INTERRUPTED
        figures = self._run.figures
        interrupted = self.interrupted and (figures.not_run > 0 or figures.total is None)
        *lines, last = outcome(
            figures, self._run.output_name, resumable=self._run.resumable and not self._job.throwaway
        )
        if not self._job.quiet:
            lines = [*summary(figures), *lost(self._run.totals), *skipped(self._run), *lines]
        say(*lines, f"interrupted: {last}" if interrupted else last)
        if isinstance(failure, OutputError):
            return Status.UNWRITTEN
        if isinstance(failure, InputError):
            return Status.UNUSABLE
        if interrupted:
            return Status.INTERRUPTED
        return Status.FAILED if failure is not None or figures.failed or figures.not_run else Status.SUCCEEDED
