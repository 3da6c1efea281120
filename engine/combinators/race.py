"""Several tries for one answer: a race among requests, and a second try when the first is slow to begin.

All contenders are streams of the engine, read from their beginning whoever wins. The losers are cancelled as soon as
the winner is known, and have stopped when the block is left.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Literal

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ...actors.actor import StreamActor
from ...actors.channel import Policy
from ...actors.stream import FINAL, RequestLike, StreamError, StreamRequest, StreamResult
from ..finish import uninterrupted
from .host import Host
from .single import Stream

__all__ = ["HedgeContext", "RaceContext", "RaceStream", "Until"]

Until = Literal["first_content", "complete"]


class RaceStream(Stream):
    """The winner of a race or a hedge: a stream like any other, that knows of the others."""

    others: Sequence[Stream] = ()
    """The contenders that did not win."""

    @property
    def losers(self) -> tuple[StreamResult, ...]:
        """How the others ended, with what they used. All of them have when the block is left; until then there may be
        fewer."""
        return tuple(other.result for other in self.others if other.state in FINAL)


class _Bell:
    """Rings when any of the actors it was hung up at has something new."""

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


class _Race:
    """What race and hedge share: contenders, a way to wait for the first of them, and an end for all of them."""

    def __init__(self, host: Host, policy: Policy | None) -> None:
        self._host = host
        self._policy = policy
        self.entries: list[tuple[StreamActor, RaceStream]] = []
        self._settled = False

    def start(self, request: RequestLike) -> None:
        actor = self._host.launch(request, on_abandon="cancel")
        self.entries.append((actor, RaceStream(actor, self._host.ask_to_cancel, self._policy, self._host.home)))

    async def first(self, ready: Callable[[StreamActor], bool]) -> RaceStream | None:
        """The first contender that is `ready`, once there is one; None when all ended without being it."""
        while True:
            for actor, stream in self.entries:
                if ready(actor):
                    return stream
            if all(actor.life.ended for actor, _ in self.entries):
                return None
            await _Bell(actor for actor, _ in self.entries).wait()

    def settle(self, winner: RaceStream | None) -> RaceStream:
        """Cancels the others. Without a winner the first contender stands for all."""
        winner = winner or self.entries[0][1]
        winner.others = [stream for _, stream in self.entries if stream is not winner]
        for actor, stream in self.entries:
            if stream is not winner:
                self._host.request_cancel(actor, "consumer", "another was faster")
        self._settled = True
        return winner

    def failure(self) -> ExceptionGroup[StreamError]:
        """All have failed."""
        errors = [error for _, stream in self.entries if (error := stream.result.exception()) is not None]
        return ExceptionGroup("every contender failed", errors)

    async def leave(self) -> None:
        """Cancels all that still runs, and returns when it has stopped."""
        if not self._settled:
            for actor, _ in self.entries:
                self._host.request_cancel(actor, "consumer", "the contest was left")
        await uninterrupted(self._join)

    async def _join(self) -> None:
        for _, stream in self.entries:
            await stream.close()


class RaceContext:
    """The block of `engine.race`."""

    def __init__(self, host: Host, requests: Iterable[RequestLike], until: Until, policy: Policy | None) -> None:
        self._contest = _Race(host, policy)
        self._requests = requests
        self._until: Until = until

    async def __aenter__(self) -> RaceStream:
        contest = self._contest
        try:
            for request in _each_once(self._requests):
                contest.start(request)
            if not contest.entries:
                raise ValueError("a race needs at least one request")
            winner = await contest.first(_has_content if self._until == "first_content" else _is_complete)
        except BaseException:
            await contest.leave()
            raise
        if winner is None:
            await contest.leave()
            await checkpoint_if_cancelled()  # the caller's own cancellation first
            raise contest.failure()
        return contest.settle(winner)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._contest.leave()


class HedgeContext:
    """The block of `engine.hedge`."""

    def __init__(self, host: Host, request: RequestLike, after: float | None, policy: Policy | None) -> None:
        self._contest = _Race(host, policy)
        self._request = request
        self._after = after

    async def __aenter__(self) -> RaceStream:
        contest = self._contest
        try:
            # Made once: the second try asks what the first one asked, whatever the caller has changed meanwhile.
            request = self._request if isinstance(self._request, StreamRequest) else StreamRequest(self._request)
            contest.start(request)
            winner: RaceStream | None = None
            if self._after is not None:
                with anyio.move_on_after(self._after) as waited:
                    winner = await contest.first(_has_content)
                if waited.cancelled_caught:
                    contest.start(request)
            winner = winner or await contest.first(_has_content)
        except BaseException:
            await contest.leave()
            raise
        # When neither has content, the first one's ending is the request's.
        return contest.settle(winner)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._contest.leave()


def _each_once(requests: Iterable[RequestLike]) -> Iterator[RequestLike]:
    """The requests. What stands in a list more than once is one request; an iterator may change what it gives between
    one and the next."""
    if not isinstance(requests, list | tuple):
        yield from requests
        return
    made: dict[int, StreamRequest] = {}
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
