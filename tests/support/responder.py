"""The simulator's responder without a socket: requests made by hand, and what comes back, read as clients read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script, ScriptStep
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Reply, Request, Send, Step

__all__ = [
    "NOW",
    "WEATHER",
    "a_body",
    "a_request",
    "a_responder",
    "assembled",
    "body_of",
    "events_of",
    "generated",
    "json_of",
]

NOW = 1_800_000_000.0

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
    },
}


def a_responder(*steps: ScriptStep, seed: int = 0, pace: Tempo | None = None) -> Responder:
    script = Script()
    script.extend(steps)
    return Responder(script, pace or Tempo(), seed=seed, clock=lambda: NOW)


def a_body(content: Any = "Say something", **params: Any) -> dict[str, Any]:
    return {
        "model": "claude-opus-4-6",  # newer ones refuse more
        "max_tokens": 200,
        "messages": [{"role": "user", "content": content}],
        **params,
    }


def a_request(body: object = None, *, method: str = "POST", target: str = "/v1/messages", **headers: str) -> Request:
    sent = {"x-api-key": "key", "anthropic-version": "2023-06-01"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, target, {name: value for name, value in sent.items() if value}, data)


def body_of(response: Reply) -> bytes:
    return b"".join(step.data for step in response.steps if isinstance(step, Send))


def json_of(response: Reply) -> Any:
    body = body_of(response)
    assert dict(response.headers)["content-length"] == str(len(body))
    return json.loads(body)


def events_of(steps: Iterator[Step] | list[Step]) -> list[dict[str, Any]]:
    """Decode a stream, an event a step, as strictly as the simulator writes it."""
    events: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, Send):
            name, data, *rest = step.data.decode().split("\n")
            assert rest == ["", ""]
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            events.append(event)
    return events


def assembled(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a message together from its events, in the plainest way."""
    message: dict[str, Any] = events[0]["message"]
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case _:
                        block["input"] = (block["input"] or "") + delta["partial_json"]
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case _:
                assert event["type"] in ("ping", "content_block_stop", "message_stop")
    for block in message["content"]:
        if isinstance(block.get("input"), str):
            block["input"] = json.loads(block["input"])
    return message


def generated(body: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    return json_of(a_responder(seed=seed).respond(a_request(body)))
