"""The reports of several runs: a line each, and what adds up added up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.support.journals import made_up_rows, write_journal
from typer.testing import CliRunner, Result

from manystream.__main__ import app
from manystream.engine.report import Report, read_report, together
from manystream.engine.runs import Totals

BEGAN = 1_790_000_000.0


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*args: str) -> Result:
    return CliRunner().invoke(app, ["report", *args])


def three_runs() -> tuple[list[Report], Report]:
    """Three runs, and one run that had all of their requests."""
    every: list[dict[str, Any]] = []
    for number in range(3):
        rows = list(made_up_rows(200, began=BEGAN + 1000 * number, seconds=60, seed=number))
        for place, row in enumerate(rows):
            row["custom_id"] = f"line-{place}"
            if row["kind"] == "errored":
                row["message"] = f"{row['error']} {place % 5}: no"
            if place % 20 == 0:
                row |= {"cache_miss": "tools_changed", "cache_missed_tokens": 7, "cache_missed_dollars": 0.25}
        rows.append({"custom_id": "begun", "state": "begun", "lost_output_tokens": 50, "lost_dollars": 0.125})
        write_journal(
            Path(f"{number}.jsonl.journal"), rows, [(BEGAN + 1000 * number, BEGAN + 1000 * number + 60, "finished")]
        )
        every += [row | {"custom_id": f"{number}.jsonl:{row['custom_id']}"} for row in rows]
    write_journal(Path("all.jsonl.journal"), every, [(BEGAN, BEGAN + 60, "finished")] * 3)
    return [read_report(f"{number}.jsonl") for number in range(3)], read_report("all.jsonl")


def test_several_reports_are_together_what_one_run_would_have_been() -> None:
    reports, one = three_runs()
    sums = together(reports)
    for field in attrs.fields(Totals):
        found, expected = getattr(sums.totals, field.name), getattr(one.totals, field.name)
        if field.name != "failures":
            assert found == (pytest.approx(expected) if isinstance(expected, float) else expected), field.name
    assert {(said.type, said.count) for said in sums.totals.failures} == {
        (said.type, said.count) for said in one.totals.failures
    }
    for name in ("queued", "first_content", "durations", "gap_p50", "gap_p90", "gap_p99"):
        assert getattr(sums, name) == getattr(one, name) is not None
    assert [attrs.evolve(share, dollars=0) for share in sums.models] == [
        attrs.evolve(share, dollars=0) for share in one.models
    ]
    assert [share.dollars for share in sums.models] == pytest.approx([share.dollars for share in one.models])
    assert sums.slowest == one.slowest
    assert sums.cache_misses == one.cache_misses
    assert sums.exact == one.exact


def test_their_tables() -> None:
    reports, one = three_runs()
    done = command("0.jsonl", "1.jsonl", "2.jsonl")
    assert (done.exit_code, done.stderr) == (0, "")
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert told[0].startswith("3 runs: answers 600, succeeded 9")
    assert "Files" in told
    for report in reports:
        assert any(line.startswith(f"{report.output} 200 ") for line in told)
    assert any(line.startswith("3 runs 600 ") for line in told)
    for title in ("Requests", "Errors", "Times", "Tokens and cost", "Attempts", "Slowest requests"):
        assert title in told
    for title in ("Speed", "Sessions"):  # they have no time in common
        assert title not in told
    assert any(str(slow.custom_id) in done.stdout for slow in one.slowest)


def test_their_figures() -> None:
    three_runs()
    told = json.loads(command("0.jsonl", "1.jsonl", "--json").stdout)
    assert set(told) == {"files", "together"}
    assert [one["output"] for one in told["files"]] == ["0.jsonl", "1.jsonl"]
    assert told["files"][0] == json.loads(command("0.jsonl", "--json").stdout)
    assert set(told["together"]) == {"goes_on", "totals", "messages", "models", "cache_misses", "times"}
    for name in ("done", "output_tokens", "total_dollars", "lost", "sessions"):
        assert told["together"]["totals"][name] == pytest.approx(sum(one["totals"][name] for one in told["files"]))


def test_their_page() -> None:
    three_runs()
    assert command("0.jsonl", "1.jsonl", "--html", "page.html").exit_code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<title>Run report: 2 runs</title>" in text
    assert ">0.jsonl<" in text
    assert ">1.jsonl<" in text
    assert "Time to first content" in text
    assert "over time" not in text


def test_one_that_can_not_be_read_and_one_that_is_there_twice() -> None:
    three_runs()
    for names, message in {
        ("0.jsonl", "absent.jsonl"): "absent.jsonl: no such results",
        ("0.jsonl", "1.jsonl", "./0.jsonl"): "./0.jsonl: is there twice; name each run once",
    }.items():
        done = command(*names)
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {message}\n")
