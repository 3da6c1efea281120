"""How the results of a batch are sent: many lines to a write, with what breaks them off."""

from __future__ import annotations

from collections.abc import Iterator

from ..faults import Bytes, Cut, Fault, Slow, Stall, strike_body, trickle
from ..service import Send, Step

__all__ = ["send_results"]

_WRITE = 65_536


def send_results(lines: Iterator[bytes], count: int, fault: Fault | None) -> Iterator[Step]:
    """Yields the steps that send so many lines.

    A fault after n comes when n lines and half of the next are sent. One that would come after the last byte comes
    within the last line.
    """
    match fault:
        case None:
            yield from _writes(lines)
        case Slow():
            yield from trickle(_writes(lines), fault.bytes_per_second)
        case Cut(after="nothing") | Stall(after="nothing"):
            if (yield from strike_body(fault)):
                yield from _writes(lines)
        case _:
            before, after = _divided(lines, count, fault)
            yield Send(b"")
            yield from _writes(before)
            if (yield from strike_body(fault)):
                yield from _writes(after)


def _writes(lines: Iterator[bytes]) -> Iterator[Send]:
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _WRITE:
            yield Send(b"".join(waiting))
            waiting, size = [], 0
    if waiting:
        yield Send(b"".join(waiting))


def _divided(lines: Iterator[bytes], count: int, fault: Cut | Stall) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """Returns the lines before the fault and those after it; the second may be drawn when the first are."""
    rest: list[bytes] = []

    def before() -> Iterator[bytes]:
        sent = 0
        for number, line in enumerate(lines):
            part = _part(fault, number, count, sent, line)
            if part is not None:
                rest.append(line[part:])
                yield line[:part]
                return
            sent += len(line)
            yield line

    def after() -> Iterator[bytes]:
        yield from rest
        yield from lines

    return before(), after()


def _part(fault: Cut | Stall, number: int, count: int, sent: int, line: bytes) -> int | None:
    """Returns how many bytes of this line come before the fault; None when it comes later."""
    last = number == count - 1
    if isinstance(fault.after, Bytes):
        part = fault.after.count - sent
        return min(part, len(line) - 1) if part < len(line) or last else None
    if fault.after in ("nothing", "head"):
        return 0
    return len(line) // 2 if number == fault.after or last else None
