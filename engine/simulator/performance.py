"""How an answer is performed: its events or its body as steps in time, with the misbehaviour that was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from random import Random

import attrs

from .errors import error_body
from .exchange import Abort, Close, Send, Step, Wait
from .script import Cut, Fail, Stall
from .wire import PING, Event, encode_event

__all__ = ["Pace", "perform_body", "perform_events", "perform_recording"]

_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
_GARBAGE = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_de\n\n'


def _check_not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative")


@attrs.frozen
class Pace:
    """How fast the model is: seconds to its first token, then tokens per second; 0 is as fast as possible for both.

    Every wait is up to half as long again, or up to half shorter, as `random` will have it. `random` is drawn from
    for nothing else, so that the pace has no influence on what is said.
    """

    time_to_first_token: float = attrs.field(default=0.0, validator=_check_not_negative)
    tokens_per_second: float = attrs.field(default=0.0, validator=_check_not_negative)

    def first(self, random: Random) -> Iterator[Step]:
        """Yield the wait before a response begins, if there is one."""
        if self.time_to_first_token:
            yield Wait(self.time_to_first_token * random.uniform(0.5, 1.5))

    def next(self, tokens: int, random: Random) -> Iterator[Step]:
        """Yield the wait for so many more tokens, if there is one."""
        if tokens and self.tokens_per_second:
            yield Wait(tokens / self.tokens_per_second * random.uniform(0.5, 1.5))


def perform_events(
    events: Iterable[Event], pace: Pace, random: Random, fault: Cut | Stall | None, request_id: str
) -> Iterator[Step]:
    """Yield the steps of a streamed answer, each event a write of its own, up to where the fault comes."""
    after = None if fault is None else fault.after
    if fault is not None and after == "nothing":
        yield from _ending(fault, request_id)
        return
    yield from pace.first(random)
    if fault is not None and after == "head":
        yield Send(b"")
        yield from _ending(fault, request_id)
        return
    deltas = 0
    for event in events:
        is_delta = event.kind == "content_block_delta"
        # With no delta to come before it, the fault waits for the block to open; with too few, for the last event.
        if fault is not None and ((deltas == after and (is_delta or deltas > 0)) or event.kind == "message_stop"):
            yield from _ending(fault, request_id)
            return
        yield from pace.next(event.tokens, random)
        yield Send(event.data)
        deltas += is_delta


def perform_body(body: bytes, tokens: int, pace: Pace, random: Random, fault: Cut | Stall | None) -> Iterator[Step]:
    """Yield the steps of an answer that isn't streamed; what breaks it off comes in the middle of the body."""
    if fault is not None and fault.after == "nothing":
        yield from _silence_or_end(fault)
        return
    yield from pace.first(random)
    yield from pace.next(tokens, random)
    if fault is None:
        yield Send(body)
    else:
        yield Send(body[: len(body) // 2])
        yield from _silence_or_end(fault)


def perform_recording(body: bytes, pace: Pace, random: Random) -> Iterator[Step]:
    """Yield the steps of a recorded event stream: its very bytes, an event a write, at the pace of a token each."""
    yield from pace.first(random)
    for event in _EVENT_END.split(body):
        if event:
            yield from pace.next(1, random)
            yield Send(event)


def _ending(fault: Cut | Stall, request_id: str) -> Iterator[Step]:
    """Yield what happens to a stream at the point of its fault."""
    if isinstance(fault, Stall) and fault.pings is not None:
        while True:
            yield Wait(fault.pings)
            yield Send(PING)
    match fault:
        case Cut(how=Fail() as error):
            yield Send(encode_event("error", error_body(error.type, error.message, request_id)))
        case Cut(how="garbage"):
            yield Send(_GARBAGE)
        case _:
            yield from _silence_or_end(fault)


def _silence_or_end(fault: Cut | Stall) -> Iterator[Step]:
    match fault:
        case Stall():
            yield Wait(math.inf)
        case Cut(how="close"):
            yield Close()
        case Cut(how="reset"):
            yield Abort()
        case _:
            pass  # the body just ends here
