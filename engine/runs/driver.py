"""Drives the requests of a run through the engine: from the feed, through counting and judging, to the delivery."""

import math
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio
import attrs
from anyio import to_thread

from ...actors.actor import StreamActor
from ...actors.stream import RestartEvent, StreamEndEvent, StreamStartEvent, TaggedEvent
from ..combinators.merge import MergeChannel, merge
from ..engine import Engine
from ..finish import uninterrupted
from ..input.numbered import Numbered
from ..prices import Prices
from .delivery import Delivery
from .feed import Feed
from .figures import Figures
from .live import LiveStreams
from .stopping import Stopping
from .stores import Options, Stores

__all__ = ["Driver"]


class Driver:
    """The streams of a run, between the feed of its requests and the delivery of its answers. Entered once."""

    def __init__(
        self,
        engine: Engine,
        stores: Stores,
        delivery: Delivery,
        figures: Figures,
        prices: Prices,
        options: Options,
    ) -> None:
        self._figures = figures
        self._delivery = delivery
        self._events = stores.events
        self._feed = Feed(
            stores.registry,
            limit=options.limit,
            slots=engine.max_concurrency,
            drew=self._drew,
        )
        # Nobody waits for a run's answers one by one: it waits as long as the API asks it to.
        self._merge = merge(
            engine,
            self._feed,
            retry=attrs.evolve(engine.retry, longest_wait=math.inf),
            recovery=options.recovery,
            retrying=self._retrying,
        )
        self._channel: MergeChannel | None = None
        self.live = LiveStreams(engine, prices, stores.journal.clock)
        before = figures.before
        self.stopping = Stopping(
            url=engine.base_url,
            max_failures=options.max_failures,
            done=before.done,
            failed=before.failed,
            same_url=stores.same_url,
        )
        self._restarted: dict[str, int] = {}  # by the stream's id: the first attempt that counts

    async def __aenter__(self) -> Self:
        self._channel = await self._merge.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Cancels what still runs. What has ended by now is an answer, even if nobody has iterated to it."""
        assert self._channel is not None
        try:
            with suppress(anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                while True:
                    self._take(self._channel.receive_nowait())
        finally:
            self.release_held()
            self._delivery.note(self.live)
            await self._merge.__aexit__(exc_type, exc, tb)

    @property
    def failure(self) -> Exception | None:
        """The exception that ended the feed early, if one did."""
        return self._feed.failure

    async def receive(self, until: float) -> None:
        """Waits for events, at most until this time of the event loop's clock, and takes what has come.

        Raises `anyio.EndOfStream` when all streams have ended, and `OutputError` when events can't be written.
        Cancellation loses no event.
        """
        assert self._channel is not None
        batch: list[TaggedEvent] = []
        until = min(until, self.stopping.due)
        if until == math.inf:
            batch = await self._channel.receive_batch()
        else:
            with anyio.move_on_at(until):
                batch = await self._channel.receive_batch()
        for tagged in batch:
            self._take(tagged)
        if anyio.current_time() >= self.stopping.due:
            self.stopping.look(anyio.current_time())
        self._obey()
        if (events := self._events) is not None and events.waiting:
            await uninterrupted(lambda: to_thread.run_sync(events.flush))

    def drain(self) -> None:
        """Begins no more requests, and cancels those that still wait in the engine."""
        assert self._channel is not None
        self._figures.stopping = True
        self._feed.stop()
        self._channel.exhaust()
        self._merge.cancel_waiting("the run was drained")

    def release_held(self) -> None:
        """Delivers the endings that were held until more was known: no more will come."""
        self._delivery.add(*self.stopping.exhausted())

    def _drew(self, drawn: Numbered) -> None:
        self._figures.started += 1
        self._delivery.drew(drawn)
        self.stopping.sent(drawn.request.params.get("model"), anyio.current_time())

    def _retrying(self, actor: StreamActor) -> None:
        """An attempt failed, and another is to follow."""
        error = actor.attempts[-1].error
        if error is not None:
            self._delivery.add(*self.stopping.failed_attempt(error, anyio.current_time()))
            self._obey()

    def _obey(self) -> None:
        """Shows what was decided, and drains a run that is to stop."""
        self._figures.trouble = self.stopping.trouble
        if self.stopping.stop is not None and not self._figures.stopping:
            self.drain()

    def _take(self, tagged: TaggedEvent) -> None:
        event = tagged.event
        self._figures.events += event.seq - event.first_seq + 1
        if self._events is not None:
            self._events.add(tagged)
        if isinstance(event, RestartEvent):
            self._restarted[event.stream_id] = event.attempt
        elif isinstance(event, StreamStartEvent) and tagged.custom_id is not None:
            self.live.began(tagged.custom_id, event.stream_id)
            self._delivery.add(*self.stopping.began())
        if not isinstance(event, StreamEndEvent):
            return
        result = event.result
        self.live.ended(str(result.custom_id))
        over = self._figures.over_with(result, self._restarted.pop(result.stream_id, 1))
        self._feed.ended()
        if answers := self.stopping.ended(over, anyio.current_time()):
            self._delivery.add(*answers)
        else:
            self._delivery.lose(over)  # unless it becomes an answer later
