"""A stream's account: its attempts that are over, the one that runs, and what all of them have used."""

from collections.abc import Callable

from .assembler import Assembler
from .message import Usage
from .stream import Attempt, ErrorInfo, Stopwatch, billed_for, known_usage

__all__ = ["Account"]

_CHARACTERS_A_TOKEN = 4


class Account:
    """Counts each attempt once. `bills_dropped` is for a service that bills a dropped stream in full: it returns about
    how many output tokens the whole answer would have had."""

    def __init__(self, watch: Stopwatch, bills_dropped: Callable[[], float] | None) -> None:
        self._watch = watch
        self._bills_dropped = bills_dropped
        self.attempts: list[Attempt] = []
        """The attempts that are over."""
        self._running = False

    def begin(self) -> None:
        """An attempt begins."""
        self._running = True

    def close(self, assembler: Assembler, error: ErrorInfo | None, request_id: str | None) -> None:
        """The running attempt, if there is one, is over."""
        if not self._running:
            return
        watch = self._watch
        now = watch.clock()
        attempt = Attempt(
            number=len(self.attempts) + 1,
            started=(now if watch.sent is None else watch.sent) - watch.submitted,
            ended=now - watch.submitted,
            request_id=request_id or (error.request_id if error else None),
            usage=assembler.attempt_usage,
            output_estimate=self._last_estimate(assembler, error),
            error=error,
        )
        self._running = False
        self.attempts.append(attempt)

    def billed(self, assembler: Assembler) -> Usage:
        """The best figure for what all attempts have used so far, the running one included."""
        used = billed_for(self.attempts)
        return used + known_usage(assembler.attempt_usage, _estimate(assembler)) if self._running else used

    def _last_estimate(self, assembler: Assembler, error: ErrorInfo | None) -> int | None:
        """The output estimate of an attempt that ends so. Some services bill a stream that broke off or was dropped as
        if it had been read to its end; one that broke it off itself does not."""
        estimate = _estimate(assembler)
        dropped = error is None or error.status is None
        if estimate is not None and self._bills_dropped is not None and assembler.started and dropped:
            return max(estimate, round(self._bills_dropped()))
        return estimate

    def without_service(self) -> "Account":
        """The account as it is, of a stream that has ended: it refers to nobody else."""
        kept = Account(self._watch, None)
        kept.attempts = self.attempts
        return kept


def _estimate(assembler: Assembler) -> int | None:
    """About how many tokens the running attempt brought; None once the API has said its last word on usage."""
    return None if assembler.stop_reason is not None else assembler.attempt_characters // _CHARACTERS_A_TOKEN
