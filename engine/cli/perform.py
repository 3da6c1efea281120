"""Performs a run for the command line: the engine, the progress, Ctrl-C, the summary and the exit status.

The first Ctrl-C (or SIGTERM, or SIGHUP) drains, the second cancels, the third ends the process on the spot. A terminal
that is closed may send SIGHUP more than once, so that one only ever drains.
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
from ...actors.stream import Deadlines, OutputSpec, Recovery, RetryPolicy, StreamRequest
from ..admission import Limits
from ..api.model import AnthropicModel, MissingCredentialsError
from ..budget.budget import Budget
from ..engine import Engine
from ..input import InputError, RequestFile
from ..input.pipe import RequestPipe
from ..prices import Price
from ..runs import OutputError, Run, RunStopped, open_run
from ..runs.output import StoreError
from ..runs.rates import Speed
from .descriptors import affordable
from .display import Display, HarmlessDisplay, display_for, tell_trouble
from .ending import RunEnding, last_lines
from .event_loop import run as run_in_loop
from .frames import ENDED, figures_now
from .interruptions import SIGHUP, STOP, default_again, interruptions, stop_process
from .rest import plan_of_rest
from .session_text import lost, outcome, resumed, skipped, summary, warn_of_paid_twice
from .sharing import tell_of_sharing
from .telling import fail, say
from .view import stopping_text
from .watched import Watched

__all__ = ["Job", "Status", "perform"]

_SETTLED = 0.05  # seconds, after which what is dropped is gone, so that what remains can be counted


class Status(IntEnum):
    """The exit status of the process."""

    SUCCEEDED = 0
    """All requests succeeded."""
    FAILED = 1
    """All requests were run, and some failed."""
    UNUSABLE = 2
    """Nothing was sent: the command line, the input or the credentials were wrong."""
    UNWRITTEN = 3
    """The system refused to write the results, their journal or the events. Answers that were written are kept, no
    request is marked as failed, and the same command continues the run."""
    STOPPED = 4
    """Something stopped the run, and would stop the same command again until people change something."""
    HUNG_UP = 129
    """SIGHUP left requests without an answer: the same command continues the run."""
    INTERRUPTED = 130
    """The same by Ctrl-C (SIGINT)."""
    TERMINATED = 143
    """The same by SIGTERM."""


@attrs.frozen(kw_only=True)
class Job:
    """What to run."""

    model: AnthropicModel
    source: RequestFile | RequestPipe | Sequence[StreamRequest]
    output: str
    concurrency: int
    limit: int | None = None
    limits: Limits | Mapping[str, Limits] | None = None
    budget: Budget | None = None
    """Where the limits are shared with others; None for nowhere."""
    timeout: float | None = None
    """Seconds for each request in all."""
    prices: Mapping[str, Price] = EMPTY
    overwrite: bool = False
    ordered: bool = False
    retry_errored: bool = False
    retry_only: tuple[str, ...] = ()
    retry_stopped: tuple[str, ...] = ()
    max_attempts: int = 4
    """Attempts of a request, retries and restarts together."""
    max_failures: str | None = None
    stream_events: str | None = None
    schema: OutputSpec[Any] | None = None
    recovery: Recovery = "restart"
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
            performance.interrupted_by(signal.SIGINT)
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
        self._signal = signal.SIGINT  # the last one that came

    def interrupted_by(self, number: int) -> None:
        """A signal came that ends the run."""
        self.interrupted, self._signal = True, signal.Signals(number)

    async def main(self) -> None:
        """Runs the job. A failure is kept for `conclude`."""
        try:
            job = self._job
            async with Engine(
                job.model,
                max_concurrency=affordable(job.concurrency, quiet=job.quiet),
                deadlines=Deadlines(total=job.timeout),
                retry=RetryPolicy(max_attempts=job.max_attempts),
                limits=job.limits,
                spend_cap=job.spend_cap,
                prices=job.prices,
                budget=job.budget,
            ) as engine:
                # What is loaded by now stays loaded. Without this, each full collection would look at all of it, which
                # delays the streams by a quarter of a second.
                gc.freeze()
                await self._with_interrupts(engine)
        except MissingCredentialsError as exc:
            missing = MissingCredentialsError("no API key: set the environment variable ANTHROPIC_API_KEY")
            self._failure = missing if exc.__cause__ is None else exc

    async def _with_interrupts(self, engine: Engine) -> None:
        with interruptions() as signals:
            async with anyio.create_task_group() as tasks:
                if signals is not None:
                    tasks.start_soon(self._obey, engine, signals, tasks)
                await self._drive(engine)
                tasks.cancel_scope.cancel()

    async def _obey(self, engine: Engine, signals: AsyncIterator[signal.Signals], tasks: TaskGroup) -> None:
        async for received in signals:
            if received == STOP:
                self._stop()
                continue
            again = self.interrupted
            if again and received == SIGHUP:
                continue
            self.interrupted_by(received)
            if self._run is None or again:
                default_again()
                tasks.cancel_scope.cancel()
                return
            self._run.drain()
            await anyio.sleep(_SETTLED)
            if self._display is not None:
                self._display.note(stopping_text(engine.stats()))

    def _stop(self) -> None:
        """Ctrl-Z: gives the terminal back, and takes it again when the run goes on."""
        if self._display is not None:
            self._display.suspend()
        stop_process()
        if self._display is not None:
            self._display.resume()

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
                recovery=job.recovery,
                retry_errored=job.retry_errored,
                retry_only=job.retry_only,
                retry_stopped=job.retry_stopped,
                max_failures=job.max_failures,
                stream_events=job.stream_events,
                schema=job.schema,
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
                        tasks.start_soon(tell_trouble, self._display, run.figures)
                        if job.budget is not None:
                            tasks.start_soon(tell_of_sharing, engine, self._display.note)
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

    def _rest(self, run: Run) -> list[str]:
        """The plan of what a limit has left out."""
        job, source = self._job, run.source
        if job.limit is None or not run.resumable or not isinstance(source, RequestFile) or len(source) <= job.limit:
            return []
        return plan_of_rest(
            job.model,
            source,
            job.output,
            prices=job.prices,
            concurrency=affordable(job.concurrency, quiet=True),
            max_attempts=job.max_attempts,
            limits=job.limits,
        )

    def last_figures(self) -> dict[str, Any] | None:
        """What those who watch are told at the end."""
        return None if self._run is None else figures_now(self._run.figures, Speed(), ENDED)

    def conclude(self) -> Status:
        """Prints the summary; returns the exit status."""
        failure, run, job = self._failure, self._run, self._job
        if failure is not None and not isinstance(failure, RunStopped):
            fail(failure)
        if run is None:
            if failure is None:
                say("interrupted: nothing was sent")
            if isinstance(failure, StoreError):
                return Status.UNWRITTEN
            return Status.UNUSABLE if failure is not None else _status_of(self._signal)
        figures = run.figures
        interrupted = failure is None and self.interrupted and (figures.not_run > 0 or figures.total is None)
        if not job.quiet:
            say(*summary(figures), *lost(run.totals, figures.before), *skipped(run))
            if failure is None and not interrupted:
                say(*self._rest(run))
        ending = RunEnding(
            figures=figures,
            output=run.output_name,
            resumable=run.resumable and not job.throwaway,
            sessions=run.totals.sessions,
            spend_cap=job.spend_cap,
            failure=failure,
            interrupted=interrupted,
        )
        say(*outcome(figures), *warn_of_paid_twice(figures), *last_lines(ending))
        if isinstance(failure, OutputError) or figures.unwritten:
            return Status.UNWRITTEN
        match failure:
            case InputError():
                return Status.UNUSABLE
            case RunStopped():
                return Status.STOPPED
            case _:
                if interrupted:
                    return _status_of(self._signal)
                return Status.FAILED if figures.failed or figures.not_run else Status.SUCCEEDED


def _status_of(number: signal.Signals) -> Status:
    """The exit status of a process that a signal ends: 128 and its number."""
    return Status(128 + number)
