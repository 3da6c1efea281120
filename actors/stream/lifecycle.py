"""The life of a stream, as a table.

    NEW -> QUEUED -> CONNECTING -> STREAMING -> DONE
                         |             |
                         +-> BACKOFF <-+
                                |
                                +-> QUEUED
    and from anywhere that isn't the end: FAILED, CANCELLED.

NEW is a request nobody has taken up. QUEUED waits for a slot, CONNECTING for the response's head, STREAMING is from the
head to the end, BACKOFF waits before another attempt. DONE, FAILED and CANCELLED are final. A result's state says more:
`complete` is DONE, `cancelled` is CANCELLED, `truncated` and `failed` are FAILED.
"""

from enum import StrEnum

__all__ = ["FINAL", "TRANSITIONS", "Lifecycle", "State"]


class State(StrEnum):
    """Where a stream is in its life.

    `DONE`, `FAILED` and `CANCELLED` are final. The result's `state` is then `complete` for `DONE`, `cancelled` for
    `CANCELLED`, and `truncated` or `failed` for `FAILED`.
    """

    NEW = "new"
    QUEUED = "queued"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    BACKOFF = "backoff"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.DONE, State.FAILED, State.CANCELLED})

_ALWAYS = frozenset({State.FAILED, State.CANCELLED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: _ALWAYS | {State.QUEUED},
    State.QUEUED: _ALWAYS | {State.CONNECTING},
    State.CONNECTING: _ALWAYS | {State.STREAMING, State.BACKOFF},
    State.STREAMING: _ALWAYS | {State.DONE, State.BACKOFF},
    State.BACKOFF: _ALWAYS | {State.QUEUED},
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


class Lifecycle:
    """One stream's place in the table. A step that the table doesn't have is a bug, and raises `RuntimeError`."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.NEW

    def to(self, state: State) -> None:
        """Moves on to `state`."""
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"a stream can't go from {self.state} to {state}")
        self.state = state

    @property
    def ended(self) -> bool:
        """Whether the stream has come to its end."""
        return self.state in FINAL
