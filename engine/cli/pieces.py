"""Pieces of text about a run that its live view, its plain lines and its summary share."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ..report.units import cost, shorten
from ..runs.failures import Failure
from ..runs.figures import Figures

__all__ = [
    "JOINT",
    "KIND",
    "MESSAGE",
    "MUCH",
    "cost_so_far",
    "counts",
    "ended_early",
    "failure_told",
    "in_brackets",
    "paid_twice",
    "such_as",
]

JOINT = "\xa0"
"""A space at which no line is broken."""
KIND = 60
"""Characters of an error's name."""
MESSAGE = 160
"""Characters of an error's message."""
MUCH = 0.05
"""The share of the cost that is too much to be paid twice."""
_USUAL_STOPS = ("end_turn", "stop_sequence", "tool_use")


def such_as(failure: Failure) -> str:
    return f"such{JOINT}as{JOINT}{shorten(failure.custom_id or '-', KIND)}"


def failure_told(failure: Failure) -> str:
    example = f" ({such_as(failure)})" if failure.custom_id is not None else ""
    return (f"{failure.count:,} {shorten(failure.type, KIND)}: {shorten(failure.message, MESSAGE)}{example}").replace(
        JOINT, " "
    )


def ended_early(figures: Figures) -> list[str]:
    """How often messages stopped for another reason than that they were whole."""
    return [
        f"refused {count:,}" if reason == "refusal" else f"stopped at {shorten(reason, KIND)} {count:,}"
        for reason, count in figures.stop_reasons.most_common()
        if reason not in _USUAL_STOPS
    ]


def counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{shorten(kind, KIND)} {count:,}" for kind, count in Counter(counts).most_common(5)]


def cost_so_far(figures: Figures) -> str:
    return cost(figures.dollars, exact=not figures.estimated and not figures.unpriced, known=figures.price_known)


def in_brackets(words: Sequence[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def paid_twice(figures: Figures) -> str | None:
    """What was paid for and asked for again, and why; None when nothing was."""
    counts = [("restarts", figures.restarts), ("resumes", figures.resumes)]
    why = ", ".join(f"{name} {count:,}" for name, count in counts if count)
    if not why:
        return None
    twice = cost(figures.dollars_twice, exact=not figures.estimated, known=figures.price_known)
    share = figures.dollars_twice / figures.dollars if figures.dollars else 0.0
    return f"{twice} ({why})" + (f", {100 * share:.0f} % of the cost" if share > MUCH else "")
