"""The last lines of a run: how it ended, and what to do now. Plain functions of what is known then.

| how it ended                 | the last lines                                                                 |
|------------------------------|--------------------------------------------------------------------------------|
| all were run                 | the counts; of errors, which are run again by the same command and which not   |
| something stopped it         | the counts; what stopped it, and what to do about that                         |
| a signal interrupted it      | the counts; the same command goes on                                           |
| the results can't be written | the counts, with what came and was not written; the same command goes on       |
| the input was wrong          | nothing beyond the error, unless something was answered before                 |
"""

import math
import re
from collections.abc import Mapping

import attrs

from ...actors.stream import STATUS_OF_TYPE
from ..input import InputError
from ..report.units import cost, shorten
from ..runs import OutputError, RunStopped
from ..runs.figures import Figures
from ..runs.stopping import StopReason

__all__ = ["RunEnding", "last_lines"]

_KIND = 60
_NEARLY = 0.9  # of a cap: when less is spent, what stopped the run is that one more costs so much
_NEXT = re.compile(r"one more may cost \$([0-9.]+)")  # as admission says it
_GO_ON = "run the same command again to continue"

_TO_DO: dict[StopReason, str] = {
    "key": "put the key right (ANTHROPIC_API_KEY)",
    "billing": "put the billing right",
    "permission": "use a key that has the permission",
    "model": "name a model that exists",
    "account": "have the hold on the organization lifted",
    "profile": "put the user profile's billing right",
    "spend_limit": "raise the limit in the console, or wait until the API allows more",
    "spend_cap": "raise the spend cap",
    "unreachable": "look at the network and at the base URL",
    "wrong_url": "put the base URL right",
    "broken": "look at what answers in the API's place",
}


@attrs.frozen(kw_only=True)
class RunEnding:
    """What is known at the end of a run."""

    figures: Figures
    output: str
    """The path of the results file, or `stdout`."""
    resumable: bool
    """Whether the same command goes on with it."""
    sessions: int = 1
    """How often it was begun or continued."""
    spend_cap: float | None = None
    failure: Exception | None = None
    """What ended it before its end."""
    interrupted: bool = False
    """Whether a signal did, and left requests without an answer."""


def last_lines(ending: RunEnding) -> list[str]:
    """The lines, the most important last."""
    figures, failure = ending.figures, ending.failure
    if isinstance(failure, InputError) and not figures.done and not figures.started:
        return []
    counts = _counts(ending)
    if isinstance(failure, RunStopped):
        return [counts, f"stopped: {_stopped(ending, failure)}"]
    if isinstance(failure, InputError):
        return [counts]
    if ending.interrupted:
        return [_with(f"interrupted: {counts}", _GO_ON if ending.resumable else "")]
    if isinstance(failure, OutputError):
        return [_with(counts, f"when that is mended, {_GO_ON}" if ending.resumable else "")]
    to_do = [] if not ending.resumable else _errors(figures)
    unfinished = ending.resumable and (
        figures.not_run or figures.unwritten or (figures.total is None and figures.stopping)
    )
    return [_with(counts, _GO_ON if unfinished else ""), *to_do]


def _with(line: str, more: str) -> str:
    return f"{line}; {more}" if more else line


def _counts(ending: RunEnding) -> str:
    figures = ending.figures
    counts = [f"{count:,} {kind}" for kind, count in figures.endings.most_common() if count]
    if figures.unwritten:
        counts.append(f"{figures.unwritten:,} answers not written")
    if figures.not_run:
        counts.append(f"{figures.not_run:,} not run")
    total = figures.done + figures.unwritten + figures.not_run
    return f"{', '.join(counts) or 'nothing done'} of {total:,}; results in {ending.output}"


def _errors(figures: Figures) -> list[str]:
    """Which errors the same command runs again, and what to do about the others."""
    pieces = [f"{_by(figures.passing)}: the same command runs them again"] if figures.passing else []
    by_remedy: dict[str, dict[str, int]] = {}
    for name, count in figures.lasting.items():
        by_remedy.setdefault(_remedy(name), {})[name] = count
    pieces += [f"{_by(errors)}: {remedy}, then --retry-errored" for remedy, errors in by_remedy.items()]
    return ["; ".join(pieces)] if pieces else []


def _remedy(name: str) -> str:
    """What people do about a failure of this name that does not pass."""
    if name.startswith("deadline_") or name == "expired":
        return "give them more time"
    return "mend the input" if name in STATUS_OF_TYPE or name == "request_error" else "look at the report"


def _by(errors: Mapping[str, int]) -> str:
    first, *others = (
        f"{count:,} {{}}by {shorten(kind, _KIND)}" for kind, count in sorted(errors.items(), key=lambda one: -one[1])
    )
    return ", ".join([first.format("errored "), *(one.format("") for one in others)])


def _stopped(ending: RunEnding, stopped: RunStopped) -> str:
    match stopped.reason:
        case "spend_cap" if ending.spend_cap is not None:
            return _spend_cap(ending, ending.spend_cap, str(stopped))
        case "failures":
            again = "mend what fails, then --retry-errored; or raise --max-failures"
            return f"{stopped}; to go on: {again}" if ending.resumable else str(stopped)
        case reason:
            then = ", then run the same command again" if ending.resumable else ""
            return _with(str(stopped), f"{_TO_DO[reason]}{then}" if reason in _TO_DO else "")


def _spend_cap(ending: RunEnding, cap: float, why: str) -> str:
    figures = ending.figures
    spent = cost(figures.dollars, exact=not figures.estimated and not figures.unpriced, known=True)
    over = f" over {ending.sessions:,} sessions" if ending.sessions > 1 else ""
    line = f"spend cap, {spent} of ${cap:g} spent{over}"
    found = _NEXT.search(why)
    following = 0.0 if found is None else float(found[1])
    if figures.dollars < _NEARLY * cap and following:
        line += f", and the next request may cost {cost(following)}"
    return f"{line}; to go on: --spend-cap {_more(cap, figures.dollars + following):.10g}" if ending.resumable else line


def _more(cap: float, spent: float) -> float:
    """The cap, doubled until it leaves room."""
    return cap * 2 ** max(1, math.floor(math.log2(spent / cap)) + 1 if spent > 0 else 1)
