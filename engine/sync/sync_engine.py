"""The engine for synchronous code: scripts, views of a web framework, threads."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, overload

import anyio

from ...actors.channel import Policy
from ...actors.stream import (
    Deadlines,
    OutputLike,
    OutputT,
    Recovery,
    RequestLike,
    RetryPolicy,
    StreamRequest,
    StreamResult,
)
from ..admission import Group, Limits
from ..api.model import AnthropicModel
from ..budget.budget import Budget
from ..combinators.single import wanting
from ..engine import Engine
from ..prices import Price
from ..stats import EngineStats
from .exchange import Exchange
from .incoming import SyncResults
from .loop_thread import LoopThread
from .sync_stream import SyncHandle, SyncStream, open_stream

if TYPE_CHECKING:
    import anthropic

__all__ = ["EngineSettings", "SyncEngine"]


class EngineSettings(TypedDict, total=False):
    """The settings of an engine, as `Engine` describes them."""

    max_concurrency: int
    max_queued: int | None
    limits: Limits | Mapping[str, Limits] | Literal["ask"] | None
    admin_key: str | None
    groups: Mapping[str, Group] | None
    deadlines: Deadlines | None
    retry: RetryPolicy | None
    recovery: Recovery
    spend_cap: float | None
    prices: Mapping[str, Price] | None
    grace: float
    keep_ended: float
    budget: Budget | str | None


class SyncEngine:
    """An `Engine` for synchronous code: `with SyncEngine(model) as engine`. It takes the engine's settings.

    Its event loop runs in a thread of its own, on asyncio or trio. Any number of threads may use it at once; each call
    holds up only the thread that makes it. Requests are taken from an iterable in the thread that waits for the
    results, unless they are a list or a tuple.

    Ctrl-C cancels the call that waits, in which `KeyboardInterrupt` is raised. Leaving the block refuses new work and
    lets what runs finish for `grace` seconds; leaving it with an exception, that one too, cancels at once. In either
    case nothing of the engine runs any more when the block has been left.

    Its methods raise `RuntimeError` when it is not open, in its own event loop's thread, and after a fork. An engine
    that is never closed warns (`ResourceWarning`) when it is dropped, and ends with the process.
    """

    def __init__(
        self,
        model: AnthropicModel,
        *,
        backend: Literal["asyncio", "trio"] = "asyncio",
        **settings: Unpack[EngineSettings],
    ) -> None:
        if backend not in ("asyncio", "trio"):
            raise ValueError(f'backend is "asyncio" or "trio", not {backend!r}')
        self._engine = Engine(model, **settings)
        self._loop = LoopThread(self._engine, backend)

    # -- opening and closing

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop.close(exc_type, exc, tb)

    def open(self) -> None:
        """Opens the engine without a block, for start-up hooks and notebooks: `close` closes it, in any thread.

        Raises `MissingCredentialsError` when the model has no credentials, and `LimitsError` when the limits can't be
        had. Then, and when Ctrl-C comes meanwhile, it is closed.
        """
        self._loop.open()

    def close(self) -> None:
        """Closes the engine as leaving its block does: what runs may finish for `grace` seconds, and is cancelled at
        once when Ctrl-C comes meanwhile. It may be called again, and by several threads; each returns when nothing of
        the engine runs any more. Only a call inside of another, as a signal handler makes it, returns at once. Does
        nothing before the engine is opened.

        Raises what crashed the engine, if something did.
        """
        self._loop.close()

    def __del__(self) -> None:
        if getattr(self, "_loop", None) is not None and self._loop.is_open:
            warnings.warn("a SyncEngine was opened and never closed", ResourceWarning, 1, source=self)

    # -- one stream

    def submit(self, request: RequestLike[OutputT]) -> SyncHandle[OutputT]:
        """Starts a request and returns its handle at once. The stream runs on its own, whether anybody waits for it or
        not. Raises as `Engine.submit` does."""
        actor = self._loop.call(lambda: self._engine.launch(request, keep=True))
        return SyncHandle(actor, self._engine.ask_to_cancel, self._loop)

    @overload
    def stream(
        self, request: RequestLike, *, output: OutputLike[OutputT], policy: Policy | None = None
    ) -> SyncStream[OutputT]: ...
    @overload
    def stream(
        self, request: RequestLike[OutputT], *, output: None = None, policy: Policy | None = None
    ) -> SyncStream[OutputT]: ...
    def stream(
        self, request: RequestLike, *, output: OutputLike[Any] | None = None, policy: Policy | None = None
    ) -> SyncStream[Any]:
        """One stream to read directly: `for event in engine.stream(request)`, or over its `text_stream`; with an
        `output` (see `StreamRequest`) over its `items()` or `partials()`.

        The request starts at once. Raises as `Engine.submit` does; reading raises a `StreamError` after the last event
        when the stream did not end `complete`. The stream is cancelled when it is left before its end.
        """
        return open_stream(self._engine, self._loop, wanting(request, output), policy)

    def get(self, stream_id: str) -> SyncHandle | None:
        """The handle of a stream that waits or runs, or that ended less than `keep_ended` seconds ago; None for any
        other. As `Engine.get`."""
        actor = self._loop.call(lambda: self._engine.find(stream_id))
        return None if actor is None else SyncHandle(actor, self._engine.ask_to_cancel, self._loop)

    # -- other people's code

    def anthropic_client(
        self,
        *,
        client: "anthropic.Anthropic | None" = None,
        on_end: Callable[[StreamResult], None] | None = None,
        **sdk_options: Any,
    ) -> "anthropic.Anthropic":
        """The SDK's own `Anthropic`, whose requests for messages the engine runs, for any number of threads: as
        `Engine.anthropic_client`. `on_end` is called in the engine's thread. Of `client` it takes all but the HTTP
        client. Raises `TypeError` for a client of another kind."""
        return self._loop.call(lambda: self._engine.sync_anthropic_client(client=client, on_end=on_end, **sdk_options))

    def labels(
        self, *, group: str | None = None, priority: int | None = None, custom_id: str | None = None
    ) -> AbstractContextManager[None]:
        """A block in which the requests of this thread's clients have these labels: as `Engine.labels`."""
        return self._engine.labels(group=group, priority=priority, custom_id=custom_id)

    def cancel_group(self, group: str, *, reason: str | None = None) -> None:
        """Asks all streams of a group to stop, those too that wait."""
        self._engine.cancel_group(group, reason=reason)

    def stats(self) -> EngineStats:
        """What the engine is doing now, and what each waiting request waits for."""
        return self._loop.call(self._engine.stats)

    # -- many streams

    @overload
    def as_completed(self, requests: Iterable[StreamRequest[OutputT]]) -> SyncResults[OutputT | None]: ...
    @overload
    def as_completed(self, requests: Iterable[RequestLike]) -> SyncResults: ...
    def as_completed(self, requests: Iterable[RequestLike]) -> SyncResults[Any]:
        """The results of many requests as they come: `for result in engine.as_completed(requests)`.

        An ending is a value here, a `StreamResult` like any other. Requests are taken from the iterable as slots come
        free and while the results are waited for; what the iterable raises, iterating raises. What still runs is
        cancelled when the results are left before their end. Raises `TypeError` for what is no iterable of requests,
        an asynchronous one included.
        """
        exchange: Exchange[StreamResult, None] = Exchange(self._loop, requests)
        engine = self._engine

        async def complete() -> None:
            async with engine.as_completed(exchange.requests()) as done:
                with suppress(anyio.EndOfStream):
                    while True:
                        await exchange.give(await done.receive_batch())

        exchange.start(complete)
        return SyncResults(exchange)

    def gather(
        self, requests: Iterable[RequestLike[OutputT]], *, limit: int | None = None
    ) -> list[StreamResult[OutputT | None]]:
        """The results of many requests, in their order. An ending is a value here: failures are among the results.

        Requests are taken from the iterable as slots come free; `limit` runs fewer at a time than the engine would.
        What the iterable raises, and Ctrl-C, cancel what still runs. Raises `TypeError` for what is no iterable of
        requests, `ValueError` for a limit below 1, and `RuntimeError` when the engine is closed meanwhile.
        """
        exchange: Exchange[None, list[StreamResult[OutputT | None]]] = Exchange(self._loop, requests)
        exchange.start(lambda: self._engine.gather(exchange.requests(), limit=limit))
        while exchange.take():
            pass
        return exchange.outcome()
