"""What a stream's consumers were given of its output, and up to which event that is void.

It stands between the actor, which begins an answer anew, and those who read the output, perhaps in other threads: an
item is given of an answer that stands, or the answer is asked for again; never both.
"""

from threading import Lock

__all__ = ["Given"]


class Given:
    """What was given of one stream's output. From any thread."""

    __slots__ = ("_lock", "_taken", "void_before")

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken = False
        self.void_before = 0
        """The number of the last `RestartEvent`: what the events before it brought is void."""

    def take(self, seq: int) -> bool:
        """A consumer who has read up to the event `seq` wants to act on an item. Returns whether it may: whether what
        it has read still stands. If so, the output is not asked for again."""
        if not self._taken:
            with self._lock:  # against an answer that is asked for again in this very moment
                self._taken = self._taken or seq >= self.void_before  # another thread may have taken one meanwhile
        return seq >= self.void_before

    def withdraw(self, seq: int) -> None:
        """What came before the event `seq` is void."""
        self.void_before = seq

    def withdraw_unless_taken(self, seq: int) -> bool:
        """What came before the event `seq` is void, unless somebody has acted on an item. Returns whether it is."""
        with self._lock:
            if not self._taken:
                self.void_before = seq
            return not self._taken
