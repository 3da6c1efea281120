"""Creating a message: the service lets a request in, script or seed decide on its answer, a fault may befall it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

import attrs

from ..answers import (
    Answer,
    Event,
    Head,
    Said,
    identifier,
    message_json,
    recorded_events,
    stream_events,
)
from ..faults import (
    Chance,
    Cut,
    Fail,
    Fault,
    Faults,
    Script,
    Tempo,
    announced_length,
    perform_body,
    perform_events,
    said,
)
from ..service import Account, RefusalError, Reply, Service, Step, check_create, dialect_of
from .answering import answer_to
from .call import Call
from .replies import Replies

__all__ = ["Messages"]

_EVENT_STREAM = "text/event-stream; charset=utf-8"


class Messages:
    """The endpoint that creates messages, streamed or not."""

    def __init__(
        self,
        service: Service,
        replies: Replies,
        script: Script,
        pace: Tempo,
        *,
        seed: int,
        faults: Faults,
        recordings: Sequence[bytes],
    ) -> None:
        self._service = service
        self._replies = replies
        self._script = script
        self._pace = pace
        self._seed = seed
        self._faults = faults
        self._recordings = recordings
        self._count = 0

    def create(self, call: Call) -> Reply:
        """Returns the response; takes a step off the script if the request is a valid one and is let in."""
        body = check_create(call.request.json, dialect_of(call.request))
        call = attrs.evolve(call, model=body["model"])
        try:
            account = self._service.check(body, call.luck, call.now, _user_profile(call, body))
        except RefusalError as fault:
            return self._replies.refusal(call, fault)
        self._count += 1
        match self._script.take():
            case None:
                chance = self._faults.draw(Random(f"{self._seed} fault {self._count}"))
                if self._recordings and body.get("stream"):
                    recording = Random(f"{self._seed} {call.digest} recording").choice(self._recordings)
                    return self._streamed(call, account, recorded_events(recording), chance)
                return self._message(call, account, body, None, chance)
            case (Fail() as failure) | Cut(after="nothing", how=Fail() as failure):
                return self._replies.failure(call, failure)
            case Cut(after="nothing", how="html"):
                return self._replies.page(call)
            case bytes(recording):
                return self._streamed(call, account, recorded_events(recording), None)
            case str(text):
                return self._message(call, account, body, said(text).answer(body, call.random), None)
            case Said() as answer:
                return self._message(call, account, body, answer.answer(body, call.random), None)
            case fault:
                answer = None if fault.text is None else said(fault.text).answer(body, call.random)
                return self._message(call, account, body, answer, fault)

    def _message(
        self,
        call: Call,
        account: Account,
        body: dict[str, Any],
        answer: Answer | None,
        fault: Fault | Chance | None,
    ) -> Reply:
        head = Head(identifier("msg", call.random), body["model"], account.usage)
        answer = answer_to(body, self._seed, call.random, scripted=answer, digest=call.digest)
        account.expect(answer.output_tokens)
        if body.get("stream"):
            events = stream_events(head, answer, Random(f"{self._seed} {call.digest} events"))
            return self._streamed(call, account, events, fault)
        message = message_json(head, answer)
        if isinstance(fault, Chance):
            fault = fault.of(len(message))
        if isinstance(fault, Cut) and isinstance(fault.how, Fail):
            return self._replies.failure(call, fault.how)
        steps = perform_body(message, answer.output_tokens, self._pace, call.random, fault)
        headers = {"content-type": "application/json"}
        if (length := announced_length(message, fault)) is not None:
            headers["content-length"] = str(length)
        return self._answered(call, account, headers, steps)

    def _streamed(self, call: Call, account: Account, events: Iterable[Event], fault: Fault | Chance | None) -> Reply:
        if isinstance(fault, Chance):
            events = list(events)
            fault = fault.of(sum(len(event.data) for event in events))
        steps = perform_events(events, self._pace, call.random, fault, call.request_id)
        headers = {"content-type": _EVENT_STREAM, "cache-control": "no-cache"}
        return self._answered(call, account, headers, steps)

    def _answered(self, call: Call, account: Account, headers: dict[str, str], steps: Iterator[Step]) -> Reply:
        account.let_in(call.now)  # before the headers are made, so that they count this request
        return Reply(200, self._replies.headers(call, headers), steps, performed=account.performed)


def _user_profile(call: Call, body: dict[str, Any]) -> str | None:
    """The user profile that a request names, in its header or in its body."""
    named: object = call.request.headers.get("anthropic-user-profile-id") or body.get("user_profile_id")
    return named if isinstance(named, str) else None
