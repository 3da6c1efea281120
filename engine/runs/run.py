"""A run: requests from a file or an iterable, through an engine, into a results file and its journal.

Requests are taken as slots become free, so a run can stop at any request: `drain` takes no more and lets the running
ones finish; leaving the block cancels them. Whatever happens, the results file holds whole lines, one for each request
that has its answer, and the same run continues behind them.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias

import anyio
from anyio import TaskHandle, to_thread

from ...actors.stream import OutputLike, OutputT, OutputT_co, Recovery, RequestLike, StreamResult, revive
from ..engine import Engine
from ..finish import uninterrupted
from ..input.given import RowStream, check_source, requests_in
from ..input.invalid import Invalid
from ..input.pipe import RequestPipe
from ..input.reading import Columns, Reading
from ..input.request_file import RequestFile
from ..input.sources import Frame
from ..input.template import Template
from .arguments import again_by, check_run, check_taken, failures_by
from .delivery import Delivery
from .driver import Driver
from .figures import Figures
from .journal import Journal
from .output import OutputError, ResultFile
from .seeds import settled_order
from .shared_limits import SharedLimits, SharedSoFar
from .stopping import StopReason
from .stores import Options, Resumed, Stores, open_stores
from .totals import Totals

__all__ = ["Run", "RunStopped", "Source", "open_run"]

_LOOKS_EVERY = 1.0  # seconds between two looks at who shares the limits
_LIMITS_EVERY = 10  # such looks the journal is told of them

Source: TypeAlias = (
    str
    | os.PathLike[str]
    | RequestFile
    | RequestPipe
    | Iterable[RequestLike[OutputT] | Mapping[str, Any]]
    | AsyncIterable[RequestLike[OutputT] | Mapping[str, Any]]
    | Frame
)
"""A file's path (`-` for standard input), a file that was read, the requests themselves, or rows that become some. The
output of a request of `Source[T]`, if it wants one, is a `T`."""


class RunStopped(Exception):
    """A failure that would have failed every request, or that all the first answers had. The message says in one plain
    line what it was; `result` is an ending that had it, and `reason` says it in a word."""

    def __init__(self, message: str, result: StreamResult, reason: StopReason) -> None:
        super().__init__(message)
        self.result = result
        self.reason: StopReason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)


def open_run(
    engine: Engine,
    source: Source[OutputT],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    limit: int | None = None,
    ordered: bool = False,
    recovery: Recovery = "restart",
    retry_errored: bool = False,
    retry_only: Iterable[str] = (),
    retry_stopped: Iterable[str] = (),
    max_failures: int | str | None = None,
    skip_invalid: bool = False,
    stream_events: str | None = None,
    schema: OutputLike[OutputT] | None = None,
    template: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
    epochs: int = 1,
    sample: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> "Run[OutputT]":
    """Runs all requests of `source` and writes their results to `output`, in the format of Message Batches:
    `async with open_run(engine, source, output) as run`, then `async for result in run`.

    An ending is a value here: failed requests are among the results. `-` stands for standard input and output.

    The journal of the run lies beside the results file, in `output` with `.journal` appended. A run with the same
    output continues where the one before stopped, however it stopped: each request is in the results once. Requests are
    the same if their `custom_id` and what is sent for them are, including the model's defaults. A request without
    `max_tokens`, of a model without such a default, gets as much as its model gives at most in one answer.

    - `overwrite` starts anew.
    - `limit` runs only the first requests, so many of them: with `epochs` a row is several requests.
    - `ordered` writes the results in the order of the input; those that have to wait are kept in the journal.
    - `recovery` says what becomes of an answer that breaks off after content has come. A request's own counts before
      it, the engine's doesn't.
    - `retry_errored` runs requests again that errored or expired: all of them. Unless it is given, those are run again
      whose error passes by itself (a lost connection, an overloaded service, see the table of error types).
    - `retry_only` names the errors that are run again, and no others are: by `result.error.type`, `deadline_silence`
      and the like for deadlines, or the type that the results have.
    - `retry_stopped` names stop reasons: answers that stopped for one of them, such as `max_tokens`, are run again. The
      requests may have other parameters then. A name that is almost a known one is refused; `run.resumed.again.unmet`
      has other unknown ones for which no answer stopped.
    - `max_failures` stops the run when so many answers are failures, such as 20; or such a share of them, as "5%", once
      50 have come. Those of earlier sessions count.
    - `skip_invalid` skips entries of a file, and rows, that are not requests.
    - `stream_events` is a directory, in which each request gets a file of its part events, or `-` for standard output.
    - `schema` is what each answer is to be, as a request's `output` (see `StreamRequest`), where that brings none.
      `result.output` is of that type, and None where there is none. The answer as data stands as `output`
      beside the result in its line. A whole answer that does not fit is an error, with its message; `retry_errored` has
      it made again.

    `source` may also be rows: a file of them (CSV, TSV, JSON, Parquet), any iterable of dicts, or a frame of pandas or
    polars. A row's prompt is in its column `prompt`, unless one of these says otherwise; its other columns are not
    sent, and stand beside its result in the file, where `read_results` finds them:

    - `template` makes the prompts, by Jinja: a text, or the path of a file (a `Path`).
    - `columns` names the column of the prompts, and that of the rows' ids.
    - `epochs` has each row answered so many times.
    - `sample` takes so many rows by chance, `shuffle` has all of them come by chance. `seed` repeats either: a run that
      goes on takes the seed with which it began.

    What earlier sessions spent counts against the engine's `spend_cap`. An answer that is run again is kept in the
    journal, and comes back into the results at the end, unless there is another by then.

    Entering the block raises `InputError` and `OutputError` before anything is sent: among others for a request that
    was answered with other parameters, and for an output that another run is writing. Iterating drives the run. Each
    result is in the file when it is given, or with `ordered` in the journal. Iterating raises `OutputError` when that
    fails, and `InputError` for an invalid request in a source that is read as it comes. It raises `RunStopped` when a
    failure would have failed every request, or when the first answers all broke; the running requests end before.
    Leaving the block cancels what still runs, and returns when all of it has stopped and the files are closed.
    """
    flags = {"overwrite": overwrite, "ordered": ordered, "retry_errored": retry_errored, "skip_invalid": skip_invalid}
    check_run(engine, output, stream_events, shuffle=shuffle, **flags)
    check_source(source)
    check_taken(limit=limit, seed=seed)
    if schema is not None:
        from ..output import typed_output  # the machinery of types is for those who use it

        typed_output(schema)
    return Run(
        engine,
        source,
        ResultFile(output, overwrite=overwrite),
        Options(
            limit=limit,
            ordered=ordered,
            recovery=recovery,
            again=again_by(errored=retry_errored, only=retry_only, stopped=retry_stopped),
            max_failures=failures_by(max_failures),
            skip_invalid=skip_invalid,
            stream_events=stream_events,
            schema=schema,
            reading=Reading(template=Template.of(template), columns=columns or Columns(), epochs=epochs),
            order=lambda: settled_order(output, sample=sample, shuffle=shuffle, seed=seed, overwrite=overwrite),
        ),
    )


class Run(AsyncIterator[StreamResult[OutputT_co | None]], Generic[OutputT_co]):
    """An open run; iterate it to the end. Made by `open_run`."""

    def __init__(self, engine: Engine, source: Source[Any], output: ResultFile, options: Options) -> None:
        self._engine = engine
        self._source = source
        self._output = output
        self._options = options
        self._stores: Stores | None = None
        self._delivery: Delivery | None = None
        self._driver: Driver | None = None
        self._noter: TaskHandle[None] | None = None
        self._limits_noter: TaskHandle[None] | None = None
        self._noting_limits = anyio.Lock()
        self._noted_limits: dict[str, dict[str, float]] = {}
        self._shared = SharedSoFar()
        self._noted_shared: SharedLimits | None = None
        self._finished = False
        self.figures = Figures()
        """What the run has done so far."""
        self.totals = Totals()
        """What all sessions of the run add up to, including this one once it is over."""

    @property
    def output_name(self) -> str:
        """The path of the results file, or `stdout`."""
        return self._output.name

    @property
    def resumable(self) -> bool:
        """Whether a run with the same output continues where this one stops."""
        return self._output.path is not None

    @property
    def resumed(self) -> Resumed:
        """What the run found of earlier sessions when it was entered."""
        return Resumed() if self._stores is None else self._stores.resumed

    @property
    def source(self) -> Source[Any]:
        """Where the requests come from. A path becomes a file when the run is entered."""
        return self._source

    @property
    def invalid(self) -> Invalid:
        """What was skipped in the input."""
        source = self._source
        return source.invalid if isinstance(source, RequestFile | RequestPipe | RowStream) else Invalid()

    async def __aenter__(self) -> Self:
        if self._stores is not None:
            raise RuntimeError("a run is entered once; open another")
        given, options = self._source, self._options
        self._source = requests = await to_thread.run_sync(
            lambda: requests_in(given, options.reading, options.order, skip_invalid=options.skip_invalid)
        )
        prices = self._engine.prices
        try:
            self._stores = stores = await to_thread.run_sync(
                lambda: open_stores(
                    requests,
                    self._output,
                    self._engine.params_for,
                    self._options,
                    prices,
                    complete=self._engine.with_longest_answer,
                    url=self._engine.base_url,
                )
            )
        except BaseException:
            self._close_source()
            raise
        try:
            self._engine.count_spent(stores.spender, stores.before.spent)
            self.figures = Figures(stores.total, before=stores.before, prices=prices)
            delivery = Delivery(stores.writer, self.figures, stores.journal.clock)
            driver = Driver(self._engine, stores, delivery, self.figures, prices, options=self._options)
            await driver.__aenter__()
        except BaseException:
            self._close("failed")
            raise
        self._delivery, self._driver = delivery, driver
        self._noter = self._engine.start_side_task(delivery.keep_noting(driver.live))
        self._limits_noter = self._engine.start_side_task(self._keep_noting_limits(stores.journal))
        return self

    async def _keep_noting_limits(self, journal: Journal) -> None:
        """Notes the limits that the engine learns, now and then, for those who plan, and with whom they are shared.
        Runs until it is cancelled."""
        shares = self._engine.budget_stats() is not None
        while True:
            for _ in range(_LIMITS_EVERY if shares else 0):
                await anyio.sleep(_LOOKS_EVERY)
                self._shared.see(self._engine.budget_stats(), _LOOKS_EVERY)
            if not shares:
                await anyio.sleep(_LIMITS_EVERY * _LOOKS_EVERY)
            await self._note_limits(journal)

    async def _note_limits(self, journal: Journal) -> None:
        # A noter that was cancelled in a write ends before the last word is noted and the journal closes. Its task is
        # not waited for: one that the loop cancels before it has begun never says that it ended.
        async with self._noting_limits:
            pools = [pool for pool in self._engine.stats().pools if pool.limits]
            limits = {pool.name: {str(name): one.per_minute for name, one in pool.limits.items()} for pool in pools}
            with suppress(OutputError):  # nothing is lost by it, and whoever writes an answer next tells
                if limits != self._noted_limits:
                    await uninterrupted(lambda: to_thread.run_sync(journal.note_limits, limits))
                    self._noted_limits = limits
                shared = self._shared.so_far
                if shared is not None and shared != self._noted_shared:
                    await uninterrupted(lambda: to_thread.run_sync(journal.note_shared, shared))
                    self._noted_shared = shared

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._driver is not None
        assert self._delivery is not None
        assert self._noter is not None
        assert self._limits_noter is not None
        self._noter.cancel()
        self._limits_noter.cancel()
        self._noter = self._limits_noter = None  # how they ended knows their frames, and they know us
        try:
            await self._driver.__aexit__(exc_type, exc, tb)
        finally:
            self.figures.stop_clock()
            try:
                await uninterrupted(self._close_in_thread)
            except OutputError:
                if not isinstance(exc, OutputError):
                    raise
            finally:
                self._delivery.collect()

    async def _close_in_thread(self) -> None:
        assert self._driver is not None
        assert self._stores is not None
        self._shared.see(self._engine.budget_stats(), 0.0)  # of the dollars, the last word
        await self._note_limits(self._stores.journal)
        stopped, drained = self._driver.stopping.stop is not None, self.figures.stopping
        how = "stopped" if stopped else "interrupted" if drained else "cancelled"
        await to_thread.run_sync(self._close, "finished" if self._finished else how)

    def _close(self, how: str) -> None:
        assert self._stores is not None
        try:
            self.totals = self._stores.close(how)
            self._engine.spent_for[self._stores.spender] = self.totals.spent
        finally:
            self._close_source()

    def _close_source(self) -> None:
        if isinstance(self._source, RequestPipe):
            self._source.close()

    def drain(self) -> None:
        """Begins no more requests, including those that wait in the engine. Iterating ends when the running requests
        have ended. Does nothing before the run is entered."""
        if self._driver is not None:
            self._driver.drain()

    async def __anext__(self) -> StreamResult[OutputT_co | None]:
        """The next result, which is in the file. Cancellation loses none of them."""
        delivery, driver = self._delivery, self._driver
        if delivery is None or driver is None:
            raise RuntimeError("enter the run first: async with open_run(...) as run")
        while (result := delivery.next()) is None:
            try:
                await driver.receive(delivery.write_at)
            except anyio.EndOfStream:
                driver.release_held()
                if not delivery.waiting:
                    self._end(driver)
                    raise StopAsyncIteration from None
                await delivery.write()
                continue
            if delivery.due:
                await delivery.write()
        return result

    def _end(self, driver: Driver) -> None:
        """Raises what ended the run early, if anything did."""
        self.figures.stop_clock()
        stop, result = driver.stopping.stop, driver.stopping.stopped_by
        if stop is not None and result is not None:
            raise RunStopped(stop.why, result, stop.reason) from None
        if driver.failure is not None:
            raise driver.failure from None
        self._finished = not self.figures.stopping
