"""A simulated service driven by hand: no event loop, a clock that moves when it is told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from manystream.engine.simulator import Conditions, RecordedRequest, ScriptStep
from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.ledger import Ledger
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Reply, Request, Send

__all__ = ["NOW", "Running", "Service"]

NOW = 1_800_000_000.0


class Service:
    """The responder and its ledger, as a transport would use them."""

    def __init__(self, *steps: ScriptStep, seed: int = 0, **conditions: Any) -> None:
        self.now = NOW
        self.ledger = Ledger()
        self._script = Script()
        self._script.extend(steps)
        self._responder = Responder(
            self._script, Tempo(), seed=seed, conditions=Conditions(**conditions), clock=lambda: self.now
        )

    def ask(
        self, content: Any = "hi", *, text: str | None = None, headers: Mapping[str, str] | None = None, **params: Any
    ) -> Running:
        """Send a request for a stream, to be answered with `text` if it is let in; perform nothing of it yet."""
        if text is not None:
            self._script.extend([text])
        body: dict[str, Any] = {
            "model": "claude-opus-4-6",  # newer ones refuse more
            "max_tokens": 50_000,
            "stream": True,
            "messages": [{"role": "user", "content": content}],
            **params,
        }
        sent = {"x-api-key": "key", "anthropic-version": "2023-06-01", **(headers or {})}
        request = Request("POST", "/v1/messages", sent, json.dumps(body).encode())
        return Running(self.ledger, request, self._responder.respond(request))

    def statuses(self, count: int, **params: Any) -> list[int]:
        """Ask so often, take every answer whole, and return the statuses."""
        return [self.ask(**params).finish().response.status for _ in range(count)]


class Running:
    """A response as it is performed, step by step."""

    def __init__(self, ledger: Ledger, request: Request, response: Reply) -> None:
        self.response = response
        self.headers = dict(response.headers)
        self.body = b""
        self._ledger = ledger
        self._number = ledger.totals().requests
        self._exchange = ledger.received(request, ledger.connected())

    def next(self) -> Send | None:
        """Perform the next write; None when there is none left."""
        for step in self.response.steps:
            if isinstance(step, Send):
                self._ledger.sending(self._exchange, self.response, step)
                self.body += step.data
                return step
        self._ledger.settled(self._exchange, "complete")
        return None

    def begin(self) -> Running:
        """Perform as far as the message's beginning."""
        self.next()
        return self

    def finish(self) -> Running:
        """Perform all that is left."""
        while self.next():
            pass
        return self

    @property
    def record(self) -> RecordedRequest:
        """What the ledger has of it."""
        return self._ledger.requests()[self._number]

    @property
    def error(self) -> dict[str, Any]:
        """The error in the body, performed whole."""
        return json.loads(self.finish().body)["error"]

    @property
    def usage(self) -> dict[str, Any]:
        """The usage as the whole answer tells it."""
        self.finish()
        if not self.body.startswith(b"event:"):
            return json.loads(self.body)["usage"]
        events = [json.loads(line[6:]) for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        told = [event["message"]["usage"] for event in events if event["type"] == "message_start"]
        told += [event["usage"] for event in events if event["type"] == "message_delta"]
        return {name: value for usage in told for name, value in usage.items()}
