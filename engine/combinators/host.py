"""What combinators need of an engine: to launch streams, to stop them, and to run tasks of their own."""

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from typing import Any, Literal, Protocol, TypeAlias

from anyio import TaskHandle

from ...actors.actor import StreamActor
from ...actors.channel import Home, OnAbandon
from ...actors.stream import OutputT, Recovery, RequestLike, RetryPolicy

__all__ = ["Host", "Requests", "Until"]

Until = Literal["first_content", "complete"]
"""What wins a race."""

Requests: TypeAlias = Iterable[RequestLike[OutputT]] | AsyncIterable[RequestLike[OutputT]]


class Host(Protocol):
    """An engine, as the combinators see it."""

    @property
    def home(self) -> Home | None:
        """The event loop that it belongs to; None before it is entered."""
        ...

    @property
    def max_concurrency(self) -> int:
        """How many streams run at a time."""
        ...

    def launch(
        self,
        request: RequestLike,
        *,
        on_abandon: OnAbandon = "detach",
        bounded: bool = True,
        released: Callable[[StreamActor], None] | None = None,
        retry: RetryPolicy | None = None,
        recovery: Recovery | None = None,
        retrying: Callable[[StreamActor], None] | None = None,
        keep: bool = False,
    ) -> StreamActor:
        """Takes a request in; it starts now or in its turn. `bounded` respects `max_queued`; `released` is called when
        the stream's connection is released, and `retrying` when an attempt failed and another is to follow; `retry`
        and `recovery` are those of a request that brings none, in place of the engine's. `keep` lets `get` find the
        stream after its end. Raises as `Engine.submit` does."""
        ...

    def start_side_task(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a combinator's task until it ends or the engine is left."""
        ...

    def request_cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread."""
        ...

    def ask_to_cancel(self, actor: StreamActor, reason: str | None) -> None:
        """Asks a stream to stop, from any thread. This is what a handle's `cancel` does."""
        ...
