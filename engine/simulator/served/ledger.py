"""What happened: every request with what became of its response and what that costs, and the connections.

Safe to ask from any thread.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from ..answers import NOTHING, Usage
from ..service import Condition, Reply, Request, Send

__all__ = ["Ledger", "Outcome", "RecordedExchange", "RecordedRequest", "Tally"]

Outcome: TypeAlias = Literal["running", "complete", "cut", "disconnected", "stopped"]

_KEPT = 10_000


@attrs.frozen
class RecordedRequest:
    """A request, and what had become of its response when `requests` was read.

    `outcome` is

    - `"running"`: the response is on its way, or stalls;
    - `"complete"`: all of it was handed to the connection;
    - `"cut"`: the script ended the connection before its time;
    - `"disconnected"`: the client went before it had all;
    - `"stopped"`: the simulator was stopped meanwhile.

    `status` is None until the head is on its way. `bytes_sent` counts the bytes of the body that were handed to the
    connection: when the client doesn't read, the last write among them waits. `connection` numbers the connections
    from 1 in the order of their coming. `headers` have lower-case names; `json` is None when the body isn't JSON.

    The tokens are those that would be billed: the input once the message has begun, the output as it is sent, so that
    an answer cut short costs what had been made of it. `refused_by` is the condition of the service that refused the
    request; None when none did, and for errors that were scripted.
    """

    method: str
    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    json: Any = attrs.field(repr=False)
    connection: int
    status: int | None
    bytes_sent: int
    outcome: Outcome
    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    refused_by: Condition | None = None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@attrs.frozen(kw_only=True)
class Tally:
    """Counts over all requests there have been, also those no longer recorded one by one.

    `statuses` counts the responses that were begun by their status, `refused` those that a condition of the service
    refused by its name. The tokens are those that would be billed.
    """

    requests: int
    statuses: Mapping[int, int]
    refused: Mapping[Condition, int]
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


@attrs.define(eq=False)
class RecordedExchange:
    """A request and its response while it runs; only the ledger writes to it."""

    request: Request
    connection: int
    status: int | None = None
    bytes_sent: int = 0
    outcome: Outcome = "running"
    usage: Usage = NOTHING
    refused_by: Condition | None = None


class Ledger:
    """The newest 10,000 exchanges and the count of connections.

    Everything here takes one lock for a moment and never waits for the event loop, so that the server's loop may
    write while other threads read.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exchanges: dict[int, RecordedExchange] = {}
        self._received = 0
        self._waiting = 0
        self._statuses: Counter[int] = Counter()
        self._refused: Counter[Condition] = Counter()
        self._usage = NOTHING
        self.open_connections = 0
        self.total_connections = 0

    def connected(self) -> int:
        """Notes a new connection; returns its number."""
        with self._changed:
            self.open_connections += 1
            self.total_connections += 1
            self._changed.notify_all()
            return self.total_connections

    def disconnected(self) -> None:
        """Notes that a connection has ended, from whichever side."""
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    def received(self, request: Request, connection: int) -> RecordedExchange:
        """Notes a request; returns the exchange it opens."""
        exchange = RecordedExchange(request, connection)
        with self._changed:
            self._received += 1
            self._exchanges[self._received] = exchange
            self._exchanges.pop(self._received - _KEPT, None)
            self._changed.notify_all()
        return exchange

    def sending(self, exchange: RecordedExchange, response: Reply, step: Send) -> None:
        """Notes that this step of the response is handed to the connection, and what is billed for it."""
        billed = response.performed(step)
        with self._changed:
            if exchange.status is None:
                exchange.status = response.status
                exchange.refused_by = response.refused_by
                self._statuses[response.status] += 1
                if response.refused_by is not None:
                    self._refused[response.refused_by] += 1
            exchange.bytes_sent += len(step.data)
            if billed is not NOTHING:
                exchange.usage += billed
                self._usage += billed
            if self._waiting:
                self._changed.notify_all()

    def settled(self, exchange: RecordedExchange, outcome: Outcome) -> None:
        """Notes what became of a response."""
        with self._changed:
            exchange.outcome = outcome
            self._changed.notify_all()

    def requests(self) -> list[RecordedRequest]:
        """Returns the requests as they stand now, oldest first."""
        with self._changed:
            return [
                RecordedRequest(
                    method=exchange.request.method,
                    target=exchange.request.target,
                    headers=exchange.request.headers,
                    json=exchange.request.json,
                    connection=exchange.connection,
                    status=exchange.status,
                    bytes_sent=exchange.bytes_sent,
                    outcome=exchange.outcome,
                    input_tokens=exchange.usage.input_tokens,
                    cache_creation_input_tokens=exchange.usage.cache_creation_input_tokens,
                    cache_read_input_tokens=exchange.usage.cache_read_input_tokens,
                    output_tokens=exchange.usage.output_tokens,
                    refused_by=exchange.refused_by,
                )
                for exchange in self._exchanges.values()
            ]

    def totals(self) -> Tally:
        """Returns the counts as they stand now."""
        with self._changed:
            return Tally(
                requests=self._received,
                statuses=dict(self._statuses),
                refused=dict(self._refused),
                input_tokens=self._usage.input_tokens,
                cache_creation_input_tokens=self._usage.cache_creation_input_tokens,
                cache_read_input_tokens=self._usage.cache_read_input_tokens,
                output_tokens=self._usage.output_tokens,
            )

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Blocks the calling thread until the condition holds.

        The condition is asked again after every change, and must not wait for anything itself. Raises TimeoutError
        after `timeout` seconds.
        """
        with self._changed:
            self._waiting += 1
            try:
                if not self._changed.wait_for(condition, timeout):
                    raise TimeoutError(f"the condition did not come to hold within {timeout} s")
            finally:
                self._waiting -= 1
