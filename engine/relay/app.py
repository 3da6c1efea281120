"""A hub as a whole ASGI app: a stream is started, gone on with, and stopped."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ...actors.stream import StreamRequest
from ..admission import EngineBusy
from .access import Authorize, from_own_page
from .encoders import Protocol as ProtocolName
from .replies import (
    BUSY,
    ELSEWHERE,
    FOREIGN_PAGE,
    GOING,
    NO_CONTENT,
    NOTHING,
    STORE_AWAY,
    Reply,
    error_reply,
    json_reply,
)
from .requests import MAX_BODY, Asked, BodyRefused, read_body
from .response import RelayResponse, Streams, nothing_for
from .stores import StoreFailed
from .tab import Receive, Scope, Send

__all__ = ["Build", "Hub", "RelayApp"]

Build = Callable[[Scope, Asked], Awaitable[StreamRequest]]
"""Makes the request of what a browser asks: loads the history, and chooses the model, the system prompt, the tools and
the limits."""

_ROUTES = "POST /, GET /KEY/stream or POST /KEY/stop"
_POST_ONLY = error_reply(405, "method_not_allowed", _ROUTES, ((b"allow", b"POST"),))
_GET_ONLY = error_reply(405, "method_not_allowed", _ROUTES, ((b"allow", b"GET, HEAD"),))
_NO_KEY = error_reply(400, "invalid_request", "the body names no chat: id (threadId in AG-UI) is missing")


class Hub(Protocol):
    """What the app needs of its hub."""

    @property
    def going(self) -> bool: ...

    async def start(self, request: StreamRequest, key: str | None = None, *, run_id: str | None = None) -> Any:
        """Starts a stream."""
        ...

    async def stop(self, id_or_key: str, *, reason: str | None = None) -> bool:
        """Asks a stream to stop."""
        ...

    async def settled(self, key: str) -> None:
        """Waits until the ends of a key's streams are told."""
        ...


class RelayApp:
    """An ASGI app. Made by `hub.app`."""

    def __init__(
        self,
        hub: Hub,
        streams: Streams,
        protocol: ProtocolName,
        authorize: Authorize,
        build: Build,
        origins: tuple[str, ...],
        max_body: int = MAX_BODY,
    ) -> None:
        for name, given in (("authorize", authorize), ("build", build)):
            if not callable(given):
                raise TypeError(f"{name} is an async function, not {type(given).__name__}")
        if max_body < 1:
            raise ValueError(f"max_body is a number of bytes, 1 or more, not {max_body}")
        self._hub = hub
        self._streams = streams
        self._protocol: ProtocolName = protocol
        self._authorize = authorize
        self._build = build
        self._origins = origins
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})  # before it is accepted: the server answers 403
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a relay speaks http, not {scope['type']}")
        try:
            answer = await self._answer(scope, receive)
        except BodyRefused as refused:
            answer = error_reply(refused.status, "invalid_request", str(refused))
        except StoreFailed:
            answer = STORE_AWAY
        if isinstance(answer, Reply):
            await answer.send(send)
        else:
            await answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Reply | RelayResponse:
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/").rstrip("/")
        name, _, verb = path.rpartition("/")
        match scope["method"], path and verb:
            case "POST", "" | "stop" if not from_own_page(scope, self._origins):
                return FOREIGN_PAGE
            case "POST", "":
                return await self._start(scope, receive)
            case "POST", "stop" if name:
                return await self._stop(scope, name)
            case "GET" | "HEAD", "stream" if name:
                return self._response(name)
            case _, verb if verb == "" or (verb == "stop" and name):
                return _POST_ONLY
            case _, "stream" if name:
                return _GET_ONLY
            case _:
                return NOTHING

    def _response(self, name: str) -> RelayResponse:
        return RelayResponse(self._streams, name, self._protocol, self._authorize, {})

    async def _start(self, scope: Scope, receive: Receive) -> Reply | RelayResponse:
        if self._hub.going:
            return GOING
        asked = read_body(self._protocol, await _body(receive, self._max_body), max_bytes=self._max_body)
        if asked.key is None:
            return _NO_KEY
        if not await self._authorize(scope, asked.key, "start"):
            return nothing_for(self._protocol)
        await self._hub.settled(asked.key)
        request = await self._build(scope, asked)
        try:
            ticket = await self._hub.start(request, asked.key, run_id=asked.run_id)
        except EngineBusy:
            return BUSY
        except RuntimeError:
            if self._hub.going:  # it was told so while `build` ran
                return GOING
            raise
        if self._protocol == "native":
            return json_reply(201, {"id": ticket.id})
        return self._response(ticket.id)

    async def _stop(self, scope: Scope, name: str) -> Reply:
        stream = await self._streams.find(scope, name, "stop", self._authorize)
        if stream is None:
            return ELSEWHERE if self._streams.is_elsewhere(name) else NOTHING
        await self._hub.stop(name, reason="stopped by the user")
        return NO_CONTENT


async def _body(receive: Receive, max_bytes: int) -> bytes:
    """The request's body, or the beginning of one that is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyRefused("the client left before its body had come")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes or not message.get("more_body", False):
            return b"".join(chunks)


async def _live(receive: Receive, send: Send) -> None:
    """The app has nothing to start or stop: its hub lives longer."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
