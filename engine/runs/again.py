"""Which answers of earlier sessions are asked for again when a run goes on: a plain choice, as it was asked for."""

from collections.abc import Mapping

import attrs

from ...actors.message import EMPTY
from .transient import FAILURES

__all__ = ["Again", "RunAgain", "check_failures", "check_stop_reasons"]

_STOP_REASONS = frozenset(
    {
        "compaction",
        "end_turn",
        "max_tokens",
        "model_context_window_exceeded",
        "pause_turn",
        "refusal",
        "stop_sequence",
        "tool_use",
    }
)
"""Source: `BetaStopReason` of version 2.14 of the official Python SDK, read on 2026-11-29."""


@attrs.frozen(kw_only=True)
class Again:
    """What is run again: the errors that pass by themselves, unless something else is said."""

    errored: bool = False
    """All that errored or expired."""
    only: frozenset[str] = frozenset()
    """Of the errors these alone, by the failure's name or by the type in the results; empty for no such choice."""
    stopped: frozenset[str] = frozenset()
    """Besides, the answers that stopped for one of these reasons."""

    def __attrs_post_init__(self) -> None:
        if self.errored and self.only:
            raise ValueError("retry_errored runs all errors again, retry_only some of them: give one of the two")
        check_failures(self.only)
        check_stop_reasons(self.stopped)

    @property
    def condition(self) -> tuple[str, tuple[str, ...]]:
        """The condition in SQL for rows of answers that are run again, and its parameters."""
        if self.errored:
            found, values = "kind IN ('errored', 'expired')", ()
        elif self.only:
            marks = ", ".join("?" * len(self.only))
            found = f"kind = 'errored' AND (failure IN ({marks}) OR error IN ({marks})) OR kind IN ({marks})"
            values = (*self.only,) * 3
        else:
            found, values = "kind = 'errored' AND transient", ()
        if self.stopped:
            found += f" OR kind = 'succeeded' AND stop_reason IN ({', '.join('?' * len(self.stopped))})"
            values = (*values, *self.stopped)
        return f"state = 'ended' AND ({found})", values


@attrs.frozen(kw_only=True)
class RunAgain:
    """Which answers are run again, counted."""

    errors: Mapping[str, int] = EMPTY
    """Errors, by the failure's name."""
    stopped: Mapping[str, int] = EMPTY
    """Answers, by the reason for which they stopped."""
    dollars: float | None = None
    """What running them again will cost if they cost as much as the succeeded answers did so far, on average; None when
    that is unknown."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.errors.values()) + sum(self.stopped.values())


_OTHER_NAMES = frozenset({"expired"})


def check_failures(names: frozenset[str]) -> None:
    """Raises `ValueError` for a name that no failure has."""
    for name in sorted(names - FAILURES - _OTHER_NAMES):
        raise ValueError(f"no error is called {name!r}; there are {', '.join(sorted(FAILURES | _OTHER_NAMES))}")


def check_stop_reasons(names: frozenset[str]) -> None:
    """Raises `ValueError` for a name that no stop reason has."""
    for name in sorted(names - _STOP_REASONS):
        raise ValueError(f"no stop reason is called {name!r}; there are {', '.join(sorted(_STOP_REASONS))}")
