"""Several tries for one answer: a race among requests, and a second try when the first is slow to begin.

Each contender is a stream of the engine, and the winner's events are given from its beginning. The losers are cancelled
as soon as the winner is known, and have stopped when the block is left.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Generic

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ...actors.actor import StreamActor
from ...actors.channel import Policy, check_policy, misuse
from ...actors.stream import (
    FINAL,
    OutputT,
    OutputT_co,
    RequestLike,
    StreamError,
    StreamRequest,
    StreamResult,
    continues_thread,
)
from ..finish import uninterrupted
from .arguments import check_after, check_requests, check_until
from .host import Host, Until
from .single import Stream

__all__ = ["HedgeContext", "RaceContext", "RaceStream", "Until"]


class RaceStream(Stream[OutputT_co]):
    """The winner of a race or a hedge: a stream like any other, which also knows the losers."""

    others: "Sequence[Stream[OutputT_co]]" = ()
    """The contenders that did not win."""

    @property
    def losers(self) -> tuple[StreamResult[OutputT_co | None], ...]:
        """The results of the other contenders, in which stands what they used. Only when the block is left have all of
        them ended."""
        return tuple(other.result for other in self.others if other.state in FINAL)


class _Bell:
    """Wakes whoever waits for the first of several actors that has something new."""

    def __init__(self, actors: Iterable[StreamActor]) -> None:
        self._actors = list(actors)
        self._rung = anyio.Event()
        for actor in self._actors:
            actor.audience.park(self)

    def wake(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        try:
            await self._rung.wait()
        finally:
            for actor in self._actors:
                actor.audience.forget(self)


class _Race(Generic[OutputT_co]):
    """The contenders of a race or a hedge: they are started, waited for, and stopped together."""

    def __init__(self, host: Host, policy: Policy | None) -> None:
        self._host = host
        self._policy = policy
        self.entries: list[tuple[StreamActor, RaceStream[OutputT_co]]] = []
        self._settled = False

    def start(self, request: RequestLike[OutputT_co]) -> None:
        actor = self._host.launch(request, on_abandon="cancel")
        stream = RaceStream[OutputT_co](actor, self._host.ask_to_cancel, self._policy, self._host.home)
        self.entries.append((actor, stream))

    async def first(self, ready: Callable[[StreamActor], bool]) -> RaceStream[OutputT_co] | None:
        """Waits for the first contender that is `ready`. Returns None when all have ended and none was."""
        while True:
            for actor, stream in self.entries:
                if ready(actor):
                    return stream
            if all(actor.life.ended for actor, _ in self.entries):
                return None
            await _Bell(actor for actor, _ in self.entries).wait()

    def settle(self, winner: RaceStream[OutputT_co] | None) -> RaceStream[OutputT_co]:
        """Cancels the losers and returns the winner. Without a winner the first contender takes its place."""
        winner = winner or self.entries[0][1]
        winner.others = [stream for _, stream in self.entries if stream is not winner]
        for actor, stream in self.entries:
            if stream is not winner:
                self._host.request_cancel(actor, "consumer", "another was faster")
        self._settled = True
        return winner

    def failure(self) -> ExceptionGroup[StreamError]:
        """What is raised when all contenders have failed."""
        errors = [error for _, stream in self.entries if (error := stream.result.exception()) is not None]
        return ExceptionGroup("every contender failed", errors)

    async def leave(self) -> None:
        """Cancels the contenders that still run, and returns when they have stopped."""
        if not self._settled:
            for actor, _ in self.entries:
                self._host.request_cancel(actor, "consumer", "the race was left")
        await uninterrupted(self._join)

    async def _join(self) -> None:
        for _, stream in self.entries:
            await stream.aclose()


@misuse("async with engine.race(requests) as stream, then: async for event in stream", "with", "for", "async for")
class RaceContext(Generic[OutputT_co]):
    """The block of `engine.race`: entering it starts the contenders and waits for the winner, leaving it stops all."""

    def __init__(
        self, host: Host, requests: Iterable[RequestLike[OutputT_co]], until: Until, policy: Policy | None
    ) -> None:
        check_requests(requests, at_once=True)
        check_until(until)
        check_policy(policy)
        self._race = _Race[OutputT_co](host, policy)
        self._requests = requests
        self._until: Until = until

    async def __aenter__(self) -> RaceStream[OutputT_co]:
        race = self._race
        try:
            for request in _each_once(self._requests):
                race.start(request)
            if not race.entries:
                raise ValueError("a race needs at least one request")
            winner = await race.first(_has_content if self._until == "first_content" else _is_complete)
        except BaseException:
            await race.leave()
            raise
        if winner is None:
            await race.leave()
            await checkpoint_if_cancelled()  # the caller's own cancellation is raised first
            raise race.failure()
        return race.settle(winner)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._race.leave()


@misuse("async with engine.hedge(request) as stream, then: async for event in stream", "with", "for", "async for")
class HedgeContext(Generic[OutputT_co]):
    """The block of `engine.hedge`: as that of a race, in which the second contender starts late or never."""

    def __init__(
        self, host: Host, request: RequestLike[OutputT_co], after: float | None, policy: Policy | None
    ) -> None:
        check_after(after)
        check_policy(policy)
        self._race = _Race[OutputT_co](host, policy)
        self._request = request
        self._after = after

    async def __aenter__(self) -> RaceStream[OutputT_co]:
        race = self._race
        try:
            # Made once: the second try asks the same, whatever the caller has changed meanwhile.
            request = self._request if isinstance(self._request, StreamRequest) else StreamRequest(self._request)
            race.start(request)
            winner: RaceStream[OutputT_co] | None = None
            if self._after is not None and not continues_thread(request.params, request.extra_body):
                with anyio.move_on_after(self._after) as waited:
                    winner = await race.first(_has_content)
                if waited.cancelled_caught:
                    race.start(request)
            winner = winner or await race.first(_has_content)
        except BaseException:
            await race.leave()
            raise
        # When neither has content, the first one's ending is the request's.
        return race.settle(winner)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._race.leave()


def _each_once(requests: Iterable[RequestLike[OutputT]]) -> Iterator[RequestLike[OutputT]]:
    """The requests, each made once. What stands in a list several times is one request. What an iterator gives is read
    each time, since it may have been changed in between."""
    if not isinstance(requests, list | tuple):
        yield from requests
        return
    made: dict[int, StreamRequest[OutputT]] = {}
    for request in requests:
        if not isinstance(request, StreamRequest | str):
            if id(request) not in made:
                made[id(request)] = StreamRequest(request)
            request = made[id(request)]
        yield request


def _has_content(actor: StreamActor) -> bool:
    # An answer may be complete without any; one that failed with some is no winner.
    return _is_complete(actor) if actor.life.ended else actor.assembler.contents > 0


def _is_complete(actor: StreamActor) -> bool:
    return actor.result is not None and actor.result.state == "complete"
