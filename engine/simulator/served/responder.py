"""The API itself, without I/O: a request in, a response as plain data out.

The responder is an ordinary object driven from one thread: it keeps the count of requests seen, the rate-limit
figures and the script, and asks only its clock for the time. What is in a body is decided by the seed and the
requests alone.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any

from ..answers import identifier, input_tokens
from ..batches import PATH, Batches, BatchService
from ..faults import NO_FAULTS, Faults, Script, Tempo
from ..service import Conditions, RefusalError, Reply, Request, Service, check_count, dialect_of, find_model, model_page
from .answering import answer_to
from .call import Call, digest_of
from .message_batches import MessageBatches
from .messages import Messages
from .replies import Replies
from .routing import Route, Routes

__all__ = ["Responder"]

_log = logging.getLogger("manystream.simulator")
_REMEMBERED = 50_000  # questions of which the repeats are counted


class Responder:
    """Answers requests as the Messages API does.

    `seed` decides on everything generated, `script` is asked before anything is, `rejected_keys` are the API keys
    that don't authenticate (any other does), `faults` befall what the script leaves alone, `recordings` are replayed
    instead of generated answers where a stream is asked for, `clock` returns the time in seconds since the epoch.
    `conditions` say what the service refuses; what it refuses takes no step of the script. `batches` say how Message
    Batches are processed.
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
        batches: Batches | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._seed = seed
        self._rejected_keys = frozenset(rejected_keys)
        self._clock = clock
        self._seen: OrderedDict[str, int] = OrderedDict()
        service = Service(conditions or Conditions(), clock)
        self._replies = Replies(service, seed)
        messages = Messages(service, self._replies, script, pace, seed=seed, faults=faults, recordings=recordings)
        self.batches = BatchService(
            batches or Batches(), seed=seed, clock=clock, answering=lambda params, ids: answer_to(params, seed, ids)
        )
        self._routes = Routes(
            [
                Route("POST", "/v1/messages", messages.create),
                Route("POST", "/v1/messages/count_tokens", self._count_tokens),
                Route("GET", "/v1/models", self._list_models),
                Route("GET", "/v1/models/{model_id}", self._retrieve_model),
                *MessageBatches(self.batches, self._replies, seed).routes,
            ]
        )

    def respond(self, request: Request) -> Reply:
        """Returns the response to a request; its steps can be drawn once, at any time later.

        Takes a step off the script if the request is a valid one to create a message.
        """
        call = self._call(request)
        try:
            endpoint = self._routes.find(request.method, request.path)
            self._authenticate(request.headers)
            return endpoint(call)
        except RefusalError as fault:
            return self._replies.refusal(call, fault)
        except Exception as exc:  # a fault of ours fails one request, as it would in the real service
            _log.exception("the simulator could not answer a request to %s", request.path)
            words = f"The simulator could not answer this request: {type(exc).__name__}: {exc}"
            return self._replies.refusal(call, RefusalError(500, words))

    def refuse(self, fault: RefusalError) -> Reply:
        """Returns the error response to what never became a request: it broke HTTP's rules or was too large."""
        return self._replies.refusal(self._call(Request("", "", {}, b"")), fault)

    def _call(self, request: Request) -> Call:
        # A batch may be very large: it is taken byte for byte.
        digest = digest_of(request, None if request.path == PATH else request.json)
        repeat = self._seen.pop(digest, 0)
        self._seen[digest] = repeat + 1
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        seed = f"{self._seed} {digest} {repeat}"
        random = Random(seed)
        return Call(request, digest, identifier("req", random), random, f"{seed} luck", self._clock())

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

    def _count_tokens(self, call: Call) -> Reply:
        dialect = dialect_of(call.request)
        body = check_count(call.request.json, dialect)
        tokens = input_tokens(body)
        counted: dict[str, Any] = {"input_tokens": tokens}
        if dialect.beta:
            managed = body.get("context_management") is not None
            counted["context_management"] = {"original_input_tokens": tokens} if managed else None
        return self._replies.json(call, counted)

    def _list_models(self, call: Call) -> Reply:
        return self._replies.json(call, model_page(call.request.query))

    def _retrieve_model(self, call: Call, model_id: str) -> Reply:
        return self._replies.json(call, find_model(model_id))
