"""How much the server may send: the windows of what is received, of each stream and of the connection (RFC 9113, 5.2).

A stream's window is given back when its body was taken: so much waits for one that nobody reads, and no more. The
connection's is larger than all of them together, so that no stream waits for another; it counts what comes late, too.
"""

from .frames import window_update
from .incoming import WINDOW, Incoming

__all__ = ["SHARED_WINDOW", "Windows"]

_CREDIT = 32768  # what was taken of a stream is given back from so many bytes on
_MOST_STREAMS = 128  # more than share a connection
SHARED_WINDOW = (1 << 24) + WINDOW * _MOST_STREAMS
"""The connection's window, in bytes."""

_SHARED_CREDIT = 1 << 20
_MOST_LATE = 1000  # streams


class Windows:
    """The windows of a connection. A stream has its own in `window`, and in `uncredited` what nobody has taken."""

    def __init__(self) -> None:
        self.updates: list[bytes] = []
        """The frames that give windows back, for the caller to send and to clear."""
        self._left = SHARED_WINDOW
        self._owed = 0
        self._late: dict[int, int] = {}  # what the server may still send of streams that we reset

    def receive(self, count: int) -> bool:
        """Takes in that so many bytes came, of whatever streams. Returns whether the connection's window allowed it."""
        self._left -= count
        if self._owed >= _SHARED_CREDIT:
            self.updates.append(window_update(0, self._owed))
            self._left += self._owed
            self._owed = 0
        return self._left >= 0

    def credit(self, stream: Incoming, *, goes_on: bool) -> None:
        """Takes in that what came of a stream's body was taken. If it `goes_on`, the server may send as much again."""
        self._owed += stream.uncredited
        stream.uncredited = 0
        owed = WINDOW - stream.window
        if goes_on and owed >= _CREDIT:
            stream.window = WINDOW
            self.updates.append(window_update(stream.id, owed))

    def give_back(self, stream: Incoming, count: int) -> None:
        """Takes in that so many of the bytes that came need not be taken by anybody: they were padding."""
        self._owed += count
        stream.window += count
        self.updates.append(window_update(stream.id, count))

    def reset(self, stream: Incoming) -> None:
        """Takes in that we reset a stream: the server may not know it yet, and use up its window."""
        self._late[stream.id] = stream.window
        if len(self._late) > _MOST_LATE:
            del self._late[next(iter(self._late))]

    def receive_late(self, number: int, count: int, *, end: bool) -> bool:
        """Takes in that bytes came of a stream that is over; `end` says that they are the last. Returns whether the
        stream's window allowed it. The connection's is told by `receive`."""
        self._owed += count
        left = self._late.get(number, WINDOW) - count
        if end:
            self._late.pop(number, None)
        elif number in self._late:
            self._late[number] = left
        return left >= 0
