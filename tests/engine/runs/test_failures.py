"""What went wrong is grouped by what was said, under one name for each kind of failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.journals import write_journal
from tests.support.reference import streams

from manystream import AnthropicModel, Engine, StreamRequest
from manystream.engine.report import read_report
from manystream.engine.runs import open_run
from manystream.engine.runs.failures import Failure, Failures
from manystream.engine.simulator import Cut, Simulator


def test_messages_that_differ_in_numbers_alone_are_one() -> None:
    failures = Failures()
    for number in range(30):
        said = f"prompt is too long: {200_000 + number} tokens > 200000 maximum (req_0{number}Ab)"
        failures.add(Failure("invalid_request_error", said, custom_id=f"line-{number}"))
    failures.add(Failure("api_error", "other", 2))
    first = "prompt is too long: 200000 tokens > 200000 maximum (req_00Ab)"
    assert failures.top() == (
        Failure("invalid_request_error", first, 30, "line-0"),
        Failure("api_error", "other", 2),
    )


def test_the_rare_ones_make_room() -> None:
    failures = Failures([Failure("api_error", "often", 50)])
    for number in range(1000):
        failures.add(Failure("api_error", "x" * number))
    assert failures.top()[0] == Failure("api_error", "often", 50)
    assert len(failures.top()) == 10


def test_a_few_of_each_type() -> None:
    failures = Failures([*(Failure("a", "m" * n, n) for n in range(2, 6)), Failure("b", "once")])
    assert [(one.type, one.count) for one in failures.top_of_each(2)] == [("a", 5), ("a", 4), ("b", 1)]


@pytest.mark.anyio
async def test_one_failure_has_one_name(tmp_path: Path) -> None:
    """In what is counted while the run goes on, in the attempts that failed, and in the report."""
    simulator = Simulator()
    simulator.script([529, Cut(after=3, how="reset"), streams.message(streams.text(0, "fine"))])
    output = tmp_path / "out.jsonl"
    with simulator.in_thread():
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
        requests = [StreamRequest(f"prompt {n}", custom_id=f"r-{n}", recovery="fail") for n in range(2)]
        async with (
            Engine(model, max_concurrency=1) as engine,
            open_run(engine, requests, output) as run,
        ):
            results = [result async for result in run]
    figures, report = run.figures, read_report(str(output))
    error = next(result.error for result in results if result.error is not None)
    assert figures.retries == {"overloaded_error": 1}
    assert figures.errors == report.totals.errors == {error.type: 1}
    assert error.type in ("truncated", "connection_error")
    assert [(one.type, one.count, one.custom_id) for one in figures.failures] == [(error.type, 1, "r-0")]
    assert report.messages == report.totals.failures == figures.failures


def test_a_journal_without_messages(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl.journal"
    write_journal(path, [{"kind": "errored", "error": "api_error"}])
    assert read_report(str(tmp_path / "out.jsonl")).messages == ()
