"""One connection of the server: HTTP/1.1 by h11's rules, requests one after the other, each response step by step.

Two tasks run for a connection. One only reads: what it reads waits in a short queue, and the end of the input cancels
the response that is running, which is how a client that goes away is noticed even while the response stalls. The other
one takes requests from the queue and performs the responses.
"""

from __future__ import annotations

import logging
import math
import socket
import ssl
import struct
import sys
from contextlib import suppress

import anyio
import h11
import structlog
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from ..batches import LARGEST_BATCH, PATH
from ..service import Abort, BadChunk, Close, RefusalError, Reply, Request, Send, Wait
from .ledger import Ledger, Outcome, RecordedExchange
from .responder import Responder

__all__ = ["ServedConnection"]

_READ_SIZE = 65_536
_READ_AHEAD = 16  # reads that may wait while a response runs
_LARGEST_BODY = 32 * 1024 * 1024
_LINGER = 1.0  # seconds the client gets to take leave of a connection that we close
# SO_LINGER with no time at all: closing sends a reset. The structure has shorts on Windows, integers elsewhere.
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_log = structlog.get_logger("manystream.simulator")
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError)


class _ConnectionOverError(Exception):
    """Nothing more can be said on this connection, for a reason already dealt with."""


class ServedConnection:
    """Serves one client on an accepted socket."""

    def __init__(self, stream: SocketStream | TLSStream, responder: Responder, ledger: Ledger) -> None:
        self._stream = stream
        self._responder = responder
        self._ledger = ledger
        self._number = 0
        self._protocol = h11.Connection(h11.SERVER)
        self._arrived, self._input = anyio.create_memory_object_stream[bytes](_READ_AHEAD)
        self._response_scope: anyio.CancelScope | None = None
        self._client_gone = False
        self._reading = anyio.CancelScope()
        self._has_read = anyio.Event()

    async def serve(self) -> None:
        """Answers requests until either side ends the connection, which is closed on return.

        On cancellation the connection is aborted, and a response that was running is recorded as stopped.
        """
        self._number = self._ledger.connected()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read)
                try:
                    await self._converse()
                except _ConnectionOverError:
                    pass
                except Exception:  # a fault of ours ends this connection, and not the server
                    logging.getLogger("manystream.simulator").exception("the simulator could not finish an answer")
                tasks.cancel_scope.cancel()
        finally:
            self._mark_gone()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)
            self._arrived.close()
            self._input.close()

    async def _read(self) -> None:
        try:
            with self._reading:
                while True:
                    await self._arrived.send(await self._stream.receive(_READ_SIZE))
        except _GONE:
            self._mark_gone()
            self._arrived.close()
            if self._response_scope is not None:
                self._response_scope.cancel()
        finally:
            self._has_read.set()

    def _mark_gone(self) -> None:
        if not self._client_gone:
            self._client_gone = True
            self._ledger.disconnected()

    async def _converse(self) -> None:
        while True:
            try:
                request = await self._next_request()
            except h11.RemoteProtocolError as error:
                await self._refuse(RefusalError(error.error_status_hint, f"Malformed HTTP request: {error}"))
                break
            except RefusalError as fault:
                await self._refuse(fault)
                break
            await self._answer(request)
            if self._protocol.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                break
            self._protocol.start_next_cycle()
        await self._close()

    async def _next_request(self) -> Request:
        """Receives one request whole. Raises h11.RemoteProtocolError, and RefusalError for one that is too large."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._protocol.next_event()
            match event:
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                    if head is not None and len(body) > _largest_body(head):
                        raise RefusalError(413, "Request exceeds the maximum size")
                case h11.EndOfMessage() if head is not None:
                    return _request(head, bytes(body), "https" if isinstance(self._stream, TLSStream) else "http")
                case h11.NEED_DATA:
                    if self._protocol.they_are_waiting_for_100_continue:
                        await self._write(self._encoded(h11.InformationalResponse(status_code=100, headers=[])))
                    self._protocol.receive_data(await self._more())
                case _:  # the client closed its side between two requests
                    await self._close()
                    raise _ConnectionOverError

    async def _more(self) -> bytes:
        try:
            return await self._input.receive()
        except anyio.EndOfStream:
            return b""

    async def _answer(self, request: Request) -> None:
        """Performs the response; raises _ConnectionOverError when the client went or the script said so."""
        exchange = self._ledger.received(request, self._number)
        outcome: Outcome = "stopped"
        try:
            with anyio.CancelScope() as self._response_scope:
                if self._client_gone:
                    self._response_scope.cancel()
                outcome = await self._perform(self._responder.respond(request), exchange)
            if self._response_scope.cancelled_caught:
                outcome = "disconnected"
        finally:
            self._response_scope = None
            self._ledger.settled(exchange, outcome)
            _log_exchange(exchange)
        if outcome != "complete":
            raise _ConnectionOverError

    async def _perform(self, response: Reply, exchange: RecordedExchange) -> Outcome:
        head = h11.Response(status_code=response.status, headers=response.raw_headers)
        due = anyio.current_time()
        step = next(response.steps, None)
        begun = False
        try:
            while step is not None:
                following = next(response.steps, None)
                match step:
                    case Send():
                        # Recorded before it is done, so that whoever has received it finds it recorded. The same for
                        # the outcome: a client that has got everything must not find the response still running.
                        self._ledger.sending(exchange, response, step)
                        if following is None:
                            self._ledger.settled(exchange, "complete")
                        opening = b"" if begun else self._encoded(head)
                        begun = True
                        await self._write(opening + self._encoded(h11.Data(data=step.data)))
                    case Wait():
                        # Due times instead of naps: what writing takes is not added to the model's time.
                        due += step.seconds
                        await _sleep_until(due)
                    case Close():
                        self._ledger.settled(exchange, "cut")
                        await self._close()
                        return "cut"
                    case BadChunk():
                        self._ledger.settled(exchange, "cut")
                        await self._write(b"this is no chunk\r\n")
                        await self._close()
                        return "cut"
                    case Abort():
                        self._ledger.settled(exchange, "cut")
                        self._mark_gone()
                        raw_socket = self._stream.extra(SocketAttribute.raw_socket)
                        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                        return "cut"
                step = following
            opening = b"" if begun else self._encoded(head)
            await self._write(opening + self._encoded(h11.EndOfMessage()))
        except _ConnectionOverError:
            return "disconnected"
        return "complete"

    async def _refuse(self, fault: RefusalError) -> None:
        """Answers what is no proper request, as far as a response is still possible."""
        if self._protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        response = self._responder.refuse(fault)
        headers = [*response.headers, ("connection", "close")]
        data = self._encoded(h11.Response(status_code=response.status, headers=headers))
        for step in response.steps:
            if isinstance(step, Send):
                data += self._encoded(h11.Data(data=step.data))
        await self._write(data + self._encoded(h11.EndOfMessage()))

    async def _close(self) -> None:
        """Ends our side, then lets the client end its own: closing with input unread would reset the connection."""
        # uvloop raises a RuntimeError where the client has gone already.
        with suppress(OSError, RuntimeError, *_GONE), anyio.move_on_after(_LINGER):
            if isinstance(self._stream, TLSStream):
                # To take leave is to write and to read, which two tasks must not do at a time.
                self._reading.cancel()
                await self._has_read.wait()
                await self._stream.unwrap()
            else:
                await self._stream.send_eof()
                while await self._more():
                    pass

    def _encoded(self, event: h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage) -> bytes:
        return self._protocol.send(event) or b""

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        try:
            await self._stream.send(data)
        except _GONE:
            raise _ConnectionOverError from None


def _largest_body(head: h11.Request) -> int:
    return LARGEST_BATCH if head.target.partition(b"?")[0] == PATH.encode() else _LARGEST_BODY


def _request(head: h11.Request, body: bytes, scheme: str) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(head.method.decode("ascii"), head.target.decode("ascii"), headers, body, scheme=scheme)


async def _sleep_until(due: float) -> None:
    if due == math.inf:
        await anyio.sleep_forever()
    elif due > anyio.current_time():
        await anyio.sleep_until(due)


def _log_exchange(exchange: RecordedExchange) -> None:
    # An application that never configured structlog would find every line on its standard output.
    if structlog.is_configured():
        _log.debug(
            "simulated response",
            connection=exchange.connection,
            method=exchange.request.method,
            path=exchange.request.path,
            status=exchange.status,
            bytes_sent=exchange.bytes_sent,
            outcome=exchange.outcome,
        )
