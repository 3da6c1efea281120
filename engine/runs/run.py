"""A run: requests from a file or an iterable, through an engine, into a results file.

Requests are drawn as slots come free, so that a run can stop at any request: `drain` draws no more and lets what runs
finish; leaving the block cancels it. Whatever happens, the file holds whole lines, one for each request that has its
answer.
"""

import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio
import attrs
from anyio import to_thread

from ...actors.events import StreamEndEvent, StreamStartEvent, TaggedEvent
from ...actors.request import StreamRequest
from ...actors.result import StreamResult
from ...actors.uninterrupted import uninterrupted
from ..engine import Engine, RequestLike
from ..merge import MergeChannel
from .figures import Figures
from .input import RequestFile, read_requests
from .output import OutputError, ResultFile
from .results import batch_result, encode_line, unreached, would_fail_all

__all__ = ["Run", "RunStopped", "Source", "open_run"]

Source = str | os.PathLike[str] | RequestFile | Iterable[RequestLike] | AsyncIterable[RequestLike]
"""A file's path (`-` for standard input), a file that was read, or the requests themselves."""


_UNREACHED = 3  # so many failed connections, with never a response, and the run stops


class RunStopped(Exception):
    """A failure that would have failed every request. The message says what it was; `result` is where it was met."""

    def __init__(self, message: str, result: StreamResult) -> None:
        super().__init__(message)
        self.result = result


def open_run(
    engine: Engine, source: Source, output: str | os.PathLike[str], *, overwrite: bool = False, limit: int | None = None
) -> "Run":
    """Runs all requests of `source` and writes their results to `output`, as Message Batches have them:
    `async with open_run(engine, source, output) as run`, then `async for result in run`.

    An ending is a value here: failed requests are among the results. `-` stands for standard input and output. A file
    that exists and isn't empty is replaced only with `overwrite`. `limit` runs the first few only.

    Entering the block raises `InputError` and `OutputError` before anything is sent. Iterating drives the run: each
    result is in the file when it is given. It raises `OutputError` when that can't be done; and, after what was running
    has ended, `RunStopped` when a failure would have failed every request. Leaving the block cancels what still runs,
    and returns when it has stopped.
    """
    return Run(engine, source, ResultFile(output, overwrite=overwrite), limit)


class Run(AsyncIterator[StreamResult]):
    """A run that was opened; iterate it to the end. Made by `open_run`."""

    def __init__(self, engine: Engine, source: Source, output: ResultFile, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit is at least 1, not {limit}")
        self._engine = engine
        self._source = source
        self._output = output
        self._limit = limit
        self._requests: _Draw | None = None
        self._channel: MergeChannel | None = None
        self._unwritten: list[tuple[StreamResult, str]] = []
        self._results: deque[StreamResult] = deque()
        self._models: set[str] = set()
        self._any_response = False
        self._unreached: list[StreamResult] = []
        self._stopped_by: StreamResult | None = None
        self.figures = Figures()
        """What the run has done so far."""

    @property
    def output_name(self) -> str:
        """The results file's path, or `stdout`."""
        return self._output.name

    async def __aenter__(self) -> Self:
        if self._requests is not None:
            raise RuntimeError("a run is entered once; open another")
        source = self._source
        if isinstance(source, str | os.PathLike):
            source = await to_thread.run_sync(read_requests, source)
        total = len(source) if isinstance(source, Sized) else None
        if self._limit is not None and total is not None:
            total = min(total, self._limit)
        self.figures = Figures(total)
        self._requests = _Draw(source, self._limit, self._engine.max_concurrency, self._drew)
        self._output.check(source.path if isinstance(source, RequestFile) else None)
        self._output.open()
        try:
            self._merge = self._engine.merge(self._requests)
            self._channel = await self._merge.__aenter__()
        except BaseException:
            self._output.close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._channel is not None
        try:
            # What has ended by now is an answer, even when nobody will iterate to it.
            with suppress(anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                while True:
                    self._take(self._channel.receive_nowait())
            if not isinstance(exc, OutputError):
                await self._write()
        finally:
            try:
                await self._merge.__aexit__(exc_type, exc, tb)
            finally:
                self.figures.stop_clock()
                self._output.close()

    def drain(self) -> None:
        """Begins no more requests, those included that wait in the engine; iterating ends when what runs has ended."""
        if self._requests is not None and self._channel is not None:
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
                batch = await self._channel.receive_batch()
            except anyio.EndOfStream:
                self.figures.stop_clock()
                if (result := self._stopped_by or next(iter(self._unreached), None)) is not None:
                    raise _stopped(result) from None
                raise StopAsyncIteration from None
            for tagged in batch:
                self._take(tagged)
            if self._unwritten:
                await self._write()
        return self._results.popleft()

    def _drew(self, request: StreamRequest) -> None:
        self.figures.started += 1
        self._models.add(str(request.params.get("model")))

    def _take(self, tagged: TaggedEvent) -> None:
        """Counts an event; of an ending it makes a line to write."""
        event = tagged.event
        self.figures.events += event.seq - event.first_seq + 1
        if isinstance(event, StreamStartEvent) and not self._any_response:
            self._responded()
        if not isinstance(event, StreamEndEvent):
            return
        result = event.result
        self.figures.ended(result)
        assert self._requests is not None
        self._requests.ended()
        if would_fail_all(result, only_model=len(self._models) == 1):
            self._stop(result)
        elif unreached(result) and not self._any_response:
            # Nobody has been reached yet. Bad luck of this request, or of them all? A few more will tell.
            self._unreached.append(result)
            if len(self._unreached) >= _UNREACHED:
                self._stop(result)
        else:
            self._answer(result)

    def _responded(self) -> None:
        self._any_response = True
        missed, self._unreached = self._unreached, []
        for result in missed:
            self._answer(result)

    def _stop(self, result: StreamResult) -> None:
        self._stopped_by = self._stopped_by or result
        self.drain()

    def _answer(self, result: StreamResult) -> None:
        if (answer := batch_result(result)) is not None:
            self._output.add(encode_line(result.custom_id, answer))
            self._unwritten.append((result, _kind(answer)))

    async def _write(self) -> None:
        """Brings the lines into the file, from a thread: a slow disk or a full pipe holds up nobody else."""
        before = self._output.lines
        try:
            await uninterrupted(lambda: to_thread.run_sync(self._output.flush))
        finally:
            unwritten, self._unwritten = self._unwritten, []
            for result, kind in unwritten[: self._output.lines - before]:
                ending, _, error = kind.partition(" ")
                self.figures.endings[ending] += 1
                if error:
                    self.figures.errors[error] += 1
                self._results.append(result)


def _kind(answer: dict[str, Any]) -> str:
    return f"errored {answer['error']['error']['type']}" if answer["type"] == "errored" else answer["type"]


def _stopped(result: StreamResult) -> RunStopped:
    info = result.error
    assert info is not None
    status = f"{info.status} " if info.status else ""
    return RunStopped(f"{status}{info.type}: {info.message}", result)


class _Draw(AsyncIterator[StreamRequest]):
    """Requests, drawn from a source one by one as slots come free, each with an id."""

    def __init__(
        self,
        source: Iterable[RequestLike] | AsyncIterable[RequestLike],
        limit: int | None,
        slots: int,
        drew: Callable[[StreamRequest], None],
    ) -> None:
        self._source: Iterator[RequestLike] | AsyncIterator[RequestLike]
        self._source = aiter(source) if isinstance(source, AsyncIterable) else iter(source)
        self._limit = limit
        self._slots = slots
        self._drew = drew
        self._drawn = 0
        self._running = 0
        self._stopped = False
        self._changed = anyio.Event()

    def ended(self) -> None:
        """A request that was drawn is over."""
        self._running -= 1
        self._changed.set()

    def stop(self) -> None:
        """Draws no more."""
        self._stopped = True
        self._changed.set()

    async def __anext__(self) -> StreamRequest:
        # The engine, too, would wait for a slot, but with the next request already in its hand.
        while self._running >= self._slots and not self._stopped:
            self._changed = anyio.Event()
            await self._changed.wait()
        if self._stopped or self._drawn == self._limit:
            raise StopAsyncIteration
        if isinstance(self._source, AsyncIterator):
            request = await anext(self._source)
        else:
            try:
                request = next(self._source)
            except StopIteration:
                raise StopAsyncIteration from None
        if self._stopped:
            raise StopAsyncIteration
        self._drawn += 1
        self._running += 1
        drawn = request if isinstance(request, StreamRequest) else StreamRequest(request)
        if drawn.custom_id is None:
            drawn = attrs.evolve(drawn, custom_id=f"request-{self._drawn}")
        self._drew(drawn)
        return drawn
