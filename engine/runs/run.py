"""A run: requests from a file or an iterable, through an engine, into a results file and its journal.

Requests are drawn as slots come free, so that a run can stop at any request: `drain` draws no more and lets what runs
finish; leaving the block cancels it. Whatever happens, the file holds whole lines, one for each request that has its
answer, and the same run begun again goes on behind them.
"""

import os
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sized
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import TaskHandle, to_thread

from ...actors.message import Usage
from ...actors.stream import (
    RequestLike,
    StreamEndEvent,
    StreamRequest,
    StreamResult,
    StreamStartEvent,
    TaggedEvent,
    revive,
)
from ..combinators.merge import MergeChannel
from ..engine import Engine
from ..finish import uninterrupted
from ..prices import Prices
from .event_files import EventDirectory, EventOutput, open_event_files
from .feed import Feed, Registry
from .figures import Figures
from .input import Invalid, RequestFile, RequestPipe, read_requests
from .journal import Begun, Ended, Journal, columns_of, journal_path, remove_journal
from .output import OutputError, ResultFile
from .results import batch_result, encode_line
from .resume import drop_failed, reconcile
from .stopping import Over, Stopping
from .totals import Totals
from .writer import Answer, Writer

__all__ = ["Run", "RunStopped", "Source", "open_run"]

Source = str | os.PathLike[str] | RequestFile | RequestPipe | Iterable[RequestLike] | AsyncIterable[RequestLike]
"""A file's path (`-` for standard input), a file that was read, or the requests themselves."""


_WRITE_SECONDS = 0.1  # how long an answer may wait for others to be written with it
_WRITE_AT_ONCE = 500
_NOTE_SECONDS = 1.0  # how often the journal is told what running streams have used


class RunStopped(Exception):
    """A failure that would have failed every request, or that all the first answers met. The message says what it was,
    in one plain line; `result` is where it was met."""

    def __init__(self, message: str, result: StreamResult) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)


def open_run(
    engine: Engine,
    source: Source,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    limit: int | None = None,
    ordered: bool = False,
    retry_errored: bool = False,
    skip_invalid: bool = False,
    stream_events: str | None = None,
) -> "Run":
    """Runs all requests of `source` and writes their results to `output`, as Message Batches have them:
    `async with open_run(engine, source, output) as run`, then `async for result in run`.

    An ending is a value here: failed requests are among the results. `-` stands for standard input and output.

    Beside a results file stands its journal, `output` with `.journal` behind it. A run with the same output goes on
    where the one before stopped, however it stopped: each request is in the results once. Requests are the same by
    their `custom_id` and their parameters, the model's defaults included. `overwrite` begins anew. `limit` runs the
    first few only; `ordered` writes the results in the input's order, and keeps in the journal those that have to wait;
    `retry_errored` runs those again that errored or expired. `skip_invalid` passes over what is no request in a file.
    `stream_events` is a directory in which each request gets a file of its part events, or `-` for standard output.

    Entering the block raises `InputError` and `OutputError` before anything is sent: among others for a request that
    was answered with other parameters, and an output that another run is writing. Iterating drives the run: each
    result is in the file when it is given, or with `ordered` in the journal. It raises `OutputError` when that can't be
    done, `InputError` for what is wrong with a source that is read as it comes; and, after what was running has ended,
    `RunStopped` when a failure would have failed every request, or the first answers all broke and none was whole.
    Leaving the block cancels what still runs, and returns when it has stopped and the files are closed.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is at least 1, not {limit}")
    return Run(
        engine,
        source,
        ResultFile(output, overwrite=overwrite),
        limit=limit,
        ordered=ordered,
        retry_errored=retry_errored,
        skip_invalid=skip_invalid,
        stream_events=stream_events,
    )


def check_output(
    source: str | None, output: str | os.PathLike[str], *, overwrite: bool = False, stream_events: str | None = None
) -> None:
    """Raises `OutputError` for an output that `open_run` would not take for the file `source`. Touches nothing."""
    _check(ResultFile(output, overwrite=overwrite), source, stream_events)


def _check(output: ResultFile, source: str | None, stream_events: str | None) -> bool:
    """Returns whether there is a journal by which the run goes on."""
    if stream_events == "-" and output.name == "stdout":
        raise OutputError("stdout: can't take both the results and the events; name a file for one of them")
    goes_on = output.path is not None and not output.overwrite and os.path.exists(journal_path(output.path))
    output.check(source, resumable=goes_on)
    return goes_on


class Run(AsyncIterator[StreamResult]):
    """A run that was opened; iterate it to the end. Made by `open_run`."""

    def __init__(
        self,
        engine: Engine,
        source: Source,
        output: ResultFile,
        *,
        limit: int | None,
        ordered: bool,
        retry_errored: bool,
        skip_invalid: bool,
        stream_events: str | None,
    ) -> None:
        self._engine = engine
        self._source = source
        self._output = output
        self._limit = limit
        self._ordered = ordered
        self._retry_errored = retry_errored
        self._skip_invalid = skip_invalid
        self._stream_events = stream_events
        self._prices = Prices()
        self._requests: Feed | None = None
        self._channel: MergeChannel | None = None
        self._events: EventOutput | EventDirectory | None = None
        self._results: deque[StreamResult] = deque()
        self._live: dict[
            str, tuple[str, float]
        ] = {}  # the streams that run, by custom id, and when they were submitted
        self._write_at = 0.0
        self._flushing = anyio.Lock()
        self._noter: TaskHandle[None] | None = None
        self._stopping = Stopping()
        self._drained = self._finished = False
        self.figures = Figures()
        """What the run has done so far."""
        self.totals = Totals()
        """What all sittings of the run add up to, this one included once it is over."""
        self.missing = 0
        """Answers that the journal knew of and that were not in the results: they are run again."""
        self.gone = 0
        """Answers in the results whose requests are in the input no more."""
        self.retried = 0
        """Answers that were errors, and are run again."""

    @property
    def output_name(self) -> str:
        """The results file's path, or `stdout`."""
        return self._output.name

    @property
    def resumable(self) -> bool:
        """Whether a run with the same output goes on where this one stops."""
        return self._output.path is not None

    @property
    def source(self) -> Source:
        """Where the requests come from; a file once it was read."""
        return self._source

    @property
    def invalid(self) -> Invalid:
        """What was passed over in the input."""
        return self._source.invalid if isinstance(self._source, RequestFile | RequestPipe) else Invalid()

    async def __aenter__(self) -> Self:
        if self._requests is not None:
            raise RuntimeError("a run is entered once; open another")
        if isinstance(self._source, str | os.PathLike):
            path, skip = self._source, self._skip_invalid
            self._source = await to_thread.run_sync(lambda: read_requests(path, skip_invalid=skip))
        await to_thread.run_sync(self._open)
        try:
            self.figures = Figures(self._total, before=self._before, prices=self._prices)
            self._requests = Feed(
                self._registry, limit=self._limit, slots=self._engine.max_concurrency, drew=self._drew
            )
            self._merge = self._engine.merge(self._requests)
            self._channel = await self._merge.__aenter__()
        except BaseException:
            self._close("failed")
            raise
        self._noter = self._engine.start_helper(self._note())
        return self

    def _open(self) -> None:
        """Opens journal and results, and finds out what is to be done. Blocks."""
        output, source = self._output, self._source
        path = output.path
        goes_on = _check(output, source.path if isinstance(source, RequestFile) else None, self._stream_events)
        if path is not None and output.overwrite:
            remove_journal(path)
        self._journal = Journal(None if path is None else journal_path(path))
        try:
            if path is not None and goes_on:
                self._go_on(path)
            self._registry = Registry(
                source, self._journal, self._engine.params_for, limit=self._limit, output_name=output.name
            )
            self._registry.register()
            if self._stream_events is not None:
                self._events = open_event_files(self._stream_events)
            if not goes_on:
                output.open()
            self.gone = self._journal.gone() if isinstance(source, Sized) else 0
            self._writer = Writer(output, self._journal, ordered=self._ordered)
            self._writer.begin()
            self._before = self._journal.totals()
            self._total = self._journal.count() if isinstance(source, Sized) else None
            self._journal.begin_sitting()
        except BaseException:
            self._journal.close()
            output.close()
            if path is not None and not goes_on:
                with suppress(OutputError):
                    remove_journal(path)
            raise

    def _go_on(self, path: str) -> None:
        known = self._journal.ended_count()
        if known and not os.path.exists(path):
            raise OutputError(
                f"{path}: is not there, though its journal knows of {known:,} results in it; --overwrite starts anew"
            )
        self._output.open(resumable=True)
        self.missing = reconcile(self._output, self._journal, self._prices)
        if self._retry_errored:
            self.retried = drop_failed(self._output, self._journal, ordered=self._ordered)

    def _close(self, how: str) -> None:
        try:
            self._writer.close(how)
            self.totals = self._journal.totals()
        finally:
            self._journal.close()
            if self._events is not None:
                self._events.close()
            if isinstance(self._source, RequestPipe):
                self._source.close()
            self._output.close()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._channel is not None
        assert self._noter is not None
        self._noter.cancel()
        self._noter = None  # how it ended knows its frames, and they know us
        try:
            # What has ended by now is an answer, even when nobody will iterate to it.
            with suppress(anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                while True:
                    self._take(self._channel.receive_nowait())
        finally:
            self._answer(*self._stopping.exhausted())
            self._note_used()
            try:
                await self._merge.__aexit__(exc_type, exc, tb)
            finally:
                self.figures.stop_clock()
                try:
                    await uninterrupted(self._close_in_thread)
                except OutputError:
                    if not isinstance(exc, OutputError):
                        raise
                finally:
                    self._give()

    async def _close_in_thread(self) -> None:
        how = "stopped" if self._stopping.stopped_by else "interrupted" if self._drained else "cancelled"
        await to_thread.run_sync(self._close, "finished" if self._finished else how)

    def drain(self) -> None:
        """Begins no more requests, those included that wait in the engine; iterating ends when what runs has ended."""
        if self._requests is not None and self._channel is not None:
            self._drained = True
            self.figures.stopping = True
            self._requests.stop()
            self._channel.exhaust()
            self._merge.cancel_waiting("the run was drained")

    async def __anext__(self) -> StreamResult:
        """The next result, which is in the file. Cancellation loses none of them."""
        if self._channel is None:
            raise RuntimeError("enter the run first: async with open_run(...) as run")
        while not self._results:
            try:
                batch = await self._receive(self._channel)
            except anyio.EndOfStream:
                self._answer(*self._stopping.exhausted())
                if self._writer.waiting:
                    await self._write()
                    continue
                self.figures.stop_clock()
                if (result := self._stopping.stopped_by) is not None:
                    raise RunStopped(self._stopping.why, result) from None
                if self._requests is not None and self._requests.failure is not None:
                    raise self._requests.failure from None
                self._finished = not self._drained
                raise StopAsyncIteration from None
            for tagged in batch:
                self._take(tagged)
            if self._events is not None and self._events.waiting:
                await uninterrupted(lambda: to_thread.run_sync(self._flush_events))
            waiting = self._writer.waiting
            if waiting >= _WRITE_AT_ONCE or (waiting and anyio.current_time() >= self._write_at):
                await self._write()
        return self._results.popleft()

    async def _receive(self, channel: MergeChannel) -> list[TaggedEvent]:
        """What has happened; nothing when answers have waited long enough to be written."""
        if not self._writer.waiting:
            return await channel.receive_batch()
        with anyio.move_on_at(self._write_at):
            return await channel.receive_batch()
        return []

    def _drew(self, request: StreamRequest) -> None:
        self.figures.started += 1
        self._stopping.model(request.params.get("model"))

    def _take(self, tagged: TaggedEvent) -> None:
        """Counts an event; of an ending it makes a line to write."""
        event = tagged.event
        self.figures.events += event.seq - event.first_seq + 1
        if self._events is not None:
            self._events.add(tagged)
        if isinstance(event, StreamStartEvent) and tagged.custom_id is not None:
            self._live.setdefault(tagged.custom_id, (event.stream_id, time.time()))
            self._answer(*self._stopping.began())
        if not isinstance(event, StreamEndEvent):
            return
        result = event.result
        self._live.pop(str(result.custom_id), None)
        dollars = self.figures.ended(result)
        assert self._requests is not None
        self._requests.ended()
        over = Over(result, dollars)
        if answers := self._stopping.ended(over):
            self._answer(*answers)
        else:
            self._lost(over)  # until it is an answer, if it ever is
        if self._stopping.stopped_by is not None:
            self.drain()

    def _answer(self, *overs: Over) -> None:
        for over in overs:
            result = over.result
            answer = batch_result(result)
            if answer is None:
                self._lost(over)
                continue
            if not self._writer.waiting:
                self._write_at = anyio.current_time() + _WRITE_SECONDS
            line = encode_line(str(result.custom_id), answer)
            self._writer.add(Answer(result, _ended(result, answer, over.dollars), line))

    def _lost(self, over: Over) -> None:
        """A stream that is over without an answer: the journal is to know what it cost."""
        result = over.result
        self._writer.used(Begun(str(result.custom_id), result.timestamp.timestamp(), _used(result), over.dollars))

    # -- writing, from a thread: a slow disk or a full pipe holds up nobody else

    async def _write(self) -> None:
        try:
            async with self._flushing:
                await uninterrupted(lambda: to_thread.run_sync(self._writer.flush))
        finally:
            self._give()

    def _give(self) -> None:
        """Counts the answers that are safe now, and has them given."""
        safe = self._writer.safe
        while safe:
            answer = safe.popleft()
            self.figures.endings[answer.ended.kind] += 1
            if answer.ended.error is not None:
                self.figures.errors[answer.ended.error] += 1
            self._results.append(answer.result)

    def _flush_events(self) -> None:
        if self._events is not None:
            self._events.flush()

    async def _note(self) -> None:
        """Tells the journal now and then what the streams that run have used, and were killed if it were killed now."""
        while True:
            await anyio.sleep(_NOTE_SECONDS)
            if self._note_used():
                with suppress(OutputError):  # whoever iterates meets it too
                    async with self._flushing:
                        await uninterrupted(lambda: to_thread.run_sync(self._writer.flush))

    def _note_used(self) -> bool:
        for custom_id, (stream_id, submitted) in self._live.items():
            handle = self._engine.get(stream_id)
            if handle is not None:
                usage, name = handle.billed, handle.model_name
                dollars = self._prices.cost(name, usage) if isinstance(name, str) else None
                self._writer.used(Begun(custom_id, submitted, usage, dollars))
        return bool(self._live)


def _used(result: StreamResult) -> Usage:
    return sum((attempt.known_usage for attempt in result.attempts), Usage())


def _ended(result: StreamResult, answer: dict[str, Any], dollars: float | None) -> Ended:
    """What the journal says of an answer."""
    timings = result.timings
    error: dict[str, Any] = answer["error"]["error"] if answer["type"] == "errored" else {}
    return Ended(
        custom_id=str(result.custom_id),
        kind=answer["type"],
        error=error.get("type"),
        message=error.get("message"),
        model=result.model_name,
        stop_reason=result.stop_reason,
        submitted=result.timestamp.timestamp(),
        queued=timings.queued,
        ttft=timings.ttft,
        seconds=timings.end,
        gap_p50=timings.inter_content_p50,
        gap_p90=timings.inter_content_p90,
        gap_p99=timings.inter_content_p99,
        contents=timings.contents,
        attempts=len(result.attempts),
        **columns_of(_used(result)),
        dollars=dollars,
    )
