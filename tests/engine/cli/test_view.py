"""What is shown of a run, from figures and stats that are given."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from typing import Any, get_args

import attrs
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from manystream import (
    Attempt,
    BudgetStats,
    EngineStats,
    ErrorInfo,
    PoolStats,
    StreamResult,
    Timings,
    Usage,
    WaitingRequest,
)
from manystream.actors.stream.result import Ending
from manystream.engine import LimitStats
from manystream.engine.admission import Reason
from manystream.engine.cli.ending import RunEnding, last_lines
from manystream.engine.cli.pieces import paid_twice
from manystream.engine.cli.session_text import lost, outcome, summary, warn_of_paid_twice
from manystream.engine.cli.telling import fail, say
from manystream.engine.cli.view import live_lines, plain_line, sharing_text, stopping_text, waiting_text
from manystream.engine.report.units import compact, cost, duration, plain, rate, seconds, shorten
from manystream.engine.runs import Figures
from manystream.engine.runs.failures import Failure
from manystream.engine.runs.journal_rows import Ended
from manystream.engine.runs.rates import Rates, Speed
from manystream.engine.runs.totals import Totals

LONG = "messages.0.content: Input should be a valid list, got 213,456 tokens"
IDLE = EngineStats(running=0, waiting=0, backoff=0, waits=(), pools=(), spent=None)
PACE = Speed(events=1234.5, tokens=456.7, requests=2.5, remaining=1870.0)


def stats(**more: Any) -> EngineStats:
    waits = [WaitingRequest(str(n), None, None, "requests_per_minute", 1.0) for n in range(3)]
    waits.append(WaitingRequest("b", None, None, "backoff", None))
    pool = PoolStats(
        name="claude-opus-5-5",
        running=38,
        concurrency=50,
        pause=0.0,
        limits={
            "requests_per_minute": LimitStats(4000.0, 50.0, 1000.0),
            "output_tokens_per_minute": LimitStats(200_000.0, -7.0, 200_000.0),
        },
    )
    given = EngineStats(running=38, waiting=3, backoff=1, waits=tuple(waits), pools=(pool,), spent=None)
    return attrs.evolve(given, **more)


@pytest.fixture
def figures() -> Figures:
    """Of a run that is at a quarter, after 754 seconds."""
    now = [0.0]
    figures = Figures(50_000, clock=lambda: now[0])
    now[0] = 754.0
    figures.endings.update(succeeded=12_300, errored=37, canceled=3)
    figures.errors.update(overloaded_error=31, api_error=6)
    figures.stop_reasons.update(end_turn=12_259, max_tokens=37, refusal=4)
    figures._failures.add(Failure("overloaded_error", "Overloaded", 31, "line-17"))  # pyright: ignore[reportPrivateUsage]
    figures._failures.add(Failure("api_error", LONG, 4, "line-3"))  # pyright: ignore[reportPrivateUsage]
    figures.events = 123_456
    times = Timings(
        queued=0.0,
        sent=0.0,
        first_content=0.5,
        inter_content_p50=0.02,
        inter_content_p90=0.05,
        inter_content_p99=0.2,
        end=4.0,
    )
    error = ErrorInfo("overloaded_error", "Overloaded", 529)
    endings: list[tuple[Ending, ErrorInfo | None]] = [("complete", None), ("failed", error), ("failed", error)]
    for state, ended_with in endings:
        figures.ended(
            StreamResult(
                state=state,
                stream_id="s",
                model_name="claude-opus-5-5",
                timings=times,
                attempts=(Attempt(1, 0, 1, error=error), Attempt(2, 1, 4, usage=Usage(100_000, 20_000))),
                error=ended_with,
                timestamp=datetime.now(UTC),
            )
        )
    return figures


def test_the_live_view(figures: Figures) -> None:
    assert [line.plain for line in live_lines(figures, PACE, stats(), 100)] == [
        "━━━━━━━─────────────────────────  12,340 of 50,000  24 %  12 min 34 s  about 31 min left",
        "running           38  4 waiting: 3 for requests per minute  1 for another attempt",
        "succeeded         12,300  stopped at max_tokens 37  refused 4",
        "failed            40  overloaded_error 31  api_error 6  canceled 3",
        "error             31 overloaded_error: Overloaded (such as line-17)",
        "error             4 api_error: messages.0.content: Input should be a valid list, got 213,456 tokens",
        "                  (such as line-3)",
        "retried           3  overloaded_error 3",
        "so far            300k tokens in  60.0k out  $2.40",
        "a second          2.5 requests  1,234 events  457 output tokens",
        "to first content  p50 495 ms  p90 495 ms  p99 495 ms",
        "between contents  p50 20.0 ms  p90 49.8 ms  p99 199 ms",
        "claude-opus-5-5   38 of 50 at once  requests/min 5 % left of 4.00k  output/min 0 % left of 200k",
    ]


def test_the_live_view_on_a_narrow_terminal(figures: Figures) -> None:
    assert [line.plain for line in live_lines(figures, PACE, stats(), 40)] == [
        "━━━───────────  12,340 of 50,000  24 %",
        "12 min 34 s  about 31 min left",
        "running 38",
        "  4 waiting: 3 for requests per minute",
        "  1 for another attempt",
        "succeeded 12,300",
        "  stopped at max_tokens 37  refused 4",
        "failed 40  overloaded_error 31",
        "  api_error 6  canceled 3",
        "error 31 overloaded_error: Overloaded",
        "  (such as line-17)",
        "error 4 api_error: messages.0.content:",
        "  Input should be a valid list, got",
        "  213,456 tokens (such as line-3)",
        "retried 3  overloaded_error 3",
        "so far 300k tokens in  60.0k out  $2.40",
        "a second 2.5 requests  1,234 events",
        "  457 output tokens",
        "to first content p50 495 ms  p90 495 ms",
        "  p99 495 ms",
        "between contents p50 20.0 ms",
        "  p90 49.8 ms  p99 199 ms",
        "claude-opus-5-5 38 of 50 at once",
        "  requests/min 5 % left of 4.00k",
        "  output/min 0 % left of 200k",
    ]


@pytest.mark.parametrize("width", [*range(40, 62), 80, 120])
def test_no_figure_is_broken(figures: Figures, width: int) -> None:
    """Nor cut: each stands on one line, with what it counts."""
    figures.endings["succeeded"] = 1_234_567
    figures.stop_reasons["model_context_window_exceeded"] = 1_234
    waits = [WaitingRequest(str(n), None, None, "output_tokens_per_minute", 1.0) for n in range(1_234)]
    told = [line.plain for line in live_lines(figures, PACE, stats(waits=tuple(waits)), width)]
    for figure in (
        *("1,234,607 of 50,000", "12 min 34 s", "31 min", "1,234 waiting:", "1,234 for", "1,234,567"),
        *("max_tokens 37", "model_context_window_exceeded 1,234", "refused 4", "overloaded_error 31", "canceled 3"),
        *("31 overloaded_error", "such as line-17", "213,456", "300k tokens in", "60.0k out", "$2.40", "2.5 requests"),
        *("457 output tokens", "p50 495 ms", "p99 199 ms", "38 of 50", "5 % left", "4.00k"),
    ):
        assert any(figure in line for line in told), figure
    assert "…" not in "".join(told)


def test_errors_stand_before_percentiles(figures: Figures) -> None:
    for told in (
        [line.plain for line in live_lines(figures, PACE, stats(), 80)],
        plain_line(figures, PACE, stats()).split(", "),
    ):
        first = {
            word: min(n for n, line in enumerate(told) if word in line) for word in ("Overloaded", "max_tok", "p50")
        }
        assert first["Overloaded"] < first["p50"]
        assert first["max_tok"] < first["p50"]


def test_one_count_of_what_still_runs(figures: Figures) -> None:
    """What is said at the first Ctrl-C is what the view shows."""
    found = stats(running=7, backoff=5)
    assert stopping_text(found) == "stopping: 7 still running will finish; Ctrl-C again cancels them"
    assert any(line.plain.startswith("running           7 ") for line in live_lines(figures, PACE, found, 80))
    assert ", 7 running, " in plain_line(figures, PACE, found)


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 100, 200])
def test_no_line_is_as_wide_as_the_terminal(figures: Figures, width: int) -> None:
    figures.written(Ended(custom_id="w", kind="errored", error="api_error", message="宽" * 300))
    lines = live_lines(figures, PACE, stats(), width)
    assert max(cell_len(line.plain) for line in lines) < width
    told = " ".join(" ".join(line.plain.split()) for line in lines)
    for words in ("12,341", "12,300", "overloaded_error"):
        assert words in told or width < 40


def test_what_is_not_known_yet() -> None:
    figures = Figures(clock=lambda: 0.0)
    told = [line.plain for line in live_lines(figures, Speed(), IDLE, 80)]
    assert told[0] == "0  0 s  time left unknown"
    assert "to first content  -" in told
    assert "so far            0 tokens in  0 out  $0.00" in told
    figures.stopping = True
    assert live_lines(figures, Speed(), IDLE, 80)[0].plain == "0  0 s  stopping"


def test_an_error_does_nothing_to_the_terminal() -> None:
    figures = Figures(1)
    words = "bad\x1b[2J\r\n\x07 news " + "x" * 500
    figures.written(Ended(custom_id="a\x1b", kind="errored", error="api_error", message=words))
    line = next(line.plain for line in live_lines(figures, Speed(), IDLE, 500) if line.plain.startswith("error"))
    assert line.startswith("error             1 api_error: bad")
    assert "x… (such as a" in line
    assert line.isprintable()
    assert len(line) < 230


EVIL = "\x1b[2J\x9b31m\u202e\r\n\x07\ud83d[red]x[/red]"


def test_no_word_of_a_server_is_acted_upon() -> None:
    """Not by the terminal, and not by rich."""
    figures = Figures(3, clock=lambda: 0.0)
    figures.errors.update({EVIL: 2})
    figures.endings.update({"errored": 2, EVIL: 1})
    error = ErrorInfo(EVIL, EVIL)
    attempts = (Attempt(1, 0, 1, error=error), Attempt(2, 1, 2, error=error))
    result = StreamResult(state="failed", stream_id="s", error=error, attempts=attempts, timestamp=datetime.now(UTC))
    figures.ended(attrs.evolve(result, model_name=EVIL))
    figures.written(Ended(custom_id=EVIL, kind="errored", error=EVIL, message=EVIL))
    figures.stop_reasons[EVIL] = 1
    pool = PoolStats(name=EVIL, running=1, concurrency=2, pause=0.0, limits={})
    shown = [line.plain for line in live_lines(figures, PACE, stats(pools=(pool,)), 200)]
    ending = RunEnding(figures=figures, output=f"out{EVIL}", resumable=True)
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        say(plain_line(figures, PACE, stats()), *summary(figures), *outcome(figures), *last_lines(ending))
        fail(f"stopped by {EVIL}")
    shown += told.getvalue().splitlines()
    assert sum("[red]x[/red]" in line for line in shown) >= 7
    assert all(line.isprintable() for line in shown)
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    with console.capture() as captured:
        for line in live_lines(figures, PACE, stats(pools=(pool,)), 200):
            console.print(line, soft_wrap=True)
    assert "[red]x[/red]" in captured.get()
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & {*captured.get()}


def test_a_price_that_is_not_known() -> None:
    figures = Figures(1, clock=lambda: 0.0)
    figures.unpriced = 1
    told = [line.plain for line in live_lines(figures, Speed(), IDLE, 80)]
    assert "so far            0 tokens in  0 out  ?" in told
    figures.dollars, figures._priced = 1.5, True  # pyright: ignore[reportPrivateUsage]
    told = [line.plain for line in live_lines(figures, Speed(), IDLE, 80)]
    assert "so far            0 tokens in  0 out  ~$1.50" in told


def test_a_plain_line(figures: Figures) -> None:
    assert plain_line(figures, PACE, stats()) == (
        "12,340/50,000 (24 %) done, 40 failed (overloaded_error 31, api_error 6, canceled 3), most often"
        " 31 overloaded_error: Overloaded (such as line-17), stopped at max_tokens 37, refused 4, 38 running, 4 waiting"
        " (for requests per minute 3, for another attempt 1), 2.5 requests/s, 1,234 events/s, 457 tokens/s, $2.40,"
        " first content p50 495 ms p99 495 ms, about 31 min left"
    )
    figures = Figures(clock=lambda: 0.0)
    assert plain_line(figures, Speed(), IDLE) == (
        "0 done, 0 failed, 0 running, 0 requests/s, 0 events/s, 0 tokens/s, $0.00, first content -, time left unknown"
    )


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (None, None),
        (BudgetStats(participants=1, share=1.0, age=0.1, alone=False), None),
        (BudgetStats(participants=2, share=0.5, age=0.1, alone=False), "shared with 1 other, 50 % are ours"),
        (
            BudgetStats(participants=4, share=0.25, age=0.1, alone=False, spent=1.5, spend_cap=20.0),
            "shared with 3 others, 25 % are ours, $1.50 of $20.00 spent together",
        ),
        (
            BudgetStats(participants=1, share=1.0, age=0.1, alone=False, spent=1.5, spend_cap=20.0),
            "$1.50 of $20.00 spent together",
        ),
        (BudgetStats(participants=4, share=0.25, age=9.0, alone=True), "not shared: the budget can't be reached"),
    ],
)
def test_with_whom_limits_are_shared(figures: Figures, budget: BudgetStats | None, said: str | None) -> None:
    assert sharing_text(stats(budget=budget)) == said
    shown = " ".join(line.plain for line in live_lines(figures, PACE, stats(budget=budget), 120))
    told = plain_line(figures, PACE, stats(budget=budget))
    assert ("limits " in shown) is (f"limits {said}" in told) is (said is not None)


def test_what_requests_wait_for() -> None:
    assert waiting_text(stats()) == "4 waiting (for requests per minute 3, for another attempt 1)"
    for reason in get_args(Reason):
        assert waiting_text(stats(waits=(WaitingRequest("a", None, None, reason, None),)))


def test_the_summary(figures: Figures) -> None:
    assert summary(figures) == [
        "time               12 min 34 s",
        "tokens             300,000 in, 60,000 out (79.6 out/s)",
        "cost               $2.40",
        "events             123,456 (164/s)",
        "ended early        stopped at max_tokens 37, refused 4",
        "to first content   p50 495 ms, p90 495 ms, p99 495 ms  (from request sent to first content)",
        "between contents   p50 20.0 ms, p90 49.8 ms, p99 199 ms  (the median stream's own percentiles)",
        "retried            3 (overloaded_error 3)",
    ]
    figures.unpriced, figures.estimated = 7, True
    assert summary(figures)[2] == (
        "cost               ~$2.40  (no price is known for 7 requests; interrupted answers are estimated)"
    )
    assert outcome(figures) == [
        "errored            31 overloaded_error: Overloaded (such as line-17)",
        f"errored            4 api_error: {LONG} (such as line-3)",
        "errored            2 more api_error",
    ]
    assert summary(Figures()) == []


def test_what_was_paid_twice(figures: Figures) -> None:
    assert paid_twice(figures) is None
    figures.restarts, figures.dollars_twice = 12, 0.11
    assert paid_twice(figures) == "$0.1100 (restarts 12)"
    assert "paid twice         $0.1100 (restarts 12)" in summary(figures)
    assert warn_of_paid_twice(figures) == []
    figures.before = Totals(lost=3)
    figures.dollars_twice = 0.24
    assert paid_twice(figures) == "$0.2400 (restarts 12, resumes 3), 10 % of the cost"
    assert any("paid twice        $0.2400 (restarts 12, resumes 3)" in one.plain for one in shown(figures))
    figures.started = 0
    assert warn_of_paid_twice(figures) == []  # a session that asked for nothing
    figures.started = 1
    (warning,) = warn_of_paid_twice(figures)
    assert warning.startswith("warning: 10 % of the cost was paid twice")


def test_what_an_earlier_session_lost_is_told_once() -> None:
    before = Totals(lost=1, lost_input_tokens=5, lost_output_tokens=50, lost_dollars=0.5)
    assert lost(before) == ["lost               5 in, 50 out, ~$0.5000  (estimated; paid for, and no answer was kept)"]
    assert lost(before, before) == []
    (more,) = lost(attrs.evolve(before, lost_output_tokens=60, lost_dollars=0.6), before)
    assert more.startswith("lost               0 in, 10 out, ~$0.1000")


def test_what_keeps_the_requests_from_being_answered_stands_first(figures: Figures) -> None:
    figures.trouble = "the API can't be reached: a.example:443: connection refused"
    assert shown(figures)[1].plain == figures.trouble
    assert plain_line(figures, PACE, stats()).startswith(figures.trouble)


def shown(figures: Figures) -> list[Text]:
    return live_lines(figures, PACE, stats(), 100)


# -- numbers


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3599.6, "1 h"),
        (4800, "1 h 20 min"),
        (86_399, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(value: float, told: str) -> None:
    assert duration(value) == told


def test_numbers() -> None:
    assert [seconds(value) for value in (None, 0.0, 0.0123, 0.5, 0.9999, 99.99, 100)] == [
        *("-", "0.0 ms", "12.3 ms", "500 ms", "1.00 s", "99.99 s", "1 min 40 s"),
    ]
    assert [compact(value) for value in (0, 999, 999.6, 9994, 9996, 123_456, 999_501, 1e9)] == [
        *("0", "999", "1.00k", "9.99k", "10.0k", "123k", "1.00M", "1.00G"),
    ]
    assert [rate(value) for value in (0, 0.03, 5, 99.6, 12_345)] == ["0", "0.03", "5.0", "100", "12,345"]
    assert [cost(value) for value in (0, 0.00001, 0.5, 1, 12_345.6)] == [
        *("$0.00", "<$0.0001", "$0.5000", "$1.00", "$12,345.60"),
    ]
    assert cost(1.5, exact=False) == "~$1.50"
    assert cost(0, known=False) == "?"


def test_words() -> None:
    assert plain("a\n\tb\x1b\u202ec") == "a b\ufffd\ufffdc"
    assert shorten("one two three", 9) == "one two…"


def test_a_long_pause_says_until_when() -> None:
    until = datetime(2026, 11, 28, 10, 15, tzinfo=UTC)
    pool = PoolStats(name="m", running=0, concurrency=10, pause=3600, limits={}, paused_until=until)
    stats = EngineStats(running=0, waiting=0, backoff=0, waits=(), pools=(pool,), spent=None)
    figures = Figures(clock=lambda: 0.0)
    speed = Rates(figures).sample()
    assert "m paused 1 h, until 2026-11-28 10:15:00 UTC" in plain_line(figures, speed, stats)
    assert any("until 2026-11-28 10:15:00 UTC" in line.plain for line in live_lines(figures, speed, stats, 100))
