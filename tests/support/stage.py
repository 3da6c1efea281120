"""A stream without an engine or a network: a test writes the response's bytes, and reads the stream as users do."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self, cast

import anyio
import attrs
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from manystream.actors import (
    Deadlines,
    ErrorInfo,
    Part,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    RetryPolicy,
    SnapshotEvent,
    State,
    StreamEndEvent,
    StreamHandle,
    StreamRequest,
)
from manystream.actors.actor import StreamActor
from manystream.actors.channel.mailbox import OnAbandon
from manystream.actors.response import ResponseFailed, Sink
from manystream.actors.stream import bare
from manystream.actors.stream.recovery import Recovery

__all__ = ["NO_WAIT", "Stage", "assert_gapless", "fold", "settle", "task_group"]

NO_WAIT = RetryPolicy(max_attempts=1000, base_delay=1e-9)

BROKEN = b"(the connection breaks)"


class Wire:
    """A response whose bytes the test writes, also after it was opened. It is the iterator over them, too."""

    request_id = "req_stage"
    rate_limits: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._items: deque[bytes | None] = deque()
        self._more = anyio.Event()
        self.reads = 0

    def write(self, item: bytes | None) -> None:
        self._items.append(item)
        self._more.set()

    async def pump(self, sink: Sink) -> bool:
        async for chunk in self:
            if not sink(chunk):
                return False
        return True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._items:
            self._more = anyio.Event()
            await self._more.wait()
        item = self._items.popleft()
        if item is None:
            raise StopAsyncIteration
        if item == BROKEN:
            try:
                raise ConnectionResetError
            except OSError as exc:
                # As the real responses do: a traceback would hold their frames, and with them the stream.
                info = ErrorInfo("connection_error", "broken", retryable=True, cause=bare(exc))
                raise ResponseFailed(info) from exc
        self.reads += 1
        return item

    async def aclose(self) -> None:
        pass


class _Owner:
    """Nobody else is on the stage."""

    def __init__(self, abandoned: list[OnAbandon]) -> None:
        self._abandoned = abandoned

    def look_at(self, actor: StreamActor) -> None:
        pass

    def began(self, actor: StreamActor) -> None:
        pass

    def held(self, actor: StreamActor) -> None:
        pass

    def abandoned(self, actor: StreamActor, on_abandon: OnAbandon) -> None:
        self._abandoned.append(on_abandon)


class Stage:
    """One stream. Start `run` in a task group; `write`, `end` and `fail` are the server's side."""

    def __init__(
        self,
        *,
        on_abandon: OnAbandon = "detach",
        clock: Callable[[], float] = lambda: 0.0,
        recovery: Recovery = "fail",
        retry: RetryPolicy = NO_WAIT,
        request: StreamRequest | None = None,
        bills_dropped: Callable[[], float] | None = None,
    ) -> None:
        self.wire = Wire()
        """The response that is written to now; the stream may lag behind."""
        self._wires = [self.wire]
        self.sent: list[StreamRequest] = []
        """What each attempt sent."""
        # Neither the actor nor the handle holds the stage, or what they leave behind could not be told from it.
        self.abandoned = abandoned = list[OnAbandon]()
        self.scope = scope = anyio.CancelScope()
        self.actor = StreamActor(
            "s",
            request or StreamRequest("the prompt"),
            retry=retry,
            clock=clock,
            on_abandon=on_abandon,
            deadlines=Deadlines(),
            owner=_Owner(abandoned),
            recovery=recovery,
            bills_dropped=bills_dropped,
        )
        self.handle = StreamHandle(self.actor, lambda _actor, _reason: scope.cancel())

    async def run(self) -> None:
        """The stream's task: attempts without a pause between them."""
        actor = self.actor
        actor.life.to(State.QUEUED)
        with self.scope:
            while await actor.attempt(self._open) is not None:
                actor.requeue()
        actor.finish_cancelled("handle")
        actor.closed.set()

    async def _open(self, request: StreamRequest) -> Wire:
        self.sent.append(request)
        return self._wires[min(len(self.sent), len(self._wires)) - 1]

    def write(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.wire.write(chunk)

    def end(self) -> None:
        self.wire.write(None)

    def fail(self) -> None:
        """Breaks the connection; if another attempt follows, it reads what is written then."""
        self.wire.write(BROKEN)
        self.wire = Wire()
        self._wires.append(self.wire)


def task_group() -> "AbstractAsyncContextManager[TaskGroup, None]":
    """A task group for tests: what it raises is never swallowed, which its own type does not say."""
    return cast("AbstractAsyncContextManager[TaskGroup, None]", anyio.create_task_group())


async def settle() -> None:
    """Lets the other tasks do what they can."""
    for _ in range(8):
        await checkpoint()


def fold(events: Iterable[PartEvent]) -> tuple[Mapping[int, Part], StreamEndEvent | None]:
    """What a consumer holds after these events: the parts by index, and how the stream ended. Nothing but the end may
    follow the end."""
    parts: dict[int, Part] = {}
    end: StreamEndEvent | None = None
    for event in events:
        assert end is None
        match event:
            case SnapshotEvent(parts=told):
                parts = dict(told)
            case RestartEvent():
                parts = {}
            case PartStartEvent(index, part):
                parts[index] = part
            case PartDeltaEvent(index, delta):
                parts[index] = delta.apply(parts[index])
            case PartEndEvent(index, part):
                assert attrs.evolve(parts[index], complete=part.complete) == part
                parts[index] = part
            case StreamEndEvent():
                end = event
            case _:
                pass
    return parts, end


def assert_gapless(events: Iterable[PartEvent], *, after: int | None = None) -> None:
    """Each event begins one after the event before it ended; the first one right after `after`, if that is given."""
    for event in events:
        assert event.first_seq <= event.seq
        if after is not None:
            assert event.first_seq == after + 1
        after = event.seq
