"""Which answers of earlier sessions are asked for again when a run goes on: a plain choice, as it was asked for."""

from collections.abc import Mapping
from difflib import get_close_matches

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
_CERTAINLY = 0.85  # so alike are two names of which one is a slip of the other


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
    def unfamiliar(self) -> frozenset[str]:
        """Those of `stopped` that are not known here: they are newer, or another server's, or wrong."""
        return self.stopped - _STOP_REASONS

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
    unmet: tuple[str, ...] = ()
    """The stop reasons that were asked for, are not known here, and for which no earlier answer stopped: each may be a
    slip."""
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
    """Raises `ValueError` for a name that is certainly a slip, and names the right one. Other names that are not known
    here may be newer, or another server's."""
    for name in sorted(names - _STOP_REASONS):
        if near := get_close_matches(name, _STOP_REASONS, 1, _CERTAINLY):
            raise ValueError(f"no stop reason is called {name!r}; did you mean {near[0]!r}?")
