"""What a script makes the simulated service do, step by step."""

from __future__ import annotations

from itertools import islice

from tests.support.responder import a_body, a_request, a_responder, events_of

from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import ScriptStep
from manystream.engine.simulator.service.steps import Step

__all__ = ["deltas_of", "steps_of"]


def steps_of(*script: ScriptStep, pace: Tempo | None = None, stream: bool = True) -> list[Step]:
    """Respond to one request; of an endless response, return the beginning."""
    response = a_responder(*script, pace=pace).respond(a_request(a_body(stream=stream)))
    return list(islice(response.steps, 2_000))


def deltas_of(steps: list[Step]) -> int:
    return sum(event["type"] == "content_block_delta" for event in events_of(steps))
