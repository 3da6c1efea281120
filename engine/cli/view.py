"""The text that is shown of a run: plain functions of its figures, its speed and its engine's stats."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text

from ..admission import Reason
from ..report.units import compact, cost, duration, printable, rate, seconds, shares, shorten
from ..runs.failures import Failure
from ..runs.figures import Figures
from ..runs.pipe import RequestPipe
from ..runs.rates import Speed
from ..runs.run import Run
from ..runs.totals import Totals
from ..stats import EngineStats, LimitStats, PoolStats
from .replaced import replaced

__all__ = [
    "live_lines",
    "lost",
    "outcome",
    "paid_twice",
    "plain_line",
    "resumed",
    "skipped",
    "stopping_text",
    "summary",
    "waiting_text",
    "warn_of_paid_twice",
]

_WAITS = {
    "concurrency": "for a slot",
    "adaptive_concurrency": "for the adaptive limit",
    "pause": "for a pause that the API asked for",
    "pace": "to spread requests over time",
    "requests_per_minute": "for requests per minute",
    "input_tokens_per_minute": "for input tokens per minute",
    "output_tokens_per_minute": "for output tokens per minute",
    "retry_budget": "for the retry budget",
    "group": "for their group",
    "cache": "for a shared prompt to be cached",
    "spend_cap": "for the spend cap",
    "backoff": "for another attempt",
}
_LIMITS: dict[Reason, str] = {
    "requests_per_minute": "requests/min",
    "input_tokens_per_minute": "input/min",
    "output_tokens_per_minute": "output/min",
}
_LABELS = 18  # columns for the labels
_WIDE = 60  # columns; on a narrower terminal the labels have no column of their own
_BAR = 32
_LEAST_BAR = 4
_JOINT = "\xa0"  # a space at which no line is broken
_POOLS = 3
_MESSAGE = 160
_MESSAGES = 3  # in what is shown while it runs
_MESSAGES_AT_THE_END = 5
_KIND = 60
_USUAL_STOPS = ("end_turn", "stop_sequence", "tool_use")
_LONG_PAUSE = 60.0  # seconds
_MUCH = 0.05  # of the cost


# -- the live view


def live_lines(figures: Figures, speed: Speed, stats: EngineStats, width: int) -> list[Text]:
    """The run in lines of less than `width` columns: first what concerns all of it, then what went wrong, then how fast
    it goes. No line breaks a figure in two."""
    lines = _progress(figures, speed, width)
    if figures.trouble is not None:
        lines += _flow("", [Text(shorten(figures.trouble, _MESSAGE), "bold red")], width)
    rows: list[tuple[str, Sequence[Text | str]]] = [
        ("running", [Text(f"{stats.running:,}", "bold cyan"), *_waits(stats)]),
        (
            "succeeded",
            [Text(f"{figures.succeeded:,}", "bold green"), *(Text(_tied(one), "yellow") for one in _stops(figures))],
        ),
        (
            "failed",
            [Text(f"{figures.failed:,}", "bold red" if figures.failed else ""), *map(_tied, _failures(figures))],
        ),
    ]
    rows += [("error", [_error(failure, 2 * width)]) for failure in figures.failures[:_MESSAGES]]
    if figures.retries:
        rows.append(("retried", [f"{figures.retries.total():,}", *map(_tied, _counts(figures.retries))]))
    rows += [
        (
            "so far",
            [
                f"{compact(figures.input_tokens)}{_JOINT}tokens{_JOINT}in",
                f"{compact(figures.output_tokens)}{_JOINT}out",
                _cost(figures),
            ],
        ),
        *([] if (twice := paid_twice(figures)) is None else [("paid twice", [twice])]),
        (
            "a second",
            [
                f"{rate(speed.requests)}{_JOINT}requests",
                f"{rate(speed.events)}{_JOINT}events",
                f"{rate(speed.tokens)}{_JOINT}output{_JOINT}tokens",
            ],
        ),
        ("to first content", _percentiles(figures.first_content())),
        ("between contents", _percentiles(figures.between_contents())),
    ]
    rows += [(pool.name, _pool(pool)) for pool in sorted(stats.pools, key=lambda pool: -pool.running)[:_POOLS]]
    for label, pieces in rows:
        lines += _flow(label, pieces, width)
    return lines


def _error(failure: Failure, room: int) -> Text:
    example = f"{_JOINT}({_such_as(failure)})" if failure.custom_id is not None else ""
    return Text.assemble(
        (f"{failure.count:,}{_JOINT}{shorten(failure.type, _KIND)}", "red"),
        ": ",
        (shorten(failure.message, min(room, _MESSAGE)), "dim"),
        (example.replace(_JOINT, " ", 1), "dim"),
    )


def _such_as(failure: Failure) -> str:
    return f"such{_JOINT}as{_JOINT}{shorten(failure.custom_id or '-', _KIND)}"


def _stops(figures: Figures) -> list[str]:
    """How often messages stopped for another reason than that they were whole."""
    return [
        f"refused {count:,}" if reason == "refusal" else f"stopped at {shorten(reason, _KIND)} {count:,}"
        for reason, count in figures.stop_reasons.most_common()
        if reason not in _USUAL_STOPS
    ]


def _progress(figures: Figures, speed: Speed, width: int) -> list[Text]:
    done, total = figures.done, figures.total
    counted = f"{done:,}" if total is None else f"{done:,} of {total:,}"
    pieces: list[Text | str] = [Text(_joined(counted), "bold")]
    if total:
        pieces.append(f"{100 * done // total}{_JOINT}%")
    pieces.append(Text(_joined(duration(figures.seconds)), "dim"))
    pieces.append(_remaining(figures, speed))
    if not total:
        return _flow("", pieces, width)
    room = width - 1 - len(counted) - len("  100 %  ")  # so that a narrow terminal has the count beside it
    if room >= _LEAST_BAR:
        pieces.insert(0, _bar(done / total, min(_BAR, room)))
    return _flow("", pieces, width)


def _tied(words: str) -> str:
    """The words, of which the last two are on one line."""
    return _JOINT.join(words.rsplit(" ", 1))


def _joined(words: str) -> str:
    """The words as one figure, which is never on two lines."""
    return words.replace(" ", _JOINT)


def _bar(share: float, width: int) -> Text:
    full = min(width, int(share * width))
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"))


def _remaining(figures: Figures, speed: Speed) -> str:
    if speed.remaining is None:
        return "stopping" if figures.stopping else "time left unknown"
    return f"about {_joined(_coarse(speed.remaining))} left"


def _coarse(value: float) -> str:
    """A time, rounded as an estimate deserves."""
    if value < 10:
        return f"{value:.0f} s"
    if value < 100:
        return f"{5 * round(value / 5)} s"
    return f"{round(value / 60)} min" if value < 3600 else duration(value)


def _waits(stats: EngineStats) -> list[str]:
    if not stats.waits:
        return []
    first, *others = (f"{count:,}{_JOINT}{_WAITS[why]}" for why, count in Counter(stats.waiting_for).most_common())
    return [f"{len(stats.waits):,}{_JOINT}waiting: {first}", *others]


def _failures(figures: Figures) -> list[str]:
    others = {ending: figures.endings[ending] for ending in ("canceled", "expired") if figures.endings[ending]}
    return _counts({**figures.errors, **others})


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{shorten(kind, _KIND)} {count:,}" for kind, count in Counter(counts).most_common(5)]


def _cost(figures: Figures) -> str:
    return cost(figures.dollars, exact=not figures.estimated and not figures.unpriced, known=figures.price_known)


def _percentiles(times: tuple[float, ...] | None) -> list[Text | str]:
    if times is None:
        return ["-"]
    return [
        Text.assemble((f"{name}{_JOINT}", "dim"), _joined(seconds(value)))
        for name, value in zip(("p50", "p90", "p99"), times, strict=True)
    ]


def _pool(pool: PoolStats) -> list[Text | str]:
    pieces: list[Text | str] = [f"{_joined(f'{pool.running:,} of {pool.concurrency:,}')} at once"]
    if pool.pause:
        pieces.append(Text(_pause(pool), "yellow"))
    return pieces + [_limit(_LIMITS[reason], limit) for reason, limit in pool.limits.items()]


def _pause(pool: PoolStats) -> str:
    """How long the pool is paused; where that is long enough to come back later, until when."""
    text = f"paused {seconds(pool.pause)}"
    if pool.paused_until is None or pool.pause < _LONG_PAUSE:
        return text
    return f"{text}, until {pool.paused_until:%Y-%m-%d %H:%M:%S} UTC"


def _limit(name: str, limit: LimitStats) -> Text:
    left = max(0, min(100, int(100 * limit.remaining / limit.capacity)))
    style = "red" if left < 10 else "yellow" if left < 30 else ""
    return Text.assemble(
        (f"{name} ", "dim"), (f"{left}{_JOINT}%{_JOINT}left", style), (f" of {compact(limit.per_minute)}", "dim")
    )


def _flow(label: str, pieces: Iterable[Text | str], width: int) -> list[Text]:
    """The pieces side by side, on as many lines as they need. A piece that is too long for a line goes on in the next,
    between two words; a word that is too long is cut. No terminal acts on anything that a piece holds."""
    most = width - 1  # some terminals begin another line after a full one
    if width >= _WIDE:
        indent = _LABELS if label else 0
        line = Text(shorten(label, _LABELS - 2).ljust(indent), "dim")
    else:
        indent, line = 2 if label else 0, Text(f"{shorten(label, most // 2)} " if label else "", "dim")
    line = Text.assemble(line)
    lines: list[Text] = []
    first = True
    for piece in pieces:
        words = _words(piece)
        whole = Text(" ").join(words)
        parts = [whole] if whole.cell_len <= most - (line.cell_len if first else indent) else words
        gap = "  "
        for part in parts:
            if not first and line.cell_len + len(gap) + part.cell_len > most:
                lines.append(line)
                line, first = Text(" " * indent), True
            line = Text.assemble(line, "" if first else gap, part)
            first, gap = False, " "
    lines.append(line)
    for line in lines:
        line.truncate(most, overflow="ellipsis")
    return lines


def _words(piece: Text | str) -> list[Text]:
    """The words of a piece, between which a line may be broken."""
    text = Text(piece) if isinstance(piece, str) else piece
    words = text.split(" ")
    for word in words:
        word.plain = printable(word.plain.replace(_JOINT, " "))  # as long as before: its styles stay in place
    return list(words)


# -- lines that stay


def plain_line(figures: Figures, speed: Speed, stats: EngineStats) -> str:
    """The run in one line."""
    total = figures.total
    done = f"{figures.done:,}" if total is None else f"{figures.done:,}/{total:,}"
    if total:
        done += f" ({100 * figures.done // total} %)"
    pieces = [f"{done} done", f"{figures.failed:,} failed{_in_brackets(_failures(figures))}"]
    if figures.failures:
        pieces.append(f"most often {_told(figures.failures[0])}")
    pieces += [*_stops(figures), f"{stats.running:,} running"]
    if figures.trouble is not None:
        pieces.insert(0, shorten(figures.trouble, _MESSAGE))
    if stats.waits:
        pieces.append(waiting_text(stats))
    pieces += [f"{printable(pool.name)} {_pause(pool)}" for pool in stats.pools if pool.pause >= _LONG_PAUSE]
    first = figures.first_content()
    pieces += [
        f"{rate(speed.requests)} requests/s",
        f"{rate(speed.events)} events/s",
        f"{rate(speed.tokens)} tokens/s",
        _cost(figures),
        "first content -" if first is None else f"first content p50 {seconds(first[0])} p99 {seconds(first[2])}",
        _remaining(figures, speed),
    ]
    return ", ".join(pieces).replace(_JOINT, " ")


def _told(failure: Failure) -> str:
    example = f" ({_such_as(failure)})" if failure.custom_id is not None else ""
    return (f"{failure.count:,} {shorten(failure.type, _KIND)}: {shorten(failure.message, _MESSAGE)}{example}").replace(
        _JOINT, " "
    )


def stopping_text(stats: EngineStats) -> str:
    """What is said when the run begins no more requests. It counts as the view does."""
    return f"stopping: {stats.running:,} still running will finish; Ctrl-C again cancels them"


def waiting_text(stats: EngineStats) -> str:
    """How many requests wait, and for what."""
    counts = Counter(stats.waiting_for).most_common()
    return f"{len(stats.waits):,} waiting ({', '.join(f'{_WAITS[reason]} {count:,}' for reason, count in counts)})"


def _in_brackets(words: Sequence[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


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
        f"cost               {_cost(figures)}{_why_inexact(figures)}",
        f"events             {figures.events:,} ({rate(figures.events / took)}/s)",
        *([f"ended early        {', '.join(stops)}"] if (stops := _stops(figures)) else []),
        f"to first content   {shares(figures.first_content())}  (from request sent to first content)",
    ]
    if (between := figures.between_contents()) is not None:
        lines.append(f"between contents   {shares(between)}  (the median stream's own percentiles)")
    if (twice := paid_twice(figures)) is not None:
        lines.append(f"paid twice         {twice}")
    if figures.retries:
        lines.append(f"retried            {figures.retries.total():,}{_in_brackets(_counts(figures.retries))}")
    return lines


def _why_inexact(figures: Figures) -> str:
    why = [f"no price is known for {figures.unpriced:,} requests"] if figures.unpriced else []
    if figures.estimated:
        why.append("interrupted answers are estimated")
    return f"  ({'; '.join(why)})" if why else ""


def resumed(run: Run) -> list[str]:
    """What earlier sessions did, for the beginning of a run."""
    before, again = run.figures.before, run.resumed.again
    lines: list[str] = []
    if before.done or before.lost or again.count:
        lines.append(f"continuing: {before.done:,} done before{_in_brackets(_before(run))}")
    if again.count:
        price = "" if again.dollars is None else f", for about {cost(again.dollars)} at what the answers cost so far"
        kinds = [f"errored by {shorten(kind, _KIND)} {count:,}" for kind, count in again.errors.items()]
        kinds += [f"stopped at {shorten(reason, _KIND)} {count:,}" for reason, count in again.stopped.items()]
        lines.append(f"run again: {', '.join(kinds)}{price}")
    return lines + lost(before)


def _before(run: Run) -> list[str]:
    counts = [
        (run.resumed.gone, "of requests that are no longer in the input"),
        (run.resumed.missing, "missing from the results are run again"),
    ]
    return [f"{count:,} {what}" for count, what in counts if count]


def lost(totals: Totals, before: Totals | None = None) -> list[str]:
    """What was paid for without getting an answer, in all sessions; or in those since `before`."""
    before = before or Totals()
    tokens_in = totals.lost_input_tokens - before.lost_input_tokens
    tokens_out = totals.lost_output_tokens - before.lost_output_tokens
    if tokens_in <= 0 and tokens_out <= 0:
        return []
    dollars = cost(max(0.0, totals.lost_dollars - before.lost_dollars), exact=False)
    why = "estimated; paid for without getting an answer"
    return [f"lost               {tokens_in:,} in, {tokens_out:,} out, {dollars}  ({why})"]


def paid_twice(figures: Figures) -> str | None:
    """What was paid for and asked for again, and why; None when nothing was."""
    counts = [("restarts", figures.restarts), ("resumes", figures.resumes)]
    why = ", ".join(f"{name} {count:,}" for name, count in counts if count)
    if not why:
        return None
    twice = cost(figures.dollars_twice, exact=not figures.estimated, known=figures.price_known)
    share = figures.dollars_twice / figures.dollars if figures.dollars else 0.0
    return f"{twice} ({why})" + (f", {100 * share:.0f} % of the cost" if share > _MUCH else "")


def warn_of_paid_twice(figures: Figures) -> list[str]:
    """A warning when more than 5 % of the cost was paid twice."""
    if not figures.dollars or figures.dollars_twice / figures.dollars <= _MUCH:
        return []
    share = 100 * figures.dollars_twice / figures.dollars
    return [f"warning: {share:.0f} % of the cost was paid twice: look at what breaks the connections, or the sessions"]


def skipped(run: Run) -> list[str]:
    """What was skipped in an input that was read as it came, and what was replaced in it."""
    if not isinstance(run.source, RequestPipe):
        return []
    return [*replaced(run.source.replaced, run.source.parameters), *run.invalid.lines()]


def outcome(figures: Figures) -> list[str]:
    """What went wrong, the most frequent first."""
    told = figures.failures[:_MESSAGES_AT_THE_END]
    lines = [f"errored            {_told(failure)}" for failure in told]
    rest = figures.errors - sum((Counter({one.type: one.count}) for one in told), Counter[str]())
    others = {one.type for one in told}
    return lines + [
        f"errored            {count:,} {'more ' if kind in others else ''}{shorten(kind, _KIND)}"
        for kind, count in rest.most_common()
    ]
