"""The script for batches: what the next requests to each of their endpoints run into."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Literal, TypeAlias, cast, get_args

from ..faults import Cut, Fail, Fault, Slow, Stall

__all__ = ["BatchOperation", "BatchScript", "BatchStep", "check_batch_steps"]

BatchOperation: TypeAlias = Literal["create", "retrieve", "list", "cancel", "delete", "results"]
"""The endpoints of batches, by the names that the SDKs have for them."""
BatchStep: TypeAlias = int | Fail | Cut | Stall | Slow | None
"""What one request runs into; None is nothing."""


class BatchScript:
    """A queue of steps for each operation. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[BatchOperation, deque[Fail | Fault | None]] = {}

    def extend(self, operation: BatchOperation, steps: Iterable[BatchStep]) -> None:
        """Puts steps at the end of the operation's queue, all of them or none.

        Raises TypeError for what isn't a step, ValueError for a status that is no error, for a step with a text of its
        own, and for an operation that there isn't.
        """
        checked = check_batch_steps(operation, steps)
        with self._lock:
            self._steps.setdefault(operation, deque()).extend(checked)

    def take(self, operation: BatchOperation) -> Fail | Fault | None:
        """Returns the operation's next step; None when there is none left, too."""
        with self._lock:
            queue = self._steps.get(operation)
            return queue.popleft() if queue else None


def check_batch_steps(operation: BatchOperation, steps: Iterable[BatchStep]) -> tuple[Fail | Fault | None, ...]:
    """Returns the steps, each status as the error it is short for; raises what `BatchScript.extend` does."""
    if operation not in get_args(BatchOperation):
        raise ValueError(f"operation must be one of {', '.join(get_args(BatchOperation))}, not {operation!r}")
    if isinstance(cast(object, steps), str | bytes):
        raise TypeError("a script is a list of steps: [...]")
    return tuple(map(_check_step, steps))


def _check_step(step: BatchStep) -> Fail | Fault | None:
    if isinstance(step, bool) or not isinstance(cast(object, step), int | Fail | Cut | Stall | Slow | None):
        raise TypeError(f"a {type(step).__name__} is not a step of a script for batches")
    if isinstance(step, Cut | Stall | Slow) and step.text is not None:
        raise ValueError("a step for batches has no text: what batches answer is not scripted")
    return Fail(step) if isinstance(step, int) else step
