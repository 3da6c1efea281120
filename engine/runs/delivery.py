"""From a stream's ending to the result that a run gives: a line is made of it, written, and only then is it given.

Writing happens in a thread, so that a slow disk or a full pipe holds up nothing else.
"""

import math
from collections import deque
from contextlib import suppress
from typing import Any

import anyio
from anyio import to_thread

from ...actors.stream import StreamResult
from ..finish import uninterrupted
from ..input.numbered import Beside, Numbered
from .figures import Figures, is_estimated
from .journal_rows import Begun, Ended, columns_of
from .live import LiveStreams
from .output import OutputError
from .results import batch_result, encode_line, output_data
from .session_clock import SessionClock
from .stopping import Over
from .transient import failure_name, passes
from .writer import Answer, Writer

__all__ = ["Delivery", "ended_row"]

_WRITE_SECONDS = 0.1  # how long an answer may wait for others to be written with it
_WRITE_AT_ONCE = 500
_NOTE_SECONDS = 1.0  # how often the journal is told what running streams have used


class Delivery:
    """The answers of a run that wait to be written, and the results that wait to be given."""

    def __init__(self, writer: Writer, figures: Figures, clock: SessionClock | None = None) -> None:
        self._writer = writer
        self._figures = figures
        self._clock = clock or SessionClock()
        self._results: deque[StreamResult] = deque()
        self._beside: dict[str, Beside] = {}  # of the requests that have no answer yet
        self._flushing = anyio.Lock()
        self.write_at = math.inf
        """When the answers that wait have to be written, in the event loop's seconds; infinite while none waits."""

    def drew(self, request: Numbered) -> None:
        """Takes a request that begins: what stands beside it goes into its line."""
        if request.beside is not None:
            self._beside[str(request.request.custom_id)] = request.beside

    def add(self, *overs: Over) -> None:
        """Takes streams that are over. Those whose ending is no answer only count as used."""
        for over in overs:
            result = over.result
            answer = batch_result(result)
            if answer is None:
                self.lose(over)
                continue
            self._figures.answered += 1
            if not self.waiting:
                self.write_at = anyio.current_time() + _WRITE_SECONDS
            custom_id = str(result.custom_id)
            beside = self._beside.pop(custom_id, None)
            line = encode_line(custom_id, answer, beside, output=output_data(result))
            row = ended_row(over, answer, self._clock.submitted(result), None if beside is None else beside.id)
            self._writer.add(Answer(result, row, line))

    def lose(self, over: Over) -> None:
        """Takes a stream that is over without an answer: the journal notes what it cost. It may still be added."""
        result = over.result
        self._writer.used(Begun(str(result.custom_id), self._clock.submitted(result), result.billed, over.dollars))

    def note(self, live: LiveStreams) -> None:
        """Takes what the running streams have used, to be noted next."""
        for begun in live.used():
            self._writer.used(begun)

    async def keep_noting(self, live: LiveStreams) -> None:
        """Notes every second what the running streams have used, so that a kill loses none of it from the journal.
        Runs until it is cancelled. It leaves the results alone: when they can't be written, iterating the run has to
        tell."""
        while True:
            await anyio.sleep(_NOTE_SECONDS)
            if live:
                self.note(live)
                with suppress(OutputError):  # the next write notes it too, and tells
                    async with self._flushing:
                        await uninterrupted(lambda: to_thread.run_sync(self._writer.note))

    @property
    def waiting(self) -> bool:
        """Whether any answer waits to be written or collected."""
        return self.write_at < math.inf

    @property
    def due(self) -> bool:
        """Whether enough answers wait, or one has waited long enough, to be written."""
        return self._writer.waiting >= _WRITE_AT_ONCE or (self.waiting and anyio.current_time() >= self.write_at)

    async def write(self) -> None:
        """Writes the answers that wait. Raises `OutputError`. Cancellation is raised when they are written."""
        try:
            async with self._flushing:
                await uninterrupted(lambda: to_thread.run_sync(self._writer.flush))
        finally:
            self.collect()

    def collect(self) -> None:
        """Counts the answers that are on disk, and makes them the next to be given."""
        safe = self._writer.safe
        while safe:
            answer = safe.popleft()
            self._figures.written(answer.ended)
            self._results.append(answer.result)
        if not self._writer.waiting:
            self.write_at = math.inf

    def next(self) -> StreamResult | None:
        """The next result to give; None when there is none yet."""
        return self._results.popleft() if self._results else None


def ended_row(over: Over, answer: dict[str, Any], submitted: float | None = None, shown_id: str | None = None) -> Ended:
    """The journal's row for an answer: `answer` is its Message Batches result, `submitted` in Unix seconds, `shown_id`
    what the user knows it by, if that is not its `custom_id`."""
    result = over.result
    timings, miss = result.timings, result.cache_miss
    failed = result.error if answer["type"] == "errored" else None
    error: dict[str, Any] = answer["error"]["error"] if answer["type"] == "errored" else {}
    return Ended(
        custom_id=str(result.custom_id),
        shown_id=shown_id,
        kind=answer["type"],
        error=error.get("type"),
        message=error.get("message"),
        failure=None if failed is None else failure_name(failed),
        transient=None if failed is None else passes(failed),
        model=result.model_name,
        stop_reason=result.stop_reason,
        submitted=result.timestamp.timestamp() if submitted is None else submitted,
        queued=timings.queued,
        ttft=timings.ttft,
        seconds=timings.end,
        gap_p50=timings.inter_content_p50,
        gap_p90=timings.inter_content_p90,
        gap_p99=timings.inter_content_p99,
        contents=timings.contents,
        attempts=len(result.attempts),
        **columns_of(result.billed),
        dollars=over.dollars,
        estimated=int(is_estimated(result)),
        restarts=over.restarts,
        restarted_dollars=over.restarted_dollars,
        cache_miss=None if miss is None else miss.reason,
        cache_missed_tokens=None if miss is None else miss.missed_input_tokens,
        cache_missed_dollars=over.missed_dollars,
    )
