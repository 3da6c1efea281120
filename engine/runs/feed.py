"""Drawing the requests of a run, as slots come free: each with an id, and none that has its answer already.

A source that can be read more than once is taken into the journal as a whole, and drawn from there by the places of
those that have no answer. Others are taken in one by one, as they come.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sized
from hashlib import blake2b
from typing import Any, Protocol, cast, runtime_checkable

import anyio
import attrs
from anyio import to_thread

from ...actors.stream import StreamRequest
from .input import InputError, RequestPipe
from .journal import ChangedError, DuplicateError, Journal, Registered

__all__ = ["Feed", "Registry", "RequestLike"]

_AHEAD = 256  # requests that are read from a file at a time

RequestLike = StreamRequest | Any  # what a StreamRequest can be made of
Numbered = tuple[int, StreamRequest]


@runtime_checkable
class _Readable(Protocol):
    """What can be read again and again."""

    def __len__(self) -> int: ...

    def numbered(self) -> Iterator[Numbered]: ...


@attrs.frozen
class _Collection:
    """A collection of requests, as if it were a file of them."""

    items: Any

    def __len__(self) -> int:
        return len(self.items)

    def numbered(self) -> Iterator[Numbered]:
        for number, item in enumerate(self.items, 1):
            yield number, named(item, number)


def named(item: RequestLike, number: int) -> StreamRequest:
    """A request with an id, if it has none by its place."""
    request = item if isinstance(item, StreamRequest) else StreamRequest(item)
    return request if request.custom_id is not None else attrs.evolve(request, custom_id=f"request-{number}")


class Registry:
    """The requests of a run in its journal: tells which are to be run. All of it blocks. `params_for` gives what is
    sent for a request, and `limit` how many of the first are of the run.

    Raises `InputError` for ids that are used twice, and requests that were answered with other parameters.
    """

    def __init__(
        self,
        source: Any,
        journal: Journal,
        params_for: Callable[[StreamRequest], dict[str, Any]],
        *,
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
        self._limit = limit
        self._output_name = output_name
        self._where: Callable[[int], str] = getattr(source, "where", lambda number: f"request {number}")
        self._numbered: Iterator[Numbered] | None = None
        self._after = -1

    def register(self) -> None:
        """Takes the whole source in, if it can be read again."""
        if self.readable is None:
            return
        seen = self.readable.numbered()
        count = self._limit if self._limit is not None else len(self.readable)
        try:
            self._journal.register(self._registered(*one) for one, _ in zip(seen, range(count), strict=False))
        except (DuplicateError, ChangedError) as exc:
            raise self._refused(exc) from None

    def register_one(self, number: int, request: StreamRequest) -> bool:
        """Takes one more request in. Returns whether it is to be run."""
        try:
            return self._journal.register_one(self._registered(number, request))
        except (DuplicateError, ChangedError) as exc:
            raise self._refused(exc) from None

    def next(self) -> list[StreamRequest]:
        """The next few requests that are to be run, of a source that was registered; none at its end."""
        wanted = {one.ordinal: one for one in self._journal.unanswered(self._after, _AHEAD)}
        if not wanted:
            return []
        self._after = max(wanted)
        if self._numbered is None:
            assert self.readable is not None
            self._numbered = self.readable.numbered()
        found: list[StreamRequest] = []
        for number, request in self._numbered:
            if number in wanted:
                registered = wanted[number]
                if self._registered(number, request) != registered:
                    raise InputError(f"{self._where(number)}: was changed while the run was going on")
                found.append(request)
            if number >= self._after:
                break
        if len(found) < len(wanted):
            raise InputError(f"{self._where(self._after)}: was cut off while the run was going on")
        return found

    def _registered(self, number: int, request: StreamRequest) -> Registered:
        assert request.custom_id is not None
        params = self._params_for(request)
        what = [params, request.betas, dict(request.extra_body)]
        text = json.dumps(what, sort_keys=True, separators=(",", ":"), default=str)
        return Registered(request.custom_id, number, blake2b(text.encode(), digest_size=16).digest())

    def _refused(self, exc: DuplicateError | ChangedError) -> InputError:
        where, custom_id = self._where(exc.request.ordinal), exc.request.custom_id
        if isinstance(exc, DuplicateError):
            first = self._where(exc.first).rpartition(": ")[2]
            return InputError(f"{where}: custom_id {custom_id!r} was used before, in {first}")
        return InputError(
            f"{where}: the request {custom_id!r} is not the one that is answered in {self._output_name}: its parameters"
            f" (or the model, --max-tokens, --system) have changed; give it another id, or start anew with --overwrite"
        )


class Feed(AsyncIterator[StreamRequest]):
    """The requests of a run, one by one as slots come free. `drew` is called with each."""

    def __init__(
        self, registry: Registry, *, limit: int | None, slots: int, drew: Callable[[StreamRequest], None]
    ) -> None:
        source: Any = registry.source
        self._registry = registry
        self._ready: list[StreamRequest] = []  # the next one last
        self._stream: AsyncIterator[Any] | Iterator[Any] | None = None
        if registry.readable is None:
            self._stream = (
                aiter(cast("AsyncIterable[Any]", source)) if isinstance(source, AsyncIterable) else iter(source)
            )
        self._limit = limit
        self._slots = slots
        self._drew = drew
        self._seen = 0
        self._running = 0
        self._stopped = False
        self._changed = anyio.Event()
        self.failure: Exception | None = None
        """What ended the drawing, if something did: what runs then goes on."""

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
        request = None
        if not self._stopped:
            try:
                request = await self._next()
            except Exception as exc:
                self.failure = exc
        if request is None or self._stopped:
            raise StopAsyncIteration
        self._running += 1
        self._drew(request)
        return request

    async def _next(self) -> StreamRequest | None:
        if self._stream is None:
            return await self._next_registered()
        return await self._next_in_stream(self._stream)

    async def _next_registered(self) -> StreamRequest | None:
        if not self._ready:
            self._ready = await to_thread.run_sync(self._registry.next)
            self._ready.reverse()
        return self._ready.pop() if self._ready else None

    async def _next_in_stream(self, stream: AsyncIterator[Any] | Iterator[Any]) -> StreamRequest | None:
        while self._seen != self._limit and not self._stopped:
            try:
                item = await anext(stream) if isinstance(stream, AsyncIterator) else next(stream)
            except (StopIteration, StopAsyncIteration):
                return None
            self._seen += 1
            number, request = item if isinstance(stream, RequestPipe) else (self._seen, named(item, self._seen))
            if await to_thread.run_sync(self._registry.register_one, number, request):
                return request
        return None
