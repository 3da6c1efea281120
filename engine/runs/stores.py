"""What a run keeps on disk: its results, its journal and its events, opened and closed together. All of it blocks."""

import os
from collections.abc import AsyncIterable, Callable, Iterable, Sized
from contextlib import suppress
from typing import Any

import attrs

from ...actors.stream import OutputLike, Recovery, RequestLike, StreamRequest
from ...actors.stream.recovery import check_recovery
from ..input.order import Order
from ..input.pipe import RequestPipe
from ..input.reading import Reading
from ..input.request_file import RequestFile
from ..prices import Prices
from .again import Again, RunAgain
from .event_files import EventDirectory, EventOutput, open_event_files
from .found_lines import FoundLines
from .journal import Journal, remove_journal
from .journal_rows import journal_path
from .output import OutputError, ResultFile
from .registry import Registry
from .resume import drop_chosen, reconcile
from .too_many import MaxFailures
from .totals import Totals
from .wanted import with_schema
from .writer import Writer

__all__ = ["Options", "Resumed", "Stores", "check_output", "open_stores"]

Requests = RequestFile | RequestPipe | Iterable[RequestLike] | AsyncIterable[RequestLike]


@attrs.frozen(kw_only=True)
class Options:
    """How a run was asked for; see `open_run`."""

    limit: int | None = None
    ordered: bool = False
    recovery: Recovery = attrs.field(default="restart", validator=check_recovery)
    max_failures: MaxFailures | None = None
    again: Again = Again()
    skip_invalid: bool = False
    stream_events: str | None = None
    reading: Reading = Reading()
    schema: OutputLike[Any] | None = None
    order: Callable[[], Order] = Order
    """Asked when the input is read; it blocks."""


@attrs.frozen(kw_only=True)
class Resumed:
    """What a run found when it continued an earlier one."""

    missing: int = 0
    """Answers that the journal knew of and that were not in the results. Their requests are run again."""
    gone: int = 0
    """Answers in the results whose requests are no longer in the input."""
    again: RunAgain = RunAgain()
    """Answers that are run again, since they were errors that pass or it was asked for."""

    @property
    def retried(self) -> int:
        """How many answers are run again."""
        return self.again.count


@attrs.frozen(kw_only=True)
class Stores:
    """The open stores of a run, and what they held when they were opened."""

    journal: Journal
    output: ResultFile
    writer: Writer
    events: EventOutput | EventDirectory | None
    registry: Registry
    resumed: Resumed
    before: Totals
    """The sums over all sessions before this one."""
    total: int | None
    """How many requests there are; None while that is unknown."""
    same_url: bool
    """Whether the last session before this one sent its requests to the same URL."""
    spender: str
    """What the engine counts the run's dollars under: the same for all spellings of the output's path."""

    def close(self, how: str) -> Totals:
        """Writes what is left and closes the stores. `how` is what the journal says of the session's end. Returns the
        sums over all sessions. Raises `OutputError`; the stores are closed all the same."""
        try:
            self.writer.close(how)
            return self.journal.totals()
        finally:
            self.journal.close()
            if self.events is not None:
                self.events.close()
            self.output.close()


def open_stores(
    requests: Requests,
    output: ResultFile,
    params_for: Callable[[StreamRequest], dict[str, Any]],
    options: Options,
    prices: Prices,
    *,
    complete: Callable[[StreamRequest], StreamRequest],
    url: str,
) -> Stores:
    """Opens the stores and finds out what has to be run. `url` is where the requests go.

    Raises `InputError` and `OutputError`. Then nothing is open, and nothing new is left behind.
    """
    path = output.path
    continues = _check(output, requests.path if isinstance(requests, RequestFile) else None, options.stream_events)
    if path is not None and output.overwrite:
        remove_journal(path)
    journal = Journal(None if path is None else journal_path(path))
    try:
        missing, found, again = 0, None, RunAgain()
        if path is not None and continues:
            found, missing = _reconcile(path, output, journal, prices)
            journal.choose(options.again)
        registry = Registry(
            requests,
            journal,
            params_for,
            complete=_asking_for(options.schema, complete if journal.takes_longest_answers() else _as_it_is),
            limit=options.limit,
            output_name=output.name,
        )
        registry.register()
        if isinstance(requests, RequestFile) and requests.seed is not None:
            journal.keep("seed", requests.seed)
        unmet = journal.unmet(options.again.unfamiliar)
        if found is not None:
            again = journal.chosen(known=registry.readable is not None)
            drop_chosen(output, journal, found, ordered=options.ordered)
        events = None if options.stream_events is None else open_event_files(options.stream_events)
        if not continues:
            output.open()
        known = isinstance(requests, Sized)
        writer = Writer(output, journal, ordered=options.ordered)
        writer.begin()
        before, total = journal.totals(), journal.count() if known else None
        again = attrs.evolve(again, unmet=unmet)
        resumed = Resumed(missing=missing, gone=journal.gone() if known else 0, again=again)
        return Stores(
            journal=journal,
            output=output,
            writer=writer,
            events=events,
            registry=registry,
            resumed=resumed,
            before=before,
            total=total,
            same_url=journal.begin_session(url),
            spender=output.name if path is None else os.path.realpath(journal_path(path)),
        )
    except BaseException:
        journal.close()
        output.close()
        if path is not None and not continues:
            with suppress(OutputError):
                remove_journal(path)
        raise


def _as_it_is(request: StreamRequest) -> StreamRequest:
    return request


def _asking_for(
    schema: OutputLike[Any] | None, complete: Callable[[StreamRequest], StreamRequest]
) -> Callable[[StreamRequest], StreamRequest]:
    """As `complete`, and with the run's output for requests that want none of their own."""
    if schema is None:
        return complete
    return lambda request: complete(with_schema(request, schema))


def check_output(
    source: str | None, output: str | os.PathLike[str], *, overwrite: bool = False, stream_events: str | None = None
) -> None:
    """Raises `OutputError` for an output that `open_run` would refuse for the file `source`. Changes nothing."""
    _check(ResultFile(output, overwrite=overwrite), source, stream_events)


def _check(output: ResultFile, source: str | None, stream_events: str | None) -> bool:
    """Returns whether there is a journal, so that the run continues an earlier one."""
    if stream_events == "-" and output.name == "stdout":
        raise OutputError("stdout: can't take both the results and the events; name a file for one of them")
    continues = output.path is not None and not output.overwrite and os.path.exists(journal_path(output.path))
    output.check(source, resumable=continues)
    return continues


def _reconcile(path: str, output: ResultFile, journal: Journal, prices: Prices) -> tuple[FoundLines, int]:
    """Returns the lines that were found, and how many answers are missing."""
    known = journal.ended_count()
    if known and not os.path.exists(path):
        raise OutputError(
            f"{path}: does not exist, though its journal knows of {known:,} results in it: put it back, or start anew"
            " with --overwrite"
        )
    output.open(resumable=True)
    return reconcile(output, journal, prices)
