"""The API itself, without I/O: a request in, a response as plain data out.

The responder is an ordinary object driven from one thread: it keeps the count of requests seen, the rate-limit
figures and the script, and asks only its clock for the time. What is in a body is decided by the seed and the
requests alone.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from email.utils import formatdate
from random import Random
from typing import Any

import attrs
import msgspec

from ..answers import (
    Answer,
    Event,
    Head,
    generate,
    identifier,
    input_tokens,
    interrupted,
    is_object,
    message_json,
    recorded_events,
    rest_of,
    stream_events,
    told,
)
from ..faults import (
    HTML_PAGE,
    NO_FAULTS,
    Chance,
    Cut,
    Fail,
    Fault,
    Faults,
    Script,
    Slow,
    Stall,
    Tempo,
    announced_length,
    perform_body,
    perform_events,
)
from ..service import (
    Account,
    Conditions,
    RefusalError,
    Reply,
    Request,
    Send,
    Service,
    Step,
    check_count,
    check_create,
    error_body,
    find_model,
    model_page,
)

__all__ = ["Responder"]

_EVENT_STREAM = "text/event-stream; charset=utf-8"
_METHODS = {"/v1/messages": "POST", "/v1/messages/count_tokens": "POST", "/v1/models": "GET"}
_REMEMBERED = 50_000  # questions of which the repeats are counted


@attrs.frozen
class _Call:
    """A request on its way to its response, with what is drawn for it.

    `random` is for what differs between two calls with the same content: ids and waits. `luck` is the seed of what
    comes by chance. `model` is None until the request is known to be a valid one for a message.
    """

    request: Request
    digest: str
    request_id: str
    random: Random
    luck: str
    now: float
    model: str | None = None


class Responder:
    """Answers requests as the Messages API does.

    `seed` decides on everything generated, `script` is asked before anything is, `rejected_keys` are the API keys
    that don't authenticate (any other does), `faults` befall what the script leaves alone, `recordings` are replayed
    instead of generated answers where a stream is asked for, `clock` returns the time in seconds since the epoch.
    `conditions` say what the service refuses; what it refuses takes no step of the script.
    """

    def __init__(
        self,
        script: Script,
        pace: Tempo,
        *,
        seed: int = 0,
        rejected_keys: Collection[str] = ("invalid",),
        faults: Faults = NO_FAULTS,
        recordings: Sequence[bytes] = (),
        conditions: Conditions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._script = script
        self._pace = pace
        self._seed = seed
        self._rejected_keys = frozenset(rejected_keys)
        self._faults = faults
        self._recordings = recordings
        self._count = 0
        self._clock = clock
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._service = Service(conditions or Conditions(), clock)
        self._organisation = _uuid(f"organisation {seed}")

    def respond(self, request: Request) -> Reply:
        """Returns the response to a request; its steps can be drawn once, at any time later.

        Takes a step off the script if the request is a valid one to create a message.
        """
        call = self._call(request)
        try:
            return self._route(call)
        except RefusalError as fault:
            return self._refusal(call, fault)

    def refuse(self, fault: RefusalError) -> Reply:
        """Returns the error response to what never became a request: it broke HTTP's rules or was too large."""
        return self._refusal(self._call(Request("", "", {}, b"")), fault)

    def _call(self, request: Request) -> _Call:
        digest = _digest(request, request.json)
        repeat = self._seen.pop(digest, 0)
        self._seen[digest] = repeat + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        seed = f"{self._seed} {digest} {repeat}"
        random = Random(seed)
        return _Call(request, digest, identifier("req", random), random, f"{seed} luck", self._clock())

    def _route(self, call: _Call) -> Reply:
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

    def _create(self, call: _Call, body: dict[str, Any]) -> Reply:
        call = attrs.evolve(call, model=body["model"])
        try:
            account = self._service.check(body, call.luck, call.now)
        except RefusalError as fault:
            return self._refusal(call, fault)
        self._count += 1
        match self._script.take():
            case None:
                chance = self._faults.draw(Random(f"{self._seed} fault {self._count}"))
                if self._recordings and body.get("stream"):
                    recording = Random(f"{self._seed} {call.digest} recording").choice(self._recordings)
                    return self._streamed(call, account, recorded_events(recording), chance)
                return self._message(call, account, body, None, chance)
            case (Fail() as failure) | Cut(after="nothing", how=Fail() as failure):
                return self._failure(call, failure)
            case Cut(after="nothing", how="html"):
                return self._page(call)
            case bytes(recording):
                return self._streamed(call, account, recorded_events(recording), None)
            case str(text):
                return self._message(call, account, body, told(text), None)
            case (Cut(text=str(text)) | Stall(text=str(text)) | Slow(text=str(text))) as fault:
                return self._message(call, account, body, told(text), fault)
            case fault:
                return self._message(call, account, body, None, fault)

    def _message(
        self,
        call: _Call,
        account: Account,
        body: dict[str, Any],
        answer: Answer | None,
        fault: Fault | Chance | None,
    ) -> Reply:
        head = Head(identifier("msg", call.random), body["model"], account.usage)
        answer = self._answer(call, body, call.digest, answer)
        account.expect(answer.output_tokens)
        if body.get("stream"):
            events = stream_events(head, answer, Random(f"{self._seed} {call.digest} events"))
            return self._streamed(call, account, events, fault)
        message = message_json(head, answer)
        if isinstance(fault, Chance):
            fault = fault.of(len(message))
        if isinstance(fault, Cut) and isinstance(fault.how, Fail):
            return self._failure(call, fault.how)
        steps = perform_body(message, answer.output_tokens, self._pace, call.random, fault)
        headers = {"content-type": "application/json"}
        if (length := announced_length(message, fault)) is not None:
            headers["content-length"] = str(length)
        return self._answered(call, account, headers, steps)

    def _answer(self, call: _Call, body: dict[str, Any], digest: str, scripted: Answer | None) -> Answer:
        """Returns what is said to the body: something scripted, or generated, or what an interrupted answer lacks."""
        if (broken := interrupted(body)) is None:
            return scripted or generate(body, Random(f"{self._seed} {digest}"), call.random)
        before, said = broken
        return rest_of(self._answer(call, before, _digest(call.request, before), scripted), said)

    def _streamed(self, call: _Call, account: Account, events: Iterable[Event], fault: Fault | Chance | None) -> Reply:
        if isinstance(fault, Chance):
            events = list(events)
            fault = fault.of(sum(len(event.data) for event in events))
        steps = perform_events(events, self._pace, call.random, fault, call.request_id)
        headers = {"content-type": _EVENT_STREAM, "cache-control": "no-cache"}
        return self._answered(call, account, headers, steps)

    def _answered(self, call: _Call, account: Account, headers: dict[str, str], steps: Iterator[Step]) -> Reply:
        account.let_in(call.now)  # before the headers are made, so that they count this request
        return Reply(200, self._headers(call, headers), steps, performed=account.performed)

    def _page(self, call: _Call) -> Reply:
        headers = {"content-type": "text/html", "content-length": str(len(HTML_PAGE))}
        call = attrs.evolve(call, model=None)  # something in between answers, which knows of no limits
        return Reply(200, self._headers(call, headers), iter((Send(HTML_PAGE),)))

    def _plain(self, call: _Call, body: dict[str, Any]) -> Reply:
        data = msgspec.json.encode(body)
        headers = {"content-type": "application/json", "content-length": str(len(data))}
        return Reply(200, self._headers(call, headers), iter((Send(data),)))

    def _refusal(self, call: _Call, fault: RefusalError) -> Reply:
        details = None if fault.error_code is None else {"error_code": fault.error_code}
        data = msgspec.json.encode(error_body(fault.type, fault.message, call.request_id, details))
        headers = {"content-type": "application/json", "content-length": str(len(data))}
        if fault.retry_after is not None:
            headers["retry-after"] = str(fault.retry_after)
        steps = iter((Send(data),))
        return Reply(fault.status, self._headers(call, headers), steps, refused_by=fault.refused_by)

    def _failure(self, call: _Call, failure: Fail) -> Reply:
        data = msgspec.json.encode(error_body(failure.type, failure.message, call.request_id))
        headers = {"content-type": "application/json", "content-length": str(len(data)), **failure.headers}
        return Reply(failure.status, self._headers(call, headers), iter((Send(data),)))

    def _headers(self, call: _Call, own: dict[str, str]) -> tuple[tuple[str, str], ...]:
        headers = {
            "date": formatdate(call.now, usegmt=True),
            "request-id": call.request_id,
            "anthropic-organization-id": self._organisation,
        }
        if call.model is not None:
            headers |= self._service.headers(call.model, call.now)
        return tuple({**headers, **{name.lower(): value for name, value in own.items()}}.items())


def _digest(request: Request, body: object) -> str:
    """Returns what makes two requests the same question: all but the headers, and whether the answer is streamed."""
    content = request.body
    if is_object(body):
        asked = {name: value for name, value in body.items() if name != "stream"}
        content = msgspec.json.encode(asked, order="deterministic")
    digest = hashlib.blake2b(f"{request.method} {request.path}\n".encode(), digest_size=16)
    digest.update(content)
    return digest.hexdigest()


def _uuid(name: str) -> str:
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"
