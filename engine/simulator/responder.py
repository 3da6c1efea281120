"""The API itself, without I/O: a request in, a response as plain data out.

The responder is an ordinary object driven from one thread: it keeps the count of requests seen, the rate-limit
figures and the script, and asks only its clock for the time. What is in a body is decided by the seed and the
requests alone.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from random import Random
from typing import Any

import attrs
import msgspec

from .answers import Answer, generate, input_tokens, told
from .errors import RefusalError, error_body
from .exchange import Request, Response, Send, Step
from .ids import identifier
from .jsondata import is_object
from .limits import RateLimits
from .models import find_model, model_page
from .performance import Pace, perform_body, perform_events, perform_recording
from .script import Cut, Fail, Script, Stall
from .validation import check_count, check_create
from .wire import Head, message_json, stream_events

__all__ = ["Responder"]

_EVENT_STREAM = "text/event-stream; charset=utf-8"
_METHODS = {"/v1/messages": "POST", "/v1/messages/count_tokens": "POST", "/v1/models": "GET"}


@attrs.frozen
class _Call:
    """A request on its way to its response, with what is drawn for it.

    `random` is for what differs between two calls with the same content: ids and waits.
    """

    request: Request
    digest: str
    request_id: str
    random: Random
    now: float


class Responder:
    """Answers requests as the Messages API does.

    `seed` decides on everything generated, `script` is asked before anything is, `rejected_keys` are the API keys
    that don't authenticate (any other does), `clock` returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        script: Script,
        pace: Pace,
        *,
        seed: int = 0,
        rejected_keys: Collection[str] = ("invalid",),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._script = script
        self._pace = pace
        self._seed = seed
        self._rejected_keys = frozenset(rejected_keys)
        self._clock = clock
        self._seen: Counter[str] = Counter()
        self._limits = RateLimits()
        self._organisation = _uuid(f"organisation {seed}")

    def respond(self, request: Request) -> Response:
        """Return the response to a request; its steps can be drawn once, at any time later.

        Takes a step off the script if the request is a valid one to create a message.
        """
        call = self._call(request)
        try:
            return self._route(call)
        except RefusalError as fault:
            return self._failure(call, Fail(fault.status, message=fault.message))

    def refuse(self, fault: RefusalError) -> Response:
        """Return the error response to what never became a request: it broke HTTP's rules or was too large."""
        return self._failure(self._call(Request("", "", {}, b"")), Fail(fault.status, message=fault.message))

    def _call(self, request: Request) -> _Call:
        digest = _digest(request)
        repeat = self._seen[digest]
        self._seen[digest] += 1
        random = Random(f"{self._seed} {digest} {repeat}")
        return _Call(request, digest, identifier("req", random), random, self._clock())

    def _route(self, call: _Call) -> Response:
        path = call.request.path
        allowed = "GET" if path.startswith("/v1/models/") else _METHODS.get(path)
        if allowed is None:
            raise RefusalError(404, "Not found")
        if call.request.method != allowed:
            raise RefusalError(405, "Method Not Allowed")
        self._authenticate(call.request.headers)
        match path:
            case "/v1/messages":
                return self._create(call, check_create(call.request.json))
            case "/v1/messages/count_tokens":
                body = check_count(call.request.json)
                return self._plain(call, {"input_tokens": input_tokens(body)})
            case "/v1/models":
                return self._plain(call, model_page())
            case _:
                return self._plain(call, find_model(path.removeprefix("/v1/models/")))

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        key = headers.get("x-api-key", "").strip()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if key in self._rejected_keys:
            raise RefusalError(401, "invalid x-api-key")
        if not key:
            if scheme.lower() != "bearer" or not token.strip():
                raise RefusalError(401, "x-api-key header is required")
            if token.strip() in self._rejected_keys:
                raise RefusalError(401, "Invalid bearer token")
        if "anthropic-version" not in headers:
            raise RefusalError(400, "anthropic-version: header is required")

    def _create(self, call: _Call, body: dict[str, Any]) -> Response:
        match self._script.take():
            case (Fail() as failure) | Cut(after="nothing", how=Fail() as failure):
                return self._failure(call, failure, limited=True)
            case bytes(recording):
                steps = perform_recording(recording, self._pace, call.random)
                return self._streamed(call, steps)
            case str(text):
                return self._message(call, body, told(text), None)
            case (Cut(text=str(text)) | Stall(text=str(text))) as fault:
                return self._message(call, body, told(text), fault)
            case fault:
                return self._message(call, body, None, fault)

    def _message(self, call: _Call, body: dict[str, Any], answer: Answer | None, fault: Cut | Stall | None) -> Response:
        content = Random(f"{self._seed} {call.digest}")
        head = Head(identifier("msg", call.random), body["model"], input_tokens(body))
        if answer is None:
            answer = generate(body, content, call.random)
        self._limits.take(head.input_tokens, answer.output_tokens, call.now)
        if body.get("stream"):
            events = stream_events(head, answer, content)
            return self._streamed(call, perform_events(events, self._pace, call.random, fault, call.request_id))
        if fault is not None and isinstance(fault, Cut) and isinstance(fault.how, Fail):
            return self._failure(call, fault.how, limited=True)
        message = message_json(head, answer)
        # A body that is to end in good order, though half of it is missing, has to announce the half.
        length = len(message) // 2 if isinstance(fault, Cut) and fault.how in ("end", "garbage") else len(message)
        steps = perform_body(message, answer.output_tokens, self._pace, call.random, fault)
        headers = {"content-type": "application/json", "content-length": str(length)}
        return Response(200, self._headers(call, headers, limited=True), steps)

    def _streamed(self, call: _Call, steps: Iterator[Step]) -> Response:
        headers = {"content-type": _EVENT_STREAM, "cache-control": "no-cache"}
        return Response(200, self._headers(call, headers, limited=True), steps)

    def _plain(self, call: _Call, body: dict[str, Any]) -> Response:
        data = msgspec.json.encode(body)
        headers = {"content-type": "application/json", "content-length": str(len(data))}
        return Response(200, self._headers(call, headers), iter((Send(data),)))

    def _failure(self, call: _Call, failure: Fail, *, limited: bool = False) -> Response:
        data = msgspec.json.encode(error_body(failure.type, failure.message, call.request_id))
        headers = {"content-type": "application/json", "content-length": str(len(data)), **failure.headers}
        return Response(failure.status, self._headers(call, headers, limited=limited), iter((Send(data),)))

    def _headers(self, call: _Call, own: dict[str, str], *, limited: bool = False) -> tuple[tuple[str, str], ...]:
        limits = self._limits.headers(call.now) if limited else ()
        headers = {"request-id": call.request_id, "anthropic-organization-id": self._organisation, **dict(limits)}
        return tuple({**headers, **{name.lower(): value for name, value in own.items()}}.items())


def _digest(request: Request) -> str:
    """Return what makes two requests the same question: all but the headers, and whether the answer is streamed."""
    content, body = request.body, request.json
    if is_object(body):
        asked = {name: value for name, value in body.items() if name != "stream"}
        content = msgspec.json.encode(asked, order="deterministic")
    digest = hashlib.blake2b(f"{request.method} {request.path}\n".encode(), digest_size=16)
    digest.update(content)
    return digest.hexdigest()


def _uuid(name: str) -> str:
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"
