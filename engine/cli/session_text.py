"""What is said before and after a session of a run, but for its last lines."""

from collections import Counter

from ..input.pipe import RequestPipe
from ..report.units import cost, duration, rate, seconds, shares, shorten
from ..runs.figures import Figures
from ..runs.run import Run
from ..runs.totals import Totals
from .pieces import KIND, MUCH, cost_so_far, counts, ended_early, failure_told, in_brackets, paid_twice
from .replaced import replaced

__all__ = ["lost", "outcome", "resumed", "skipped", "summary", "warn_of_paid_twice"]

_MESSAGES_AT_THE_END = 5


def resumed(run: Run) -> list[str]:
    """What earlier sessions did, for the beginning of a run."""
    before, again = run.figures.before, run.resumed.again
    lines: list[str] = []
    if before.done or before.lost or again.count:
        lines.append(f"continuing: {before.done:,} done before{in_brackets(_before(run))}")
    if again.count:
        price = "" if again.dollars is None else f", for about {cost(again.dollars)} at what the answers cost so far"
        kinds = [f"errored by {shorten(kind, KIND)} {count:,}" for kind, count in again.errors.items()]
        kinds += [f"stopped at {shorten(reason, KIND)} {count:,}" for reason, count in again.stopped.items()]
        lines.append(f"run again: {', '.join(kinds)}{price}")
    if again.unmet:
        lines.append(f"run again: no answer stopped at {', '.join(shorten(reason, KIND) for reason in again.unmet)}")
    return lines + lost(before)


def _before(run: Run) -> list[str]:
    counts = [
        (run.resumed.gone, "of requests that are no longer in the input"),
        (run.resumed.missing, "missing from the results are run again"),
    ]
    return [f"{count:,} {what}" for count, what in counts if count]


def summary(figures: Figures) -> list[str]:
    """How this session went and what the run has used, one figure a line; nothing if nothing was done."""
    took = figures.seconds
    before = figures.before
    tokens = figures.output_tokens - before.output_tokens - before.lost_output_tokens
    if not took or not (figures.done > before.done or tokens):
        return []
    lines = [
        f"time               {duration(took) if took >= 100 else seconds(took)}",
        f"tokens             {figures.input_tokens:,} in, {figures.output_tokens:,} out ({rate(tokens / took)} out/s)",
        f"cost               {cost_so_far(figures)}{_why_inexact(figures)}",
        f"events             {figures.events:,} ({rate(figures.events / took)}/s)",
        *([f"ended early        {', '.join(stops)}"] if (stops := ended_early(figures)) else []),
        f"to first content   {shares(figures.first_content())}  (from request sent to first content)",
    ]
    if (between := figures.between_contents()) is not None:
        lines.append(f"between contents   {shares(between)}  (the median stream's own percentiles)")
    if (twice := paid_twice(figures)) is not None:
        lines.append(f"paid twice         {twice}")
    if figures.retries:
        lines.append(f"retried            {figures.retries.total():,}{in_brackets(counts(figures.retries))}")
    return lines


def _why_inexact(figures: Figures) -> str:
    why = [f"no price is known for {figures.unpriced:,} requests"] if figures.unpriced else []
    if figures.estimated:
        why.append("interrupted answers are estimated")
    return f"  ({'; '.join(why)})" if why else ""


def lost(totals: Totals, before: Totals | None = None) -> list[str]:
    """What was paid for without getting an answer, in all sessions; or in those since `before`."""
    before = before or Totals()
    tokens_in = totals.lost_input_tokens - before.lost_input_tokens
    tokens_out = totals.lost_output_tokens - before.lost_output_tokens
    if tokens_in <= 0 and tokens_out <= 0:
        return []
    dollars = cost(max(0.0, totals.lost_dollars - before.lost_dollars), exact=False)
    why = "estimated; paid for, and no answer was kept"
    return [f"lost               {tokens_in:,} in, {tokens_out:,} out, {dollars}  ({why})"]


def skipped(run: Run) -> list[str]:
    """What was skipped in an input that was read as it came, and what was replaced in it."""
    if not isinstance(run.source, RequestPipe):
        return []
    return [*replaced(run.source.replaced, run.source.parameters), *run.invalid.lines()]


def outcome(figures: Figures) -> list[str]:
    """What went wrong, the most frequent first."""
    told = figures.failures[:_MESSAGES_AT_THE_END]
    lines = [f"errored            {failure_told(failure)}" for failure in told]
    rest = figures.errors - sum((Counter({one.type: one.count}) for one in told), Counter[str]())
    others = {one.type for one in told}
    return lines + [
        f"errored            {count:,} {'more ' if kind in others else ''}{shorten(kind, KIND)}"
        for kind, count in rest.most_common()
    ]


def warn_of_paid_twice(figures: Figures) -> list[str]:
    """A warning when more than 5 % of the cost was paid twice."""
    if not figures.started or not figures.dollars or figures.dollars_twice / figures.dollars <= MUCH:
        return []
    share = 100 * figures.dollars_twice / figures.dollars
    return [f"warning: {share:.0f} % of the cost was paid twice: by broken streams, interruptions, or asking again"]
