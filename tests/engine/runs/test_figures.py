"""The figures of a run: what an ending adds, what earlier sessions left, how fast it goes and what remains."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import write_journal

from manystream import Attempt, ErrorInfo, StreamRequest, StreamResult, Timings, Usage
from manystream.engine.runs import Figures
from manystream.engine.runs.failures import Failure
from manystream.engine.runs.journal_rows import Ended
from manystream.engine.runs.rates import Rates, Speed
from manystream.engine.runs.totals import Totals, read_totals

MODEL = "claude-opus-5-5"
USED = Usage(1_000_000, 100_000, cache_read_input_tokens=500)
FAILED = ErrorInfo("overloaded_error", "Overloaded", 529)


def ending(*attempts: Attempt, model: str | None = MODEL, error: ErrorInfo | None = None, **more: Any) -> StreamResult:
    return StreamResult(
        state="failed" if error else "complete",
        stream_id="s",
        model_name=model,
        attempts=attempts,
        error=error,
        timestamp=datetime.now(UTC),
        **more,
    )


def once(usage: Usage = USED) -> Attempt:
    return Attempt(1, 0.0, 1.0, usage=usage)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tokens_and_dollars() -> None:
    figures = Figures(2)
    cost = figures.ended(ending(once()))
    assert cost == pytest.approx(4 + 2 + 500 * 0.2e-6)
    assert (figures.input_tokens, figures.output_tokens) == (1_000_500, 100_000)
    assert figures.dollars == cost
    assert (figures.estimated, figures.unpriced, figures.price_known) == (False, 0, True)


def test_a_price_that_nobody_knows() -> None:
    figures = Figures(2)
    assert figures.price_known
    assert figures.ended(ending(once(), model="claude-of-tomorrow")) is None
    assert (figures.dollars, figures.unpriced, figures.price_known) == (0, 1, False)
    figures.ended(ending(once()))
    assert (figures.unpriced, figures.price_known) == (1, True)
    # What was served may have a name of its own.
    asked = StreamRequest({"model": MODEL, "messages": []})
    assert figures.ended(ending(once(), model="deployment-7", request=asked)) is not None
    assert figures.unpriced == 1


def test_nothing_used_costs_nothing_whatever_the_model() -> None:
    figures = Figures(1)
    assert figures.ended(ending(once(Usage()), model=None, error=FAILED)) == 0
    assert (figures.unpriced, figures.price_known) == (0, True)


def test_what_a_cut_attempt_wrote_is_estimated() -> None:
    cut = Attempt(1, 0.0, 1.0, usage=Usage(10, 1), error=FAILED, output_estimate=400)
    figures = Figures(1)
    figures.ended(ending(cut, once(Usage(10, 500))))
    assert figures.output_tokens == 900
    assert figures.estimated
    assert figures.dollars == pytest.approx((20 * 4 + 900 * 20) / 1e6)


def test_failures_and_retries() -> None:
    figures = Figures(9)
    refused = Attempt(1, 0.0, 0.1, error=FAILED)
    figures.ended(ending(refused, refused, once()))
    assert figures.retries == {"overloaded_error": 2}
    assert figures.failures == ()
    figures.ended(ending(refused, error=FAILED))
    assert figures.failures == ()  # no answer is written yet
    for number, message in enumerate(("one", "two", "one", "three", "four")):
        figures.written(Ended(custom_id=f"c-{number}", kind="errored", error="api_error", message=message))
    assert figures.failures == (
        Failure("api_error", "one", 2, "c-0"),
        Failure("api_error", "two", 1, "c-1"),
        Failure("api_error", "three", 1, "c-3"),
        Failure("api_error", "four", 1, "c-4"),
    )
    assert (figures.errors, figures.failed) == ({"api_error": 5}, 5)
    assert figures.retries == {"overloaded_error": 2}  # a last attempt is followed by none


def test_why_messages_stopped() -> None:
    figures = Figures(9, before=Totals(endings={"succeeded": 2}, stop_reasons={"max_tokens": 2}))
    for reason in ("end_turn", "max_tokens", "refusal", None):
        figures.written(Ended(custom_id="a", kind="succeeded", stop_reason=reason))
    figures.written(Ended(custom_id="b", kind="errored", error="truncated", stop_reason="max_tokens"))
    assert figures.stop_reasons == {"max_tokens": 3, "end_turn": 1, "refusal": 1}


def test_percentiles_of_what_ended() -> None:
    figures = Figures(99)
    assert figures.first_content() is figures.between_contents() is None
    for number in range(1, 100):
        times = Timings(
            queued=0.0,
            sent=1.0,
            first_content=1.0 + number / 100,
            inter_content_p50=number / 1000,
            inter_content_p90=number / 500,
            inter_content_p99=number / 100,
            end=3.0,
        )
        figures.ended(ending(once(), timings=times))
    assert figures.first_content() == pytest.approx((0.5, 0.9, 0.99), rel=0.01)
    assert figures.between_contents() == pytest.approx((0.05, 0.1, 0.5), rel=0.01)
    assert figures.typical_duration() == pytest.approx(3.0, rel=0.01)


def test_memory_does_not_grow() -> None:
    def size(figures: Figures) -> int:
        inner = [value for value in vars(figures).values() if hasattr(value, "_buckets")]
        return sum(len(sketch._buckets) for sketch in inner) + sys.getsizeof(figures.__dict__)

    figures = Figures()
    sizes: list[int] = []
    for number in range(4000):
        figures.ended(ending(timings=Timings(queued=0.0, sent=0.0, first_content=0.2, end=1.0)))
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        figures.written(Ended(custom_id=word, kind="errored", error="api_error", message=f"request {word}"))
        sizes.append(size(figures))
    assert sizes[-1] == sizes[10]
    assert len(figures.failures) == 10
    assert len(figures._failures._found) == 200  # pyright: ignore[reportPrivateUsage]


def test_an_earlier_session_counts_in_totals_alone() -> None:
    clock = Clock()
    before = Totals(
        endings={"succeeded": 30, "errored": 2},
        errors={"api_error": 2},
        input_tokens=100,
        cache_read_tokens=50,
        output_tokens=1000,
        dollars=2.0,
        lost_input_tokens=5,
        lost_output_tokens=70,
        lost_dollars=0.5,
        lost=1,
    )
    figures = Figures(50, before=before, clock=clock)
    assert (figures.done, figures.succeeded, figures.failed, figures.not_run) == (32, 30, 2, 18)
    assert (figures.input_tokens, figures.output_tokens, figures.dollars) == (155, 1070, 2.5)
    assert figures.estimated
    assert figures.price_known
    assert figures.running == 0
    rates = Rates(figures)
    clock.now = 10.0
    assert rates.sample() == Speed(0.0, 0.0, 0.0, None)
    figures.endings["succeeded"] += 9
    figures.output_tokens += 100
    speed = rates.sample()
    assert (speed.tokens, speed.requests, speed.remaining) == (10.0, 0.9, pytest.approx(10.0))


def test_totals_from_a_journal(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "succeeded", "attempts": 2, "input_tokens": 3, "output_tokens": 5, "dollars": 0.25},
        {"kind": "succeeded", "attempts": 1, "cache_write_tokens": 7, "cache_read_tokens": 9, "dollars": 0.5},
        {"kind": "succeeded", "attempts": 1, "input_tokens": 1},
        {"kind": "errored", "error": "api_error", "attempts": 1, "dollars": 0.0, "lost_output_tokens": 4},
        {"kind": "errored", "error": "api_error"},
        {"kind": "errored"},
        {"state": "begun", "input_tokens": 99, "lost_input_tokens": 8, "lost_dollars": 0.125},
        {"state": "pending"},
    ]
    write_journal(tmp_path / "j", rows)
    with closing(sqlite3.connect(tmp_path / "j")) as journal:
        assert read_totals(journal) == Totals(
            endings={"succeeded": 3, "errored": 3},
            errors={"api_error": 2, "unknown": 1},
            pending=2,
            attempts=5,
            retried=1,
            input_tokens=4,
            cache_write_tokens=7,
            cache_read_tokens=9,
            output_tokens=5,
            dollars=0.75,
            unpriced=1,
            lost_input_tokens=8,
            lost_output_tokens=4,
            lost_dollars=0.125,
            lost=2,
        )
    write_journal(tmp_path / "empty", [])
    with closing(sqlite3.connect(tmp_path / "empty")) as journal:
        assert read_totals(journal) == Totals()


# -- how fast it goes


def test_rates_are_of_the_last_seconds() -> None:
    clock = Clock()
    figures = Figures(clock=clock)
    rates = Rates(figures)
    assert rates.sample() == Speed()
    seen: list[tuple[float, float]] = []
    for second in range(1, 21):
        clock.now = float(second)
        figures.events += 100 if second <= 10 else 10
        figures.output_tokens += 7
        speed = rates.sample()
        seen.append((speed.events, speed.tokens))
    assert seen[0] == seen[9] == (100.0, 7.0)
    assert seen[-1] == (10.0, 7.0)


def test_what_remains_is_unknown_until_a_few_have_ended() -> None:
    clock = Clock()
    figures = Figures(100, clock=clock)
    rates = Rates(figures)
    for done in range(3):
        clock.now += 2
        figures.endings["succeeded"] = done
        assert rates.sample().remaining is None
    clock.now += 2
    figures.endings["succeeded"] = 3
    assert rates.sample().remaining == pytest.approx(97 * 8 / 3)
    figures.total = None
    assert rates.sample().remaining is None
    figures.stopping, figures.started, figures.over = True, 9, 3
    assert rates.sample().remaining == pytest.approx(6 * 8 / 3)


def test_what_remains_goes_by_the_last_minute() -> None:
    clock = Clock()
    figures = Figures(10_000, clock=clock)
    rates = Rates(figures)
    for quarter in range(1, 4 * 300):
        clock.now = quarter / 4
        if clock.now <= 150:
            figures.endings["succeeded"] += 5  # 20 a second
        elif quarter % 2:
            figures.endings["succeeded"] += 1  # 2 a second
        speed = rates.sample()
    assert speed.requests == pytest.approx(2, rel=0.05)  # pyright: ignore[reportPossiblyUnboundVariable]
    assert speed.remaining == pytest.approx((10_000 - figures.done) / 2, rel=0.05)  # pyright: ignore[reportPossiblyUnboundVariable]


def test_what_remains_is_steady_where_requests_end_in_bursts() -> None:
    clock = Clock()
    figures = Figures(1000, clock=clock)
    rates = Rates(figures)
    errors: list[float] = []
    times = Timings(queued=0.0, end=40.0)
    for second in range(1, 401):
        clock.now = float(second)
        if second % 40 == 0:  # 50 at once, that take 40 seconds
            for _ in range(50):
                figures.ended(ending(timings=times))
                figures.endings["succeeded"] += 1
        speed = rates.sample()
        if speed.remaining is not None and second > 160:
            errors.append(speed.remaining / (800 - second))
    assert errors
    assert 0.6 < min(errors) <= max(errors) < 1.6
