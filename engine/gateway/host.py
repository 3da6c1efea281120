"""What a gateway needs of an engine."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from anyio import TaskHandle

from ...actors.actor import StreamActor
from ...actors.stream import Deadlines, RequestLike, RetryPolicy
from ..api.connected_model import ConnectedModel
from ..event_loop import HomeLoop
from ..submission import Way

__all__ = ["Host"]


class Host(Protocol):
    """An engine, as a gateway sees it."""

    @property
    def home(self) -> HomeLoop | None:
        """The event loop that it belongs to; None before it is entered."""
        ...

    @property
    def closing(self) -> bool:
        """Whether new work is refused. Raises `RuntimeError` before the engine is entered."""
        ...

    @property
    def connection(self) -> ConnectedModel:
        """The engine's own model, connected."""
        ...

    @property
    def deadlines(self) -> Deadlines:
        """How long each stage of a stream may take, unless a request says otherwise."""
        ...

    @property
    def retry(self) -> RetryPolicy:
        """How failures are tried again, unless a request says otherwise."""
        ...

    def launch(
        self,
        request: RequestLike,
        *,
        released: Callable[[StreamActor], None] | None = None,
        way: Way | None = None,
    ) -> StreamActor:
        """Takes a request in. With a `way` of its own it is foreign: nothing is added to its parameters."""
        ...

    def start_side_task(self, coro: Coroutine[Any, Any, None]) -> TaskHandle[None]:
        """Runs a task that is not a stream's, until it ends or the engine is left."""
        ...

    def request_cancel(self, actor: StreamActor, by: str, reason: str | None) -> None:
        """Asks a stream to stop, from the engine's own thread."""
        ...
