"""Runs of rows: what is sent, what stands beside the results, and what a run that goes on still knows."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from manystream import (
    AnthropicModel,
    Columns,
    Engine,
    InputError,
    Limits,
    OutputError,
    RetryPolicy,
    StreamRequest,
    open_run,
    plan_run,
    read_results,
)
from manystream.engine.input import RequestPipe
from manystream.engine.report.read import read_report
from manystream.engine.simulator import Fail, Simulator

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(max_attempts=1)
ROWS: list[dict[str, Any]] = [{"word": f"word {number}", "key": f"id {number}", "n": number} for number in range(12)]


def engine_at(url: str, *, limits: Limits | None = None) -> Engine:
    model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=url)
    return Engine(model, max_concurrency=5, retry=ONCE, limits=limits)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(simulator: Simulator) -> list[str]:
    return [request.json["messages"][0]["content"] for request in simulator.requests]


async def run_all(simulator: Simulator, source: Any, output: Path, **options: Any) -> Any:
    async with engine_at(simulator.url) as engine, open_run(engine, source, output, **options) as run:
        async for _ in run:
            pass
    return run


class Frame:
    """What a run uses of a frame of pandas or polars."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.columns = list(rows[0])

    def head(self, count: int = 5) -> Any:
        return self._rows[:count]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class PandasFrame(Frame):
    def itertuples(self, *, index: bool, name: str | None) -> Iterator[tuple[Any, ...]]:
        assert not index
        assert name is None
        return (tuple(row.values()) for row in self._rows)


class PolarsFrame(Frame):
    def iter_rows(self, *, named: bool) -> Iterator[dict[str, Any]]:
        assert named
        return iter(self._rows)


async def asynchronous() -> AsyncIterator[dict[str, Any]]:
    for row in ROWS:
        yield row


def frame_with_a_column_twice() -> PandasFrame:
    frame = PandasFrame(ROWS)
    frame.columns = ["word", "n", "n"]
    return frame


SOURCES: dict[str, Any] = {
    "list": lambda: ROWS,
    "tuple": lambda: tuple(ROWS),
    "generator": lambda: (row for row in ROWS),
    "asynchronous": asynchronous,
    "pandas": lambda: PandasFrame(ROWS),
    "polars": lambda: PolarsFrame(ROWS),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_rows_of_any_kind_are_run(tmp_path: Path, make: Any) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    async with simulator.serve():
        await run_all(simulator, make(), output, template="Say {{ word }}.", columns=Columns(id="key"))
        assert sorted(asked(simulator)) == sorted(f"Say {row['word']}." for row in ROWS)
        found = {line["row"]["n"]: line for line in lines(output)}
        assert [(found[n]["id"], found[n]["row"]) for n in range(12)] == [(row["key"], row) for row in ROWS]
        assert list(found[0]) == ["custom_id", "result", "id", "row"]
        # The same again runs nothing.
        await run_all(simulator, make(), output, template="Say {{ word }}.", columns=Columns(id="key"))
        assert len(simulator.requests) == 12
    rows = sorted(read_results(output), key=lambda row: row["n"])
    assert [(row["custom_id"], row["state"], row["text"] != "", row["n"]) for row in rows] == [
        (f"id {n}", "succeeded", True, n) for n in range(12)
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
async def test_a_file_of_rows_is_run(tmp_path: Path, name: str) -> None:
    source, output, simulator = tmp_path / name, tmp_path / "out.jsonl", Simulator()
    if name == "rows.csv":
        source.write_text("word,n\n" + "".join(f"{row['word']},{row['n']}\n" for row in ROWS))
    else:
        source.write_text("".join(json.dumps({"word": row["word"], "n": row["n"]}) + "\n" for row in ROWS))
    async with simulator.serve():
        run = await run_all(simulator, source, output, columns=Columns(prompt="word"), epochs=2)
    assert (run.figures.total, run.figures.succeeded) == (24, 24)
    assert sorted((str(line["row"]["n"]), line["epoch"]) for line in lines(output)) == sorted(
        (str(n), epoch) for n in range(12) for epoch in (1, 2)
    )


async def test_rows_prompts_and_requests_may_stand_in_one_list(tmp_path: Path) -> None:
    source = [{"prompt": "one", "n": 1}, "two", StreamRequest("three", custom_id="mine")]
    output, simulator = tmp_path / "out.jsonl", Simulator()
    async with simulator.serve():
        await run_all(simulator, source, output)
    assert sorted((line["custom_id"], line.get("row", {}).get("n")) for line in lines(output)) == [
        ("mine", None),
        ("request-2", None),
        ("row-1", 1),
    ]


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
async def test_rows_that_are_none_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROWS", [*ROWS[:3], {**ROWS[3], "key": None}, *ROWS[4:]])
    output, simulator = tmp_path / "out.jsonl", Simulator(time_to_first_token=0, tokens_per_second=0)
    async with simulator.serve():
        columns = Columns(prompt="word", id="key")
        run = await run_all(simulator, make(), output, columns=columns, skip_invalid=True)
    assert run.invalid.told == ["row 4: column 'key' has the ids: a text or a whole number, not null"]
    assert sorted(asked(simulator)) == sorted(row["word"] for row in ROWS if row["key"])
    assert {line["row"]["n"] for line in lines(output)} == set(range(12)) - {3}


async def test_columns_that_are_not_sent_change_nothing(tmp_path: Path) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    options: dict[str, Any] = {"template": "Say {{ word }}", "columns": Columns(id="key")}
    async with simulator.serve():
        await run_all(simulator, ROWS, output, **options)
        await run_all(simulator, [{**row, "n": 0, "more": [1]} for row in ROWS], output, **options)
        assert len(simulator.requests) == 12
        with pytest.raises(InputError, match="12 of 12 differ from those answered"):
            await run_all(simulator, ROWS, output, template="Tell {{ word }}", columns=Columns(id="key"))


async def test_a_sample_goes_on_with_its_seed(tmp_path: Path) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    options: dict[str, Any] = {"template": "Say {{ word }}", "columns": Columns(id="key")}
    async with simulator.serve():
        await run_all(simulator, ROWS, output, sample=6, limit=3, **options)
        first = {line["id"] for line in lines(output)}
        assert len(first) == 3
        run = await run_all(simulator, ROWS, output, sample=6, **options)
        assert (run.figures.total, len(simulator.requests)) == (6, 6)
        # A larger sample has the smaller one in it.
        await run_all(simulator, ROWS, output, sample=9, shuffle=True, **options)
        assert len(simulator.requests) == 9
        with closing(sqlite3.connect(f"{output}.journal")) as journal:
            ((seed,),) = journal.execute("SELECT value FROM meta WHERE key = 'seed'")
        with pytest.raises(InputError, match=f"was begun with the seed {seed}, not {seed + 1}"):
            await run_all(simulator, ROWS, output, sample=9, seed=seed + 1, **options)
        await run_all(simulator, ROWS, output, sample=9, seed=seed, **options)
        assert len(simulator.requests) == 9
    assert len({line["id"] for line in lines(output)}) == 9


async def test_failures_are_told_by_the_user_s_ids(tmp_path: Path) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    simulator.script([Fail(400)])
    async with simulator.serve():
        run = await run_all(simulator, ROWS[:1], output, template="Say {{ word }}", columns=Columns(id="key"))
        assert [failure.custom_id for failure in run.figures.failures] == ["id 0"]
        assert [failure.custom_id for failure in run.totals.failures] == ["id 0"]
        report = read_report(str(output))
        assert [said.custom_id for said in report.messages] == ["id 0"]
        # What is replaced keeps the id and the row.
        await run_all(
            simulator, ROWS[:1], output, template="Say {{ word }}", columns=Columns(id="key"), retry_errored=True
        )
    (line,) = lines(output)
    assert (line["result"]["type"], line["id"], line["row"]) == ("succeeded", "id 0", ROWS[0])


async def test_a_line_that_the_journal_missed_keeps_its_id(tmp_path: Path) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    simulator.script([Fail(400)])
    options: dict[str, Any] = {"template": "Say {{ word }}", "columns": Columns(id="key")}
    async with simulator.serve():
        await run_all(simulator, ROWS[:3], output, **options)
        with closing(sqlite3.connect(f"{output}.journal", isolation_level=None)) as journal:
            journal.execute("DELETE FROM request")  # as after a kill that lost its last commits
        await run_all(simulator, ROWS[:3], output, **options)
        assert len(simulator.requests) == 3
    assert [said.custom_id for said in read_report(str(output)).messages] == [
        line["id"] for line in lines(output) if line["result"]["type"] == "errored"
    ]


async def test_ordered_rows(tmp_path: Path) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    async with simulator.serve():
        await run_all(simulator, ROWS, output, template="Say {{ word }}", ordered=True, epochs=2)
    assert [(line["row"]["n"], line["epoch"]) for line in lines(output)] == [(n, e) for n in range(12) for e in (1, 2)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
async def test_a_pipe_is_closed_when_the_run_can_not_begin(tmp_path: Path) -> None:
    output, pipe = tmp_path / "out.jsonl", tmp_path / "in"
    output.write_text("not a run's")
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://127.0.0.1:9")
    async with Engine(model) as engine:
        run = open_run(engine, pipe, output)
        with pytest.raises(OutputError):
            await run.__aenter__()
    assert isinstance(run.source, RequestPipe)
    assert run.source.closed
    os.close(writer)


@pytest.mark.parametrize(
    "source", [{"prompt": "Hello"}, {"prompt": ["Hello"], "n": [1]}, b"Hello", 3, StreamRequest("Hello")]
)
async def test_one_row_in_place_of_many_is_refused_where_it_is_given(tmp_path: Path, source: Any) -> None:
    model = AnthropicModel("claude-opus-5-5", api_key="k")
    with pytest.raises(TypeError, match="is an iterable of requests, not "):
        open_run(Engine(model), source, tmp_path / "out.jsonl")
    with pytest.raises(TypeError, match="is an iterable of requests, not "):
        plan_run(model, source)


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        (iter(ROWS), {"sample": 3}, "sample and shuffle need all rows at once"),
        (ROWS, {"seed": 3}, "a seed goes with a sample, or with shuffle"),
        (ROWS, {"epochs": 0}, "epochs is at least 1"),
        (ROWS, {"template": "{{ word }}", "columns": Columns(prompt="word")}, "give one of the two"),
        ([{"word": object()}], {"template": "{{ word }}"}, "row 1: column 'word': holds a object"),
        ([{3: "x"}], {"template": "{{ word }}"}, "row 1: a column's name is a string, not 3"),
        (ROWS, {}, "row 1: no column 'prompt'"),
        (ROWS, {"template": "{{ wrod }}"}, "row 1: template:1: no column 'wrod'; did you mean 'word'"),
        (frame_with_a_column_twice(), {"template": "{{ word }}"}, "rows: the column 'n' is there twice"),
        ([], {"template": "{{ word }}"}, "rows: it contains no requests"),
    ],
)
async def test_what_can_not_be_run_is_told_before_anything_is_sent(
    tmp_path: Path, source: Any, options: dict[str, Any], error: str
) -> None:
    output, simulator = tmp_path / "out.jsonl", Simulator()
    async with simulator.serve():
        with pytest.raises(ValueError, match=error):
            await run_all(simulator, source, output, **options)
        assert simulator.requests == []
    assert list(tmp_path.iterdir()) == []
