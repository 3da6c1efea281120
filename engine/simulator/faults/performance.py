"""How an answer is performed: its events or its body as steps in time, with the misbehaviour that was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from random import Random
from typing import cast

import attrs

from ..answers import Event
from ..service import Send, Step, Wait
from .misbehaviour import half_way, is_event, strike, strike_body, trickle
from .script import Bytes, Cut, Fault, Slow, Stall

__all__ = ["Tempo", "perform_body", "perform_events"]


def _check_not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not isinstance(cast(object, value), int | float) or isinstance(value, bool) or not value < math.inf:
        raise ValueError(f"{attribute.name} must be a number, not {value!r}")
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative")


@attrs.frozen
class Tempo:
    """How fast the model is: seconds to its first token, then tokens per second; 0 is as fast as possible for both.

    Every wait is up to half as long again, or up to half shorter, as `random` will have it. `random` is drawn from
    for nothing else, so that the pace has no influence on what is said.
    """

    time_to_first_token: float = attrs.field(default=0.0, validator=_check_not_negative)
    tokens_per_second: float = attrs.field(default=0.0, validator=_check_not_negative)

    def first(self, random: Random) -> Iterator[Step]:
        """Yields the wait before a response begins, if there is one."""
        if self.time_to_first_token:
            yield Wait(self.time_to_first_token * random.uniform(0.5, 1.5))

    def next(self, tokens: int, random: Random) -> Iterator[Step]:
        """Yields the wait for so many more tokens, if there is one."""
        if tokens and self.tokens_per_second:
            yield Wait(tokens / self.tokens_per_second * random.uniform(0.5, 1.5))


def perform_events(
    events: Iterable[Event], pace: Tempo, random: Random, fault: Fault | None, request_id: str
) -> Iterator[Step]:
    """Yields the steps of a streamed answer, each event a write of its own, with what comes at the fault."""
    if isinstance(fault, Slow):
        yield from pace.first(random)
        yield from trickle((_send(event) for event in events), fault.bytes_per_second)
        return
    if fault is not None and fault.after == "nothing":
        if not (yield from strike(fault, request_id)):
            return
        fault = None
    yield from pace.first(random)
    if fault is not None and fault.after in ("head", Bytes(0)):
        yield Send(b"")
        if not (yield from strike(fault, request_id)):
            return
        fault = None
    deltas = sent = 0
    for event in events:
        part = None if fault is None else _before(fault, event, deltas, sent)
        if part is None or fault is None:
            yield from pace.next(event.tokens, random)
            yield _send(event)
        else:
            if part:
                yield from pace.next(event.tokens, random)
                yield Send(event.data[:part], event.kind, event.tokens)
            if not (yield from strike(fault, request_id)):
                return
            fault = None
            if part:
                yield Send(event.data[part:])
            else:
                yield from pace.next(event.tokens, random)
                yield _send(event)
        deltas += event.kind == "content_block_delta"
        sent += len(event.data)
    if fault is not None:  # a recording that has no last event
        yield from strike(fault, request_id)


def _send(event: Event) -> Send:
    return Send(event.data, event.kind, event.tokens)


def _before(fault: Cut | Stall, event: Event, deltas: int, sent: int) -> int | None:
    """Returns how many bytes of an event come before the fault; None when all of it does."""
    if isinstance(fault.after, Bytes):
        part = fault.after.count - sent
        if part < len(event.data):
            return 0 if is_event(fault) else part
    # With no delta to come before it, the fault waits for the block to open.
    elif deltas == fault.after and (deltas > 0 or event.kind == "content_block_delta"):
        return 0
    return 0 if event.kind == "message_stop" else None


def perform_body(body: bytes, tokens: int, pace: Tempo, random: Random, fault: Fault | None) -> Iterator[Step]:
    """Yields the steps of an answer that isn't streamed; what breaks it off comes in the middle of the body."""
    if isinstance(fault, Cut | Stall) and fault.after == "nothing":
        if not (yield from strike_body(fault)):
            return
        fault = None
    yield from pace.first(random)
    yield from pace.next(tokens, random)
    whole = Send(body, "message", tokens)
    match fault:
        case None:
            yield whole
        case Slow():
            yield from trickle(iter([whole]), fault.bytes_per_second)
        case _:
            part = half_way(fault, body)
            yield Send(body[:part], "message", tokens)
            if (yield from strike_body(fault)):
                yield Send(body[part:])
