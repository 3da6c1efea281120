"""The simulator without a socket: an httpx2 transport that answers in memory.

It performs the responder's steps with the event loop's own sleep and nothing else, so that a program on virtual time
sees the API's pace, stalls and breaks at the moments they would come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx2
from anyio.lowlevel import checkpoint

from ..service import Reply, Request, Send, Wait
from .ledger import Ledger, RecordedExchange
from .responder import Responder

__all__ = ["SimulatorTransport"]


class SimulatorTransport(httpx2.AsyncBaseTransport):
    """Made by `Simulator.transport`. Each request has a connection of its own, which ends with its response."""

    def __init__(self, responder: Responder, ledger: Ledger) -> None:
        self._responder = responder
        self._ledger = ledger

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answers one request.

        Raises httpx2.RemoteProtocolError where a connection would break. On cancellation the request is recorded as
        disconnected.
        """
        received = Request(
            request.method,
            request.url.raw_path.decode("ascii"),
            {name.lower(): value for name, value in request.headers.items()},
            await request.aread(),
            scheme=request.url.scheme,
        )
        exchange = self._ledger.received(received, self._ledger.connected())
        response = self._responder.respond(received)
        body = _Body(response, exchange, self._ledger)
        await body.begin()
        return httpx2.Response(
            response.status,
            headers=response.raw_headers,
            stream=body,
            request=request,
            extensions={"http_version": b"HTTP/1.1"},
        )


class _Body(httpx2.AsyncByteStream):
    """Performs a response's steps, one piece of the body at a time."""

    def __init__(self, response: Reply, exchange: RecordedExchange, ledger: Ledger) -> None:
        self._response = response
        self._exchange = exchange
        self._ledger = ledger
        self._first: bytes | None = None
        self._due = anyio.current_time()
        self._open = True

    async def begin(self) -> None:
        """Waits for what brings the head: the first piece, or the end of a body without any."""
        try:
            self._first = await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def _next(self) -> bytes | None:
        """The next piece, when it is due; None at the end."""
        await checkpoint()
        for step in self._response.steps:
            match step:
                case Send():
                    self._ledger.sending(self._exchange, self._response, step)
                    return step.data
                case Wait(seconds):
                    # Due times instead of naps: what the consumer takes is not added to the model's time.
                    self._due += seconds
                    await anyio.sleep(max(0.0, self._due - anyio.current_time()))
                case _:
                    self._ledger.settled(self._exchange, "cut")
                    raise httpx2.RemoteProtocolError("the simulator broke the connection")
        self._ledger.settled(self._exchange, "complete")
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        piece = self._first
        while piece is not None:
            if piece:
                yield piece
            piece = await self._next()

    async def aclose(self) -> None:
        """The client is done with the response; before its end this counts as a disconnection."""
        if self._open:
            self._open = False
            if self._exchange.outcome == "running":
                self._ledger.settled(self._exchange, "disconnected")
            self._ledger.disconnected()
