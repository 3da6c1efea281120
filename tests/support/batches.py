"""The simulator's batches without a socket: a clock to turn by hand, and requests to the endpoints as plain calls."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import attrs
from tests.support.responder import NOW, a_body, a_request, body_of

from manystream.engine.simulator import Batches
from manystream.engine.simulator.batches.script import BatchOperation, BatchStep
from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Reply

__all__ = ["DAY", "HOUR", "PATH", "Api", "an_entry", "entries"]

PATH = "/v1/messages/batches"
HOUR = 3_600.0
DAY = 24 * HOUR


def an_entry(custom_id: str = "one", **params: Any) -> Any:
    return {"custom_id": custom_id, "params": a_body(**params)}


def entries(count: int, **params: Any) -> list[Any]:
    return [an_entry(f"r{number}", **params) for number in range(count)]


@attrs.define
class Api:
    """The endpoints as methods that return the JSON of a response, whatever its status; `now` is the clock."""

    now: float
    responder: Responder
    headers: dict[str, str]

    @classmethod
    def made(cls, *, seed: int = 0, **settings: Any) -> Api:
        made: list[Api] = []
        responder = Responder(
            Script(), Tempo(), seed=seed, batches=Batches(**settings), clock=lambda: made[0].now if made else NOW
        )
        made.append(cls(NOW, responder, {}))
        return made[0]

    def call(self, method: str, target: str, body: object = None) -> Reply:
        return self.responder.respond(a_request(body, method=method, target=target, **self.headers))

    def json(self, method: str, target: str, body: object = None) -> dict[str, Any]:
        return json.loads(body_of(self.call(method, target, body)))

    def create(self, requests: object) -> dict[str, Any]:
        return self.json("POST", PATH, {"requests": requests})

    def retrieve(self, batch_id: str) -> dict[str, Any]:
        return self.json("GET", f"{PATH}/{batch_id}")

    def list(self, **query: object) -> dict[str, Any]:
        return self.json("GET", f"{PATH}?{urlencode(query)}")

    def cancel(self, batch_id: str) -> dict[str, Any]:
        return self.json("POST", f"{PATH}/{batch_id}/cancel")

    def delete(self, batch_id: str) -> dict[str, Any]:
        return self.json("DELETE", f"{PATH}/{batch_id}")

    def results(self, batch_id: str) -> dict[str, dict[str, Any]]:
        """Each request's result, by its `custom_id`."""
        lines = [json.loads(line) for line in self.lines(batch_id)]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        return {line["custom_id"]: line["result"] for line in lines}

    def lines(self, batch_id: str) -> list[bytes]:
        response = self.call("GET", f"{PATH}/{batch_id}/results")
        assert response.status == 200
        assert dict(response.headers)["content-type"] == "application/x-jsonl"
        body = body_of(response)
        assert body.endswith(b"\n")
        return body.splitlines()

    def status(self, batch_id: str) -> str:
        return self.retrieve(batch_id)["processing_status"]

    def script(self, operation: BatchOperation, *steps: BatchStep) -> None:
        self.responder.batches.script.extend(operation, steps)
