"""The last lines of a run: how it ended, and what to do now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from manystream import StreamResult
from manystream.engine.cli.ending import RunEnding, last_lines
from manystream.engine.input import InputError
from manystream.engine.runs import OutputError, RunStopped
from manystream.engine.runs.figures import Figures
from manystream.engine.runs.stopping import StopReason
from manystream.engine.runs.totals import Totals

RESULT = StreamResult(state="failed", stream_id="s", timestamp=datetime.now(UTC))


def told(figures: Figures, *, resumable: bool = True, **known: Any) -> list[str]:
    return last_lines(RunEnding(figures=figures, output="o.jsonl", resumable=resumable, **known))


def stopped(reason: StopReason, why: str = "so it was said") -> RunStopped:
    return RunStopped(why, RESULT, reason)


@pytest.fixture
def figures() -> Figures:
    figures = Figures(20)
    figures.endings.update({"succeeded": 12, "errored": 5})
    figures.answered = figures.started = 17
    figures.passing.update({"overloaded_error": 1, "connection_error": 1})
    figures.lasting.update({"invalid_request_error": 3})
    return figures


def test_all_were_run(figures: Figures) -> None:
    figures.total = 17
    counts = "12 succeeded, 5 errored of 17; results in o.jsonl"
    assert told(figures) == [
        counts,
        "1 errored by overloaded_error, 1 by connection_error: the same command runs them again;"
        " 3 errored by invalid_request_error: mend the input, then --retry-errored",
    ]
    assert told(figures, resumable=False) == [counts]
    figures.lasting.update({"deadline_total": 2, "request_error": 1, "internal_error": 4})
    assert told(figures)[-1].partition("again; ")[2] == (
        "3 errored by invalid_request_error, 1 by request_error: mend the input, then --retry-errored;"
        " 2 errored by deadline_total: give them more time, then --retry-errored;"
        " 4 errored by internal_error: look at the report, then --retry-errored"
    )
    figures.passing.clear()
    figures.lasting.clear()
    assert told(figures) == [counts]


def test_a_signal(figures: Figures) -> None:
    assert told(figures, interrupted=True) == [
        "interrupted: 12 succeeded, 5 errored, 3 not run of 20; results in o.jsonl;"
        " run the same command again to continue"
    ]


@pytest.mark.parametrize("reason", get_args(StopReason))
def test_what_stopped_it_says_what_to_do(figures: Figures, reason: StopReason) -> None:
    counts, last = told(figures, failure=stopped(reason))
    assert counts == "12 succeeded, 5 errored, 3 not run of 20; results in o.jsonl"
    assert last.startswith("stopped: so it was said; ")
    assert ("then run the same command again" in last) == (reason != "failures")
    assert "the same command" not in told(figures, resumable=False, failure=stopped(reason))[-1]


def test_a_spend_cap(figures: Figures) -> None:
    figures.dollars = 20.03
    stop = stopped("spend_cap")
    assert told(figures, failure=stop, spend_cap=20.0, sessions=3)[-1] == (
        "stopped: spend cap, $20.03 of $20 spent over 3 sessions; to go on: --spend-cap 40"
    )
    dear = stopped("spend_cap", "the spend cap is reached: $1.0000 of $20 is spent, and one more may cost $64.5000; no")
    figures.dollars = 1.0
    assert told(figures, failure=dear, spend_cap=20.0)[-1] == (
        "stopped: spend cap, $1.00 of $20 spent, and the next request may cost $64.50; to go on: --spend-cap 80"
    )
    figures.dollars = 85.0
    assert told(figures, failure=stop, spend_cap=20.0)[-1].endswith("; to go on: --spend-cap 160")
    figures.dollars = 19.99
    assert told(figures, failure=stop, spend_cap=20.0)[-1] == (
        "stopped: spend cap, $19.99 of $20 spent; to go on: --spend-cap 40"
    )


def test_what_came_and_was_not_written_was_run() -> None:
    figures = Figures(20)
    figures.started = figures.answered = 20
    assert told(figures, failure=OutputError("o.jsonl: no space left on device")) == [
        "20 answers not written of 20; results in o.jsonl; when that is mended, run the same command again to continue"
    ]


def test_what_was_not_written_is_told_without_a_failure_too() -> None:
    figures = Figures(2)
    figures.started = figures.answered = 2
    assert told(figures) == [
        "2 answers not written of 2; results in o.jsonl; run the same command again to continue",
    ]


def test_after_an_input_error_nothing_is_said_of_nothing() -> None:
    wrong = InputError("stdin:1: not JSON")
    assert told(Figures(), failure=wrong) == []
    figures = Figures(before=Totals(endings={"succeeded": 2}))
    assert told(figures, failure=wrong) == ["2 succeeded of 2; results in o.jsonl"]
