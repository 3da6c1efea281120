"""The gateway as a server: it listens, answers for itself, and drains.

It runs in the event loop of its engine, which is asyncio's: on trio there are no protocols that are called from a
socket's callback.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache, partial

import anyio
import attrs
import httpx2
from anyio import TaskHandle

from ...actors.stream import StreamResult
from ...actors.wire import json_line
from ..api.sdk_internals import http_client_of
from ..budget.budget import owner_of
from ..engine import Engine
from ..gateway import Answer, Foreign, Gateway, Transit, error_answer, is_messages, last_answer
from ..gateway.foreign import RawHeaders, key_in
from ..telemetry import warn
from ..telemetry.parents import called_by
from .asked import Asked
from .callers import Caller, Callers
from .connection import Connection
from .page import PAGE, PAGE_HEADERS
from .passing import pass_on, redirected
from .rules import OWN_PATHS, TOKEN_HEADER, Rules
from .tally import Tally, shown

__all__ = ["Server"]

_LOOK = 5.0  # seconds between two looks after connections from which nothing comes
_LAST_WORDS = 5.0  # seconds that clients have to read how their requests ended
_TO_HEAR_WHY = 32  # connections beyond the most that are told why they are closed
_JSON = (b"content-type", b"application/json")
_KEYS = (b"x-api-key", b"authorization")

_parsed = lru_cache(maxsize=100)(httpx2.URL)  # nearly all requests are for one, and parsing it costs more than the rest


class Server:
    """A gateway to the API of the engine's model. `rules` say who may ask for what.

    `held` are the headers with the key that it holds, for all callers; without them each caller's own key passes
    through. `spend_cap` is in dollars for each caller. Of more than `most_connections` those are closed that have asked
    nothing for longest; when all are at work, a new one is turned away.
    """

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        *,
        held: RawHeaders | None = None,
        spend_cap: float | None = None,
        most_connections: int = 10_000,
    ) -> None:
        client = engine.connection.client
        self._engine = engine
        self._gateway = Gateway(engine)
        self._send = partial(http_client_of(client).send, stream=True, follow_redirects=False)
        self._base_url = str(client.base_url).rstrip("/")
        self._via = b"manystream-%b" % secrets.token_hex(4).encode()
        self._rules = attrs.evolve(rules, via=self._via, capped=spend_cap is not None)
        self._held = held
        self._callers = Callers(spend_cap, engine.forget, counted_by=lambda key: owner_of((self._base_url, key)))
        self._connections: set[Connection] = set()
        self._most_connections = most_connections
        self._full_told = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.tally = Tally()
        """What it has done so far."""
        self.draining = False
        """Whether no new requests are taken."""

    # -- its life

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncGenerator[list[tuple[str, int]]]:
        """A block in which clients may connect; gives the addresses. Left, it has answered all of them or broken off.

        Raises `OSError` when it can't listen there.
        """
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(partial(Connection, self), host, port, backlog=1024)
        looking = self._engine.start_side_task(self._look_after())
        try:
            yield [each.getsockname()[:2] for each in listener.sockets]
        finally:
            listener.close()
            looking.cancel()
            await self._say_goodbye()

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(_LOOK)
            now = loop.time()
            for connection in tuple(self._connections):
                connection.sweep(now)

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return sum(connection.busy for connection in self._connections)

    def drain(self) -> None:
        """From now on new requests are refused, and `/health` says so. Those that were taken go on."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.close_if_unasked()

    async def wait_until_drained(self) -> None:
        """Returns when no request is being answered."""
        while any(connection.busy for connection in self._connections):
            self._idle.clear()
            await self._idle.wait()

    async def _say_goodbye(self) -> None:
        with anyio.CancelScope(shield=True):
            self.drain()
            for connection in tuple(self._connections):
                connection.give_up()
            with anyio.move_on_after(_LAST_WORDS):
                while self._connections:
                    self._idle.clear()
                    await self._idle.wait()
            for connection in tuple(self._connections):
                connection.abort()

    # -- for its connections

    def opened(self, connection: Connection) -> None:
        """A client has connected."""
        self._connections.add(connection)
        if len(self._connections) > self._most_connections:
            self._make_room(connection)

    def _make_room(self, newcomer: Connection) -> None:
        stay = [one for one in self._connections if not one.closing]
        if len(stay) <= self._most_connections:
            return
        unasked = (one for one in stay if one is not newcomer and not one.busy)
        longest = min(unasked, key=lambda one: one.touched, default=None)
        if longest is not None:
            longest.abort()
            return
        if not self._full_told:
            self._full_told = True
            most = f"{self._most_connections:,}"
            warn(f"{most} clients are connected and at work: others are turned away (see ulimit -n)")
        if len(self._connections) <= self._most_connections + _TO_HEAR_WHY:
            newcomer.turn_away(error_answer(529, "overloaded_error", "the gateway has too many connections"))
        else:
            newcomer.abort()

    def lost(self, connection: Connection) -> None:
        """A client's connection is gone."""
        self._connections.discard(connection)
        self._idle.set()

    def refusal(self, asked: Asked) -> Answer | None:
        """The answer to a request that is not to be answered, or that the gateway answers itself; None for others."""
        answer = self._rules.refusal(asked)
        if answer is None and asked.path in OWN_PATHS:
            return self._own(asked)
        if answer is None and self.draining:
            message = "the gateway is shutting down: nothing was sent"
            answer = attrs.evolve(
                error_answer(503, "api_error", message), headers=[_JSON, (b"x-should-retry", b"true")]
            )
        self.tally.refused += answer is not None
        return answer

    def _own(self, asked: Asked) -> Answer:
        if asked.method not in ("GET", "HEAD"):
            return error_answer(
                405, "invalid_request_error", f"{asked.path} is there to be read", more=[(b"allow", b"GET")]
            )
        if asked.path == "/":
            return Answer(200, PAGE_HEADERS, PAGE)
        if asked.path == "/health":
            ready = not (self.draining or self._engine.closing)
            return Answer(200 if ready else 503, [_JSON], json_line({"status": "ready" if ready else "draining"}))
        told = shown(
            self.tally,
            self._engine.stats(),
            self._callers,
            connections=len(self._connections),
            draining=self.draining,
        )
        return Answer(200, [_JSON, (b"cache-control", b"no-store")], json_line(told))

    def is_message(self, asked: Asked) -> bool:
        """Whether the engine runs it, once it is whole."""
        return is_messages(asked.method, asked.path)

    def begin(self, asked: Asked, body: bytes) -> Transit | Answer:
        """Runs a request for a message."""
        caller = self._callers.enter(None if self._held is not None else key_in(asked.headers))
        try:
            foreign = Foreign(asked.method, self._url(asked), self._headers(asked), body)
        except httpx2.InvalidURL as exc:
            self._callers.leave(caller)
            return error_answer(400, "invalid_request_error", f"the path makes no URL: {exc}")
        credentials = caller.credentials if self._held is None else self._engine.connection.credentials
        with called_by(asked.headers):
            transit = self._gateway.begin(
                foreign, self._send, credentials=credentials, cap=caller.cap, on_end=partial(self._ended, caller)
            )
        if isinstance(transit, Answer):
            self._callers.leave(caller)
            self.tally.refused += 1
        else:
            self.tally.messages += 1
        return transit

    def _ended(self, caller: Caller, result: StreamResult) -> None:
        self._callers.leave(caller)
        self.tally.ended(result)

    def answer_of(self, transit: Transit) -> Answer:
        """The answer to a request that is over, of which nothing was sent."""
        answer = transit.answer or last_answer(transit.result)
        if 300 <= answer.status < 400:
            where = next((value for name, value in answer.headers if name.lower() == b"location"), None)
            return error_answer(502, "api_error", redirected(None if where is None else where.decode("latin-1")))
        return answer

    def pass_on(self, asked: Asked, connection: Connection) -> TaskHandle[None] | Answer:
        """Passes a request on; its task answers by the connection's `reply`. Returns an answer where that can't be."""
        try:
            url = self._url(asked)
        except httpx2.InvalidURL as exc:
            return error_answer(400, "invalid_request_error", f"the path makes no URL: {exc}")
        self.tally.passed += 1
        return self._engine.start_side_task(pass_on(asked, connection, self._send, url, self._headers(asked)))

    def stop(self, transit: Transit) -> None:
        """The gateway can't finish this request."""
        self._gateway.host.request_cancel(transit.actor, "engine", "the gateway shut down")

    def drop(self, transit: Transit) -> None:
        """The client of this request has gone."""
        self._gateway.drop(transit, "the client went away")

    def _url(self, asked: Asked) -> httpx2.URL:
        return _parsed(self._base_url + asked.target)

    def _headers(self, asked: Asked) -> RawHeaders:
        """The headers that go on. Those of the connection are dropped by who sends them."""
        kept = [header for header in asked.headers if header[0].lower() != TOKEN_HEADER]
        if self._held is not None:
            kept = [*(header for header in kept if header[0].lower() not in _KEYS), *self._held]
        return [*kept, (b"via", b"1.1 " + self._via)]
