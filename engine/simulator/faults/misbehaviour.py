"""What happens where an answer misbehaves: the steps at the point of a fault, and how bytes come in a trickle."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

from ..answers import PING, encode_event
from ..service import Abort, BadChunk, Close, Send, Step, Wait
from .script import Bytes, Cut, Fail, Fault, Stall

__all__ = ["HTML_PAGE", "announced_length", "half_way", "is_event", "strike", "strike_body", "trickle"]

HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n"
_GARBAGE = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_de\n\n'
_BAD_UTF8 = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xf0\x9f\xff"}}\n\n'
)
_BODY_ENDS = {"end": b"", "garbage": b"", "bad-utf8": b"\xf0\x9f\xff", "html": HTML_PAGE}
_WRITES_PER_SECOND = 100  # of a trickle, at most


def is_event(fault: Cut | Stall) -> bool:
    """Whether the fault shows as events of its own, which come between the others and never inside one."""
    if isinstance(fault, Stall):
        return fault.pings is not None
    return fault.how not in ("end", "close", "reset", "bad-chunk")


def strike(fault: Cut | Stall, request_id: str) -> Generator[Step, None, bool]:
    """Yields what happens to a stream at the point of its fault; returns whether it goes on after that."""
    match fault:
        case Stall():
            yield from _silence(fault.seconds, fault.pings)
            return fault.seconds is not None
        case Cut(how=Fail() as error):
            yield Send(encode_event("error", error.body(request_id)), "error")
        case Cut(how="garbage"):
            yield Send(_GARBAGE)
        case Cut(how="bad-utf8"):
            yield Send(_BAD_UTF8)
        case Cut(how="html"):
            yield Send(HTML_PAGE)
        case _:
            yield from _break_off(fault)
    return False


def strike_body(fault: Cut | Stall) -> Generator[Step, None, bool]:
    """Yields what happens in the middle of a body that isn't streamed; returns whether it goes on after that."""
    match fault:
        case Stall():
            yield from _silence(fault.seconds, None)
            return fault.seconds is not None
        case Cut(how=str(how)) if _BODY_ENDS.get(how):
            yield Send(_BODY_ENDS[how])
        case _:
            yield from _break_off(fault)
    return False


def half_way(fault: Cut | Stall, body: bytes) -> int:
    """Returns how many bytes of a body that isn't streamed are sent before its fault; never all of them."""
    return min(fault.after.count, len(body) - 1) if isinstance(fault.after, Bytes) else len(body) // 2


def announced_length(body: bytes, fault: Fault | None) -> int | None:
    """Returns the length that the head tells, so that a body which is to end in good order does; None for chunks."""
    match fault:
        case Cut(how="bad-chunk"):
            return None
        case Cut(how=str(how)) if how in _BODY_ENDS:
            return half_way(fault, body) + len(_BODY_ENDS[how])
        case _:
            return len(body)


def trickle(steps: Iterator[Step], bytes_per_second: float) -> Iterator[Step]:
    """Yields the steps with the bytes of each write spread over time."""
    size = max(1, round(bytes_per_second / _WRITES_PER_SECOND))
    for step in steps:
        if not isinstance(step, Send):
            yield step
            continue
        for start in range(0, len(step.data), size):
            part = step.data[start : start + size]
            yield Wait(len(part) / bytes_per_second)
            yield Send(part) if start else Send(part, step.kind, step.tokens)


def _silence(seconds: float | None, pings: float | None) -> Iterator[Step]:
    left = math.inf if seconds is None else seconds
    while pings is not None and left > pings:
        yield Wait(pings)
        yield Send(PING, "ping")
        left -= pings
    yield Wait(left)


def _break_off(fault: Cut) -> Iterator[Step]:
    match fault.how:
        case "close":
            yield Close()
        case "reset":
            yield Abort()
        case "bad-chunk":
            yield BadChunk()
        case _:
            pass  # the body just ends here
