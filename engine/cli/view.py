"""The text that is shown of a run while it goes on: plain functions of its figures, its speed and its engine's
stats."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.text import Text

from ..admission import Reason
from ..report.units import compact, cost, duration, printable, rate, seconds, shorten
from ..runs.failures import Failure
from ..runs.figures import Figures
from ..runs.rates import Speed
from ..stats import EngineStats, LimitStats, PoolStats
from .pieces import (
    JOINT,
    KIND,
    MESSAGE,
    cost_so_far,
    counts,
    ended_early,
    failure_told,
    in_brackets,
    paid_twice,
    such_as,
)

__all__ = ["live_lines", "plain_line", "sharing_text", "stopping_text", "waiting_text"]

_WAITS = {
    "concurrency": "for a slot",
    "adaptive_concurrency": "for the adaptive limit",
    "pause": "for a pause after refusals",
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
_POOLS = 3
_MESSAGES = 3  # in what is shown while it runs
_LONG_PAUSE = 60.0  # seconds


# -- the live view


def live_lines(figures: Figures, speed: Speed, stats: EngineStats, width: int) -> list[Text]:
    """The run in lines of less than `width` columns: first what concerns all of it, then what went wrong, then how fast
    it goes. No line breaks a figure in two."""
    lines = _progress(figures, speed, width)
    if figures.trouble is not None:
        lines += _flow("", [Text(shorten(figures.trouble, MESSAGE), "bold red")], width)
    rows: list[tuple[str, Sequence[Text | str]]] = [
        ("running", [Text(f"{stats.running:,}", "bold cyan"), *_waits(stats)]),
        (
            "succeeded",
            [
                Text(f"{figures.succeeded:,}", "bold green"),
                *(Text(_tied(one), "yellow") for one in ended_early(figures)),
            ],
        ),
        (
            "failed",
            [Text(f"{figures.failed:,}", "bold red" if figures.failed else ""), *map(_tied, _failures(figures))],
        ),
    ]
    rows += [("error", [_error(failure, 2 * width)]) for failure in figures.failures[:_MESSAGES]]
    if figures.retries:
        rows.append(("retried", [f"{figures.retries.total():,}", *map(_tied, counts(figures.retries))]))
    rows += [
        (
            "so far",
            [
                f"{compact(figures.input_tokens)}{JOINT}tokens{JOINT}in",
                f"{compact(figures.output_tokens)}{JOINT}out",
                cost_so_far(figures),
            ],
        ),
        *([] if (twice := paid_twice(figures)) is None else [("paid twice", [twice])]),
        (
            "a second",
            [
                f"{rate(speed.requests)}{JOINT}requests",
                f"{rate(speed.events)}{JOINT}events",
                f"{rate(speed.tokens)}{JOINT}output{JOINT}tokens",
            ],
        ),
        ("to first content", _percentiles(figures.first_content())),
        ("between contents", _percentiles(figures.between_contents())),
    ]
    if (shared := sharing_text(stats)) is not None:
        rows.append(("limits", [Text(shared, "yellow" if stats.budget is not None and stats.budget.alone else "")]))
    rows += [(pool.name, _pool(pool)) for pool in sorted(stats.pools, key=lambda pool: -pool.running)[:_POOLS]]
    for label, pieces in rows:
        lines += _flow(label, pieces, width)
    return lines


def _error(failure: Failure, room: int) -> Text:
    example = f"{JOINT}({such_as(failure)})" if failure.custom_id is not None else ""
    return Text.assemble(
        (f"{failure.count:,}{JOINT}{shorten(failure.type, KIND)}", "red"),
        ": ",
        (shorten(failure.message, min(room, MESSAGE)), "dim"),
        (example.replace(JOINT, " ", 1), "dim"),
    )


def _progress(figures: Figures, speed: Speed, width: int) -> list[Text]:
    done, total = figures.done, figures.total
    counted = f"{done:,}" if total is None else f"{done:,} of {total:,}"
    pieces: list[Text | str] = [Text(_joined(counted), "bold")]
    if total:
        pieces.append(f"{100 * done // total}{JOINT}%")
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
    return JOINT.join(words.rsplit(" ", 1))


def _joined(words: str) -> str:
    """The words as one figure, which is never on two lines."""
    return words.replace(" ", JOINT)


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
    first, *others = (f"{count:,}{JOINT}{_WAITS[why]}" for why, count in Counter(stats.waiting_for).most_common())
    return [f"{len(stats.waits):,}{JOINT}waiting: {first}", *others]


def _failures(figures: Figures) -> list[str]:
    others = {ending: figures.endings[ending] for ending in ("canceled", "expired") if figures.endings[ending]}
    return counts({**figures.errors, **others})


def _percentiles(times: tuple[float, ...] | None) -> list[Text | str]:
    if times is None:
        return ["-"]
    return [
        Text.assemble((f"{name}{JOINT}", "dim"), _joined(seconds(value)))
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
        (f"{name} ", "dim"), (f"{left}{JOINT}%{JOINT}left", style), (f" of {compact(limit.per_minute)}", "dim")
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
        word.plain = printable(word.plain.replace(JOINT, " "))  # as long as before: its styles stay in place
    return list(words)


# -- lines that stay


def plain_line(figures: Figures, speed: Speed, stats: EngineStats) -> str:
    """The run in one line."""
    total = figures.total
    done = f"{figures.done:,}" if total is None else f"{figures.done:,}/{total:,}"
    if total:
        done += f" ({100 * figures.done // total} %)"
    pieces = [f"{done} done", f"{figures.failed:,} failed{in_brackets(_failures(figures))}"]
    if figures.failures:
        pieces.append(f"most often {failure_told(figures.failures[0])}")
    pieces += [*ended_early(figures), f"{stats.running:,} running"]
    if figures.trouble is not None:
        pieces.insert(0, shorten(figures.trouble, MESSAGE))
    if stats.waits:
        pieces.append(waiting_text(stats))
    if (shared := sharing_text(stats)) is not None:
        pieces.append(f"limits {shared}")
    pieces += [f"{printable(pool.name)} {_pause(pool)}" for pool in stats.pools if pool.pause >= _LONG_PAUSE]
    first = figures.first_content()
    pieces += [
        f"{rate(speed.requests)} requests/s",
        f"{rate(speed.events)} events/s",
        f"{rate(speed.tokens)} tokens/s",
        cost_so_far(figures),
        "first content -" if first is None else f"first content p50 {seconds(first[0])} p99 {seconds(first[2])}",
        _remaining(figures, speed),
    ]
    return ", ".join(pieces).replace(JOINT, " ")


def sharing_text(stats: EngineStats) -> str | None:
    """With how many the limits are shared; None when with nobody."""
    budget = stats.budget
    if budget is None:
        return None
    spent = "" if budget.spent is None else f", {cost(budget.spent)} of {cost(budget.spend_cap or 0.0)} spent together"
    if budget.alone:
        return f"not shared: the budget can't be reached{spent}"
    if budget.participants < 2:
        return spent.removeprefix(", ") or None
    others = budget.participants - 1
    words = f"shared with {others:,} {'other' if others == 1 else 'others'}, {round(100 * budget.share)} % are ours"
    return f"{words}{spent}"


def stopping_text(stats: EngineStats) -> str:
    """What is said when the run begins no more requests. It counts as the view does."""
    return f"stopping: {stats.running:,} still running will finish; Ctrl-C again cancels them"


def waiting_text(stats: EngineStats) -> str:
    """How many requests wait, and for what."""
    counts = Counter(stats.waiting_for).most_common()
    return f"{len(stats.waits):,} waiting ({', '.join(f'{_WAITS[reason]} {count:,}' for reason, count in counts)})"
