"""The response that tells a stream to one browser, as raw ASGI: who asks, from where it goes on, and what is told when
there is nothing to tell."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anyio

from ...actors import SnapshotEvent
from ...actors.handle import StreamHandle
from .access import Action, Authorize, header
from .encoders import SHOWN, Encoder, Shown, encoder, native
from .encoders import Protocol as ProtocolName
from .ids import tag_of
from .relayed import Relayed
from .replies import ELSEWHERE, NO_CONTENT, NOTHING, STORE_AWAY, UNREADABLE, Reply, send_head
from .stores import StoreFailed
from .tab import Receive, Scope, Send, Tab

__all__ = ["HandleResponse", "RelayResponse", "Streams", "as_response", "nothing_for", "response_for"]

_NUMBERED = re.compile(r"([0-9a-f]+)-([0-9]{1,9})-([0-9]{1,15})")


class Streams(Protocol):
    """What a response needs of its hub."""

    @property
    def shown(self) -> Shown: ...

    async def find(self, scope: Scope, name: str, action: Action, authorize: Authorize | None) -> Relayed | None:
        """The stream of an id or a key, if the sender may do this with it."""
        ...

    def is_elsewhere(self, name: str) -> bool:
        """Whether another process issued this id."""
        ...

    def tab(self, stream: Relayed, make: Callable[..., Tab]) -> Tab:
        """A tab of a stream."""
        ...


def nothing_for(protocol: str) -> Reply:
    """What is told where there is no such stream, and alike where it is somebody else's."""
    return NO_CONTENT if protocol == "vercel" else NOTHING


class RelayResponse:
    """Tells a stream of a hub to one browser: an ASGI callable. Made by `hub.response`."""

    def __init__(
        self,
        streams: Streams,
        name: str,
        protocol: ProtocolName,
        authorize: Authorize | None,
        encoding: Mapping[str, Any],
    ) -> None:
        self._streams = streams
        self._name = name
        self._protocol: ProtocolName = protocol
        self._authorize = authorize
        self._encoding = encoding
        self._new_encoder()  # raises now for what it does not take

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response. Returns when it has ended, or when the client is gone."""
        try:
            stream = await self._streams.find(scope, self._name, "resume", self._authorize)
        except StoreFailed:
            await STORE_AWAY.send(send)
            return
        if stream is None:
            elsewhere = self._streams.is_elsewhere(self._name)
            await (ELSEWHERE if elsewhere else nothing_for(self._protocol)).send(send)
            return
        if stream.unreadable:
            await UNREADABLE.send(send)
            return
        after, opening = 0, b""
        if self._protocol == "native":
            tag = tag_of(stream.id)
            after, reset = _place(scope, tag, stream.kept)
            if stream.recording.ended and after == stream.recording.seq:
                await NO_CONTENT.send(send)  # it has all; at anything else an EventSource would ask again
                return
            shown = self._encoding.get("shown", self._streams.shown)
            encoding = native(tag=tag, epoch=stream.epoch, first_seq=after + 1, shown=shown)
            opening = encoding.reset() if reset else b""
        elif self._protocol == "agui":
            encoding = self._new_encoder(thread_id=stream.name, run_id=stream.run_id)
        else:
            # The API's own id of the message would change with a restart, and the browser would take it for another.
            encoding = self._new_encoder(message_id=stream.run_id)
        if scope["method"] == "HEAD":
            await send_head(send, encoding.headers)
            return

        def make(**given: Any) -> Tab:
            return Tab(stream.recording, encoding, after=after, opening=opening, **given)

        tab = self._streams.tab(stream, make)
        try:
            await tab.serve(receive, send)
        finally:
            stream.left(tab)

    def _new_encoder(self, **known: Any) -> Encoder:
        settings: dict[str, Any] = {"shown": self._streams.shown, **known, **self._encoding}
        return encoder(self._protocol, **settings)


def _place(scope: Scope, tag: str, kept: Callable[[int, int], bool]) -> tuple[int, bool]:
    """The number of the last event that the browser has of the stream with this tag, and whether it has to forget what
    it has: `kept` says whether an epoch and a number still name the event that they named then."""
    last = header(scope, b"last-event-id")
    if not last:
        return 0, False
    named = _NUMBERED.fullmatch(last)
    # What it has may be another answer's: the latest of this key when it came last, or a dead process's.
    if named is None or named[1] != tag or not kept(int(named[2]), int(named[3])):
        return 0, True
    return int(named[3]), False


class HandleResponse:
    """Tells the stream of a handle to one browser: an ASGI callable. Made by `relay_response`."""

    def __init__(
        self, handle: StreamHandle, protocol: ProtocolName, keepalive: float, encoding: Mapping[str, Any]
    ) -> None:
        self._handle = handle
        self._protocol: ProtocolName = protocol
        self._keepalive = keepalive
        self._encoding = encoding
        encoder(protocol, **encoding)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response. Returns when it has ended, or when the client is gone; the stream runs on."""
        recording = self._handle.recording()
        base, last, opening = recording.first.base, 0, b""
        if self._protocol == "native":
            tag = tag_of(self._handle.id)
            last, reset = _place(scope, tag, lambda epoch, seq: epoch == 1 and base <= seq <= recording.seq)
            if recording.ended and last == recording.seq:
                await NO_CONTENT.send(send)
                return
            encoding = native(tag=tag, first_seq=last + 1, shown=self._encoding.get("shown", SHOWN))
            opening = encoding.reset() if reset else b""
        else:
            encoding = encoder(self._protocol, **self._encoding)
        if scope["method"] == "HEAD":
            await send_head(send, encoding.headers)
            return
        before: list[SnapshotEvent] = []
        if base and not last:
            # What came before and is no longer kept is told in one event, with all that came since: what follows it
            # goes on there, since a text that grows meanwhile would be told from its beginning.
            before = [self._handle.snapshot()]
            last = before[0].seq
        tab = Tab(recording, encoding, anyio.current_time, after=last, before=before, opening=opening)
        await tab.serve(receive, send, keepalive=self._keepalive)


def response_for(
    streams: Streams, name: str, protocol: ProtocolName, authorize: Authorize | None, encoding: Mapping[str, Any]
) -> RelayResponse:
    """The response for a browser that asks for a stream of a hub."""
    return as_response(RelayResponse(streams, name, protocol, authorize, encoding))


def as_response(app: Any) -> Any:
    """`app` as what the framework in use takes for a response: FastAPI would encode any other object as JSON."""
    if "starlette.responses" not in sys.modules:
        return app
    from .starlette import StarletteResponse

    return StarletteResponse(app)
