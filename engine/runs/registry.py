"""The requests of a run and its journal: which of them have to be run.

A source that can be read more than once is registered in the journal as a whole. Then the requests without an answer
are read from it by their places. The requests of other sources are registered one by one, as they come.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol, runtime_checkable

import attrs

from ...actors.stream import RequestLike, StreamRequest
from ..input.entry import used_already
from ..input.formats import InputError
from ..input.numbered import Numbered
from ..input.used_ids import DuplicateError
from .differences import digest, shared_text, what_differs
from .journal import ChangedError, Journal
from .journal_rows import Registered

__all__ = ["Registry", "named"]

_AHEAD = 256  # requests that are read from a file at a time


@runtime_checkable
class _Readable(Protocol):
    """A source that can be read again and again."""

    def __len__(self) -> int: ...

    def numbered(self) -> Iterator[Numbered]: ...


@attrs.frozen
class _Collection:
    """A collection of requests, read like a file of them."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def numbered(self) -> Iterator[Numbered]:
        for number, item in enumerate(self.items, 1):
            yield Numbered(number, named(item, number))


def named(item: RequestLike, number: int) -> StreamRequest:
    """A request with an id, which is made from its place if it has none."""
    request = item if isinstance(item, StreamRequest) else StreamRequest(item)
    return request if request.custom_id is not None else attrs.evolve(request, custom_id=f"request-{number}")


class Registry:
    """The requests of a run, registered in its journal. `complete` gives a request what a run adds to it, and
    `params_for` returns what is sent for it then; only the first `limit` requests belong to the run.

    All methods block. They raise `InputError` for an id that is used twice and for a request that was answered with
    other parameters, and `OutputError` when the journal can't be read or written.
    """

    def __init__(
        self,
        source: Any,
        journal: Journal,
        params_for: Callable[[StreamRequest], dict[str, Any]],
        *,
        complete: Callable[[StreamRequest], StreamRequest],
        limit: int | None,
        output_name: str,
    ) -> None:
        self.readable: _Readable | None = None
        if isinstance(source, _Readable):
            self.readable = source
        elif isinstance(source, Sized) and isinstance(source, Iterable):
            self.readable = _Collection(source)
        self.source = source
        self._journal = journal
        self._params_for = params_for
        self._complete = complete
        self._limit = limit
        self._output_name = output_name
        self._where: Callable[[int], str] = getattr(source, "where", lambda number: f"request {number}")
        self._numbered: Iterator[Numbered] | None = None
        self._after = -1

    def register(self) -> None:
        """Registers the whole source, if it can be read again."""
        if self.readable is None:
            return
        seen = map(self._completed, self.readable.numbered())
        count = self._limit if self._limit is not None else len(self.readable)
        try:
            self._journal.register(self._registered(one) for one, _ in zip(seen, range(count), strict=False))
        except (DuplicateError, ChangedError) as exc:
            raise self._refused(exc) from None

    def register_one(self, request: Numbered) -> Numbered | None:
        """Registers one more request. Returns it as it has to be run; None when it has its answer."""
        request = self._completed(request)
        try:
            return request if self._journal.register_one(self._registered(request)) else None
        except (DuplicateError, ChangedError) as exc:
            raise self._refused(exc) from None

    def end(self) -> None:
        """Notes that all requests of a source have come that is registered one by one."""
        self._journal.end_input()

    def next(self) -> list[Numbered]:
        """The next few requests to run, of a source that was registered; an empty list at its end.

        Raises `InputError` when the source has changed since.
        """
        wanted = {one.ordinal: one for one in self._journal.unanswered(self._after, _AHEAD)}
        if not wanted:
            return []
        self._after = max(wanted)
        if self._numbered is None:
            assert self.readable is not None
            self._numbered = map(self._completed, self.readable.numbered())
        found: list[Numbered] = []
        for request in self._numbered:
            number = request.number
            if number in wanted:
                registered = wanted[number]
                if self._registered(request) != registered:
                    raise InputError(f"{self._where(number)}: was changed during the run")
                found.append(request)
            if number >= self._after:
                break
        if len(found) < len(wanted):
            raise InputError(f"{self._where(self._after)}: was truncated during the run")
        return found

    def _completed(self, numbered: Numbered) -> Numbered:
        return numbered._replace(request=self._complete(numbered.request))

    def _registered(self, numbered: Numbered) -> Registered:
        number, request, beside = numbered
        assert request.custom_id is not None
        params = self._params_for(request)
        return Registered(
            request.custom_id,
            number,
            digest(params, request),
            shared_text(params, request),
            None if beside is None else beside.id,
        )

    def _refused(self, exc: DuplicateError | ChangedError) -> InputError:
        if isinstance(exc, DuplicateError):
            first = self._where(exc.first).rpartition(": ")[2]
            return used_already(self._where(exc.ordinal), exc.custom_id, first)
        first = self._where(exc.request.ordinal)
        what = what_differs(exc.pairs)
        because = f" ({what})" if what else ""
        if self.readable is None:
            which = f"{exc.request.shown_id or exc.request.custom_id!r} differs from what was"
        else:
            which = f"{exc.count:,} of {exc.answered:,} {'differs' if exc.count == 1 else 'differ'} from those"
        return InputError(
            f"{first}: {which} answered in {self._output_name}{because}: name another output, or start anew with"
            " --overwrite"
        )
