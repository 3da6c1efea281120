"""The hub: streams that browsers can leave and come back to.

A stream belongs to the hub and not to the connection that asked for it. Its event log is the buffer, and each tab is a
cursor in that log: so a reload, a second tab and a network that comes back go on at the very event, and cost the stream
nothing.
"""

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import attrs
from anyio.lowlevel import checkpoint_if_cancelled

from ...actors.actor import StreamActor
from ...actors.channel import Cursor
from ...actors.handle import StreamHandle
from ...actors.prefix import Prefix
from ...actors.stream import RequestLike, StreamRequest, StreamResult
from ..finish import uninterrupted
from .access import Authorize, origins_of
from .encoders import PROTOCOLS, Shown
from .encoders import Protocol as RelayProtocol
from .endings import Endings
from .ids import new_owner
from .interrupted import parts_of
from .kept_requests import kept_request, request_again
from .relayed import Relayed
from .requests import MAX_BODY
from .response import response_for
from .settings import MAX_KEPT, HubSettings
from .shared import SharedStreams
from .signals import SignalWatch
from .stores import store_of
from .streams import PARTING, RelayedStreams

if TYPE_CHECKING:
    from ..engine import Engine
    from .app import Build, RelayApp
    from .response import RelayResponse
    from .stores import Head, Store

__all__ = ["RelayProtocol", "StreamHub", "Ticket"]


@attrs.frozen
class Ticket:
    """A stream that a hub has started. Whoever has its `id` may read it."""

    id: str
    key: str | None = None


class StreamHub:
    """Streams to browsers: `async with Engine(model) as engine, StreamHub(engine) as hub`.

    `start` begins a stream, `response` is the ASGI response that tells it to a browser, from the beginning or from
    where the browser left off, and any number of browsers may read one stream. It runs on whether anybody reads it or
    not; with `linger`, one that nobody has read for so many seconds is cancelled. Without it, a tab that is closed pays
    for the whole answer.

    `retention` is in seconds: so long a stream can be read after its end, as far as all that is kept so stays below
    `max_kept` characters, of which each stream takes 2,000 beside its text. `keepalive` seconds after the last frame a
    comment is sent. `pace` is the time in seconds from one frame to the next, at least: the first after a pause comes
    at once, and what comes meanwhile is joined. A client that takes nothing for `send_timeout` seconds is dropped; it
    may come again.

    `authorize` decides who may read and stop streams. Without it only a stream's id, which cannot be guessed, gives
    access; keys are not looked up. `shown` says what browsers are told of thinking, tools and usage. `on_end` is
    called with a stream's key (or id) and result when it has ended, to store the answer.

    `store` shares the streams with other processes: `"sqlite:PATH"` with those of this machine, `"redis://HOST"` (the
    extra `redis`) with those of any. A browser may then come to each of them. A process that dies, or does not renew
    its `lease` (seconds) in time, loses its streams to the others: they end as `truncated`, with what was written; or,
    with `takeover="continue"`, the model goes on where a plain text broke off, for which the store keeps the requests
    (`keep_request=True`). With `deliver="logged"` tabs are told only what was written, up to a fifth of a second later.

    For start-up hooks and fixtures there are `open` and `aclose` in place of the block, as an engine has them.

    Leaving the block sends the tabs away (see `drain`), and lets what runs finish for `grace` seconds before that is
    cancelled. An `on_end` that has not returned five seconds later is cut off, and the log says so.

    Making one raises `TypeError` or `ValueError` for settings that make no sense. It is used in the event loop of its
    engine.
    """

    def __init__(
        self,
        engine: "Engine",
        *,
        retention: float = 300.0,
        keepalive: float = 15.0,
        pace: float = 0.0,
        linger: float | None = None,
        authorize: Authorize | None = None,
        on_end: Callable[[str, StreamResult], Awaitable[object]] | None = None,
        send_timeout: float = 60.0,
        max_kept: int = MAX_KEPT,
        shown: Shown | None = None,
        grace: float = 5.0,
        store: "Store | str | None" = None,
        deliver: Literal["at-once", "logged"] = "at-once",
        lease: float = 10.0,
        takeover: Literal["interrupted", "continue"] = "interrupted",
        keep_request: bool = False,
    ) -> None:
        self._settings = HubSettings(
            retention=retention,
            keepalive=keepalive,
            pace=pace,
            linger=linger,
            send_timeout=send_timeout,
            max_kept=max_kept,
            shown=shown or Shown(),
            grace=grace,
            deliver=deliver,
            lease=lease,
            takeover=takeover,
            keep_request=keep_request,
        )
        if takeover == "continue" and not keep_request:
            raise ValueError('takeover="continue" needs the requests in the store: keep_request=True')
        self._store = store_of(store)
        self._engine = engine
        self._authorize = authorize
        self._endings = Endings(engine, on_end)
        self._streams = RelayedStreams(engine, self._settings)
        self._to_go = anyio.Event()
        self._closing = anyio.Lock()
        self._by_hand = False
        self._signals = SignalWatch(self._signalled)

    # -- entering and leaving

    async def __aenter__(self) -> Self:
        streams, engine, settings = self._streams, self._engine, self._settings
        streams.begin()
        if self._store is not None:
            streams.shared = shared = SharedStreams(
                self._store,
                new_owner(streams.instance),
                streams.clock,
                lease=settings.lease,
                retention=settings.retention,
                logged=settings.deliver == "logged",
                go_on=self._go_on,
                told=self._interrupted,
            )
            engine.start_side_task(shared.run_writer())
            engine.start_side_task(shared.run_reader())
        engine.start_side_task(self._drain_when_signalled())
        self._signals.begin()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._signals.end()
        try:
            if exc is None:
                await self.drain()
                with anyio.move_on_after(self._settings.grace):
                    await self._endings.all_told()
        finally:
            self._streams.going = True
            await uninterrupted(self._leave)

    async def open(self) -> None:
        """Enters the hub without a block: `aclose` leaves it, in this task or another one of the same event loop, and
        before its engine is closed. Raises `RuntimeError` the second time, and without a running engine."""
        await self.__aenter__()
        self._by_hand = True

    async def aclose(self) -> None:
        """Leaves a hub that was opened with `open`, as leaving its block does. It may be called again, and does nothing
        to a hub that was never opened. A cancellation cancels what runs at once, and is raised when that has
        stopped."""
        async with self._closing:
            if self._by_hand:
                self._by_hand = False
                await self.__aexit__(None, None, None)

    async def _leave(self) -> None:
        """What still runs is left to others, where they can go on with it; else it is cancelled, and told so."""
        shared = self._streams.shared
        if shared is not None and self._settings.takeover == "continue":
            await shared.leave(PARTING)
        for stream in self._streams.shelf:
            if stream.handle is not None and stream.ended_at is None:
                stream.handle.cancel("the hub was closed")
        await self._endings.close(PARTING)
        if shared is not None:
            await shared.leave(PARTING)

    @property
    def going(self) -> bool:
        """Whether it is being left, or told to drain, or its engine is, and starts nothing more."""
        return self._streams.going or self._engine.closing

    # -- streams

    async def start(self, request: RequestLike, key: str | None = None, *, run_id: str | None = None) -> Ticket:
        """Starts a stream. `key` is the app's own name for what it belongs to, such as the chat's id: browsers may then
        ask for the latest stream of the key, if `authorize` lets them. `run_id` is AG-UI's name for the run.

        Raises as `engine.submit` does, `RuntimeError` when the hub drains, and `ConnectionError` when the store can't
        be reached. Nothing was sent then, nor when it was cancelled, and `on_end` is not called.
        """
        self._check_going()
        streams = self._streams
        streams.shelf  # noqa: B018 - it raises before the hub is entered
        if not isinstance(request, StreamRequest):
            request = StreamRequest(request)
        stream_id = streams.new_id()
        written = anyio.Event()
        if streams.shared is None:
            written.set()
        actor = self._launch(request, lambda: stream, written.wait)
        handle = self._handle(actor)
        stream = Relayed(stream_id, key, handle.recording(), streams.clock, handle=handle, run_id=run_id)
        self._endings.expect(stream)
        if streams.shared is not None:
            try:
                kept = kept_request(request) if self._settings.keep_request else None
                await streams.shared.create(stream_id, key, stream.run_id, kept)
                await checkpoint_if_cancelled()  # who asked may have left meanwhile
                self._check_going()
            except BaseException:
                self._endings.forget(stream)
                streams.shared.discard(stream)
                handle.cancel("it was never begun")
                raise
            streams.shared.write(stream)
            written.set()
        streams.add(stream)
        return Ticket(stream_id, key)

    def _check_going(self) -> None:
        if self._streams.going:
            raise RuntimeError("the hub is going away")

    def _launch(
        self,
        request: StreamRequest,
        stream: Callable[[], Relayed],
        until: Callable[[], Awaitable[object]] | None = None,
    ) -> StreamActor:
        return self._engine.launch(request, released=lambda actor: self._ended(stream(), actor), until=until)

    def _handle(self, actor: StreamActor) -> StreamHandle:
        return StreamHandle(actor, self._engine.ask_to_cancel, self._engine.home)

    def _ended(self, stream: Relayed, actor: StreamActor) -> None:
        assert actor.result is not None
        if stream.fenced:
            self._endings.forget(stream)  # who took it over tells of it
            return
        if not stream.is_copy:
            stream.ended()
        self._endings.came(stream, actor.result)

    def _interrupted(self, stream: Relayed, result: StreamResult) -> None:
        """A stream that another process left was ended here."""
        self._endings.expect(stream)
        self._endings.came(stream, result)

    def _go_on(self, head: "Head", stream: Relayed) -> Cursor | None:
        """Goes on with a stream that another process left. Returns what is to be written of it; None when it can't."""
        self._streams.adopt(stream)
        if self._settings.takeover != "continue" or head.request is None or self._streams.going:
            return None
        try:
            request = request_again(head.request)
        except ValueError:
            return None
        prefix = Prefix(stream.recording.seq, parts_of(stream.recording).parts())
        if not prefix.may_be_continued(attrs.evolve(request, params=self._engine.params_for(request))):
            return None
        try:
            actor = self._launch(request, lambda: stream)
        except (RuntimeError, ValueError):
            return None  # the engine is full, or has no price for it
        self._endings.expect(stream)
        actor.go_on_behind(prefix)
        stream.handle = self._handle(actor)
        return stream.handle.recording().after(prefix.seq)

    def response(
        self, id_or_key: str, protocol: RelayProtocol = "native", *, authorize: Authorize | None = None, **encoding: Any
    ) -> "RelayResponse":
        """The response that tells a stream to a browser: an ASGI callable, and a Starlette `Response` where Starlette
        is in use.

        `protocol` is `"native"` (events that a browser's `EventSource` reads, and goes on with after a cut), `"vercel"`
        (the AI SDK's `useChat`) or `"agui"`; `encoding` is what its encoder takes besides. Where there is no such
        stream, and alike where it is another's, the response is 404, or 204 for `"vercel"`, as `useChat` wants it.

        Raises `ValueError` for an unknown protocol.
        """
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
        return response_for(self._streams, id_or_key, protocol, authorize or self._authorize, encoding)

    async def stop(self, id_or_key: str, *, reason: str | None = None) -> bool:
        """Asks a stream to stop, or all of a key that run, here and at whoever shares the store. What was received is
        kept. Returns whether there was one that ran. The caller has made sure that whoever wants it may.

        Raises `ConnectionError` when the store can't be reached; what runs here is stopped all the same.
        """
        streams = self._streams
        stream = await streams.of_id(id_or_key)
        running = streams.shelf.running(id_or_key) if stream is None else [stream] if stream.ended_at is None else []
        for one in running:
            one.stop(reason)
        if streams.shared is not None and (stream is None or any(one.handle is None for one in running)):
            return await streams.shared.stop(id_or_key, reason or "stopped") or bool(running)
        return bool(running)

    async def settled(self, key: str) -> None:
        """Waits until `on_end` has returned for the streams of a key that have ended or were stopped, five seconds at
        most: a browser can ask the next question before the answer to its last one is stored. `hub.app` waits before
        it calls `build`; routes of your own wait before they load the history. Streams of other processes are not
        waited for.
        """
        await self._endings.settled(key)

    async def drain(self) -> None:
        """Sends the tabs away, without an ending of their streams and with the word to come again soon, and starts no
        more streams. Returns when they have gone, or after five seconds; one that takes nothing for so long is dropped.
        What runs goes on. A browser that still comes is told what there is, and sent away likewise.

        When the process is told to stop by a signal, a hub does this by itself: servers wait for open responses, and
        only then for the app.
        """
        tabs = self._streams.send_away()
        with anyio.move_on_after(PARTING):
            for tab in tabs:
                await tab.done.wait()

    def _signalled(self) -> None:
        home = self._engine.home
        if home is not None:
            home.soon(self._to_go.set)

    async def _drain_when_signalled(self) -> None:
        await self._to_go.wait()
        await self.drain()

    def app(
        self,
        protocol: RelayProtocol,
        *,
        authorize: Authorize,
        build: "Build",
        origins: Iterable[str] = (),
        max_body: int = MAX_BODY,
    ) -> "RelayApp":
        """A whole ASGI app, to be mounted: `POST /` starts a stream, `GET /KEY/stream` goes on with the latest of a
        key, `POST /KEY/stop` stops it.

        `build` gets the ASGI scope and what the browser asks (`Asked`), and returns the request: it loads the history
        and chooses the model, the system prompt, the tools and the limits, so that a browser sets none of them.
        `authorize` is asked before it, as soon as the body has been read, in which the key stands: at most `max_body`
        bytes of it. A POST from a page of another origin is refused, unless it is among `origins`; for its
        browser to send one at all, the answers need CORS headers besides, which a middleware sets.
        """
        from .app import RelayApp

        return RelayApp(self, self._streams, protocol, authorize, build, origins_of(origins), max_body)
