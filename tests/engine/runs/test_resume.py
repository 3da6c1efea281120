"""Continuing a run: what is run again, what is not, and what is refused before anything is sent."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from manystream import AnthropicModel, Engine, MessageParams, RetryPolicy, StreamRequest
from manystream.engine.input import InputError
from manystream.engine.report import read_report
from manystream.engine.runs import OutputError, Run, open_run
from manystream.engine.runs.journal import Journal
from manystream.engine.simulator import Fail, Simulator, Stall

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def prompts(count: int) -> list[StreamRequest]:
    return [StreamRequest(f"Tell me of {number}", custom_id=f"p-{number}") for number in range(count)]


async def run_all(simulator: Simulator, source: Any, output: Path, *, slots: int = 4, **options: Any) -> Run:
    defaults = options.pop("defaults", None)
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url, defaults=defaults)
    async with (
        Engine(model, max_concurrency=slots, retry=ONCE) as engine,
        open_run(engine, source, output, **options) as run,
    ):
        async for _ in run:
            pass
    return run


def kinds(output: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line["result"]["type"] for line in lines}


async def test_what_is_done_is_not_done_again(simulator: Simulator, output: Path) -> None:
    run = await run_all(simulator, prompts(5), output, limit=3)
    assert (run.figures.total, run.figures.done, len(simulator.requests)) == (3, 3, 3)
    run = await run_all(simulator, prompts(6), output)
    assert (run.figures.total, run.figures.done, len(simulator.requests)) == (6, 6, 6)
    assert run.figures.before.done == 3
    run = await run_all(simulator, prompts(2), output)
    assert (run.resumed.gone, len(simulator.requests)) == (4, 6)
    assert kinds(output) == {f"p-{number}": "succeeded" for number in range(6)}
    await run_all(simulator, prompts(2), output, overwrite=True)
    assert len(kinds(output)) == 2


async def generated(count: int) -> AsyncIterator[StreamRequest]:
    for request in prompts(count):
        yield request


def iterated(count: int) -> Iterator[StreamRequest]:
    return iter(prompts(count))


@pytest.mark.parametrize("make", [iterated, generated])
async def test_requests_that_come_one_by_one(simulator: Simulator, output: Path, make: Callable[[int], Any]) -> None:
    await run_all(simulator, make(3), output)
    run = await run_all(simulator, make(5), output)
    assert (run.figures.total, run.figures.done, len(simulator.requests)) == (None, 5, 5)
    with pytest.raises(InputError, match=r"^request 2: custom_id 'p-0' is used already, in request 1$"):
        await run_all(simulator, iter(prompts(1) * 2), output.with_name("twice"))


async def test_a_request_that_changed_is_refused(simulator: Simulator, output: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    await run_all(simulator, source, output, limit=1)
    before = output.read_bytes()
    changes: list[tuple[str, dict[str, Any], str]] = [
        ('{"prompt": "A"}\n{"prompt": "b"}\n', {}, "messages differ"),
        ('{"prompt": "a"}\n{"prompt": "b"}\n', {"defaults": {"max_tokens": 7}}, "max_tokens was 128000, is 7"),
    ]
    for text, options, what in changes:
        source.write_text(text)
        with pytest.raises(InputError) as caught:
            await run_all(simulator, source, output, **options)
        assert str(caught.value) == (
            f"{source}:1: 1 of 1 differs from those answered in {output} ({what}): name another output, or start anew"
            " with --overwrite"
        )
        with pytest.raises(InputError, match=r"request 1: 'line-1' differs from what was answered .*\(messages differ"):
            await run_all(simulator, iter([StreamRequest("A", custom_id="line-1")]), output)
    assert output.read_bytes() == before
    assert len(simulator.requests) == 1
    source.write_text('{"prompt": "a"}\n{"prompt": "not b"}\n')  # which has no answer yet
    await run_all(simulator, source, output)
    assert len(kinds(output)) == 2


async def test_what_differs_is_summed_up_by_parameter(simulator: Simulator, output: Path) -> None:
    def asked(*tokens: int, temperature: float | None = None) -> list[StreamRequest]:
        ask: MessageParams = {"messages": [{"role": "user", "content": "Hello"}]}
        own: dict[str, Any] = {} if temperature is None else {"model": "claude-opus-4-6", "temperature": temperature}
        return [
            StreamRequest(cast("MessageParams", {**ask, **own, "max_tokens": one}), custom_id=f"p-{n}")
            for n, one in enumerate(tokens)
        ]

    await run_all(simulator, asked(5, 5, 6, 7), output)
    for later, said in (
        (asked(8, 9, 6, 7), "request 1: 2 of 4 differ from those .* \\(max_tokens differs\\)"),
        (asked(5, 8, 9, 9), "request 2: 3 of 4 differ from those .* \\(max_tokens differs\\)"),
        (asked(5, 5, 9, 7), "request 3: 1 of 4 differs from those .* \\(max_tokens was 6, is 9\\)"),
        (
            asked(5, 5, 6, 7, temperature=0.5),
            "4 of 4 .* \\(model was claude-opus-5-5, is claude-opus-4-6; temperature was not given, is 0.5\\)",
        ),
    ):
        with pytest.raises(InputError, match=said):
            await run_all(simulator, later, output)
    # What was not answered may change.
    assert (await run_all(simulator, asked(5, 5, 6, 7, 10), output, limit=4)).figures.total == 4
    await run_all(simulator, asked(5, 5, 6, 7, 11), output)
    assert len(simulator.requests) == 5


async def test_requests_of_every_source_get_the_longest_answer(simulator: Simulator, output: Path) -> None:
    for number, source in enumerate((prompts(2), iter(prompts(2)))):
        await run_all(simulator, source, output.with_suffix(f".{number}"))
    assert [request.json["max_tokens"] for request in simulator.requests] == [128_000] * 4


async def test_errors_are_run_again_when_asked_for(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(400), "one", Fail(413), "three"])
    await run_all(simulator, prompts(4), output, slots=1)
    assert list(kinds(output).values()) == ["errored", "succeeded", "errored", "succeeded"]
    await run_all(simulator, prompts(4), output, slots=1)
    assert len(simulator.requests) == 4
    for ordered, ids in ((False, ["p-1", "p-3", "p-0", "p-2"]), (True, ["p-1", "p-3", "p-0", "p-2"])):
        run = await run_all(simulator, prompts(4), output, slots=1, retry_errored=True, ordered=ordered)
        assert run.resumed.retried == (0 if ordered else 2)
        assert kinds(output) == dict.fromkeys(ids, "succeeded")
        assert list(kinds(output)) == ids
    assert len(simulator.requests) == 6


async def test_in_the_inputs_order(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(400), *["fine"] * 5])
    await run_all(simulator, prompts(6), output, ordered=True)
    assert list(kinds(output)) == [f"p-{number}" for number in range(6)]
    await run_all(simulator, prompts(6), output, ordered=True, retry_errored=True)
    assert list(kinds(output).items()) == [(f"p-{number}", "succeeded") for number in range(6)]


async def test_what_an_interruption_cost_is_told(simulator: Simulator, output: Path) -> None:
    simulator.script(["fine", Stall(2, text="one two three four five six seven eight"), *["fine"] * 3])
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    async with Engine(model, max_concurrency=1, retry=ONCE) as engine, open_run(engine, prompts(3), output) as run:
        async for _ in run:
            break
        await anyio.to_thread.run_sync(
            lambda: simulator.wait_until(lambda it: len(it.requests) == 2 and it.requests[1].bytes_sent > 400)
        )
        await anyio.wait_all_tasks_blocked()
        while not run._driver.live:  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
            with anyio.move_on_after(0.01):
                await anext(run)
    assert run.totals.lost_input_tokens > 0
    assert run.totals.lost_dollars > 0
    assert (run.totals.done, run.totals.lost) == (1, 1)
    run = await run_all(simulator, prompts(3), output)
    assert (run.figures.before.lost, run.figures.done) == (1, 3)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (lambda output: output.unlink(), "does not exist, though its journal knows of 3 results in it"),
    (lambda output: output.write_bytes(output.read_bytes() * 2), ":4: 'p-0' is in line 1 already"),
    (lambda output: output.write_bytes(b"{}\n" + output.read_bytes()), ":1: not a line that a run wrote"),
    (lambda output: journal(output).write_bytes(b"no database" * 100), "not the journal of a run"),
    (lambda output: set_format(output, "99"), "its format is 99, this version of manystream writes format 2"),
    (lambda output: journal(output).unlink(), "exists already, without a journal to go on from"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
async def test_what_was_spoilt_is_refused(
    simulator: Simulator, output: Path, spoil: Callable[[Path], object], message: str
) -> None:
    await run_all(simulator, prompts(3), output, slots=1)
    spoil(output)
    before = output.read_bytes() if output.exists() else None
    with pytest.raises(OutputError) as caught:
        await run_all(simulator, prompts(3), output)
    assert message in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (output.read_bytes() if output.exists() else None) == before
    assert len(simulator.requests) == 3
    await run_all(simulator, prompts(3), output, overwrite=True)
    assert len(kinds(output)) == 3


def journal(output: Path) -> Path:
    return output.with_name(f"{output.name}.journal")


def set_format(output: Path, version: str) -> None:
    with closing(sqlite3.connect(journal(output))) as found, found:
        found.execute("UPDATE meta SET value = ?", (version,))


# The tables of format 1, as its last release made them.
FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE request (
    custom_id TEXT PRIMARY KEY, ordinal INTEGER, hash BLOB, state TEXT NOT NULL, kind TEXT, error TEXT, message TEXT,
    model TEXT, stop_reason TEXT, submitted REAL, queued REAL, ttft REAL, seconds REAL, gap_p50 REAL, gap_p90 REAL,
    gap_p99 REAL, contents INTEGER, attempts INTEGER, input_tokens INTEGER, cache_write_tokens INTEGER,
    cache_read_tokens INTEGER, output_tokens INTEGER, dollars REAL, lost_input_tokens INTEGER,
    lost_output_tokens INTEGER, lost_dollars REAL
) WITHOUT ROWID;
CREATE INDEX unanswered ON request (ordinal) WHERE state <> 'ended';
CREATE TABLE sitting (number INTEGER PRIMARY KEY, began REAL NOT NULL, ended REAL, how TEXT);
CREATE TABLE held (custom_id TEXT PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', '1');
"""


def make_older(output: Path, *, with_messages: bool) -> None:
    """Turns the journal into one that a release with format 1 would have left."""
    with closing(sqlite3.connect(journal(output))) as newer:
        newer.row_factory = sqlite3.Row
        rows = {table: newer.execute(f"SELECT * FROM {table}").fetchall() for table in ("request", "session")}
    journal(output).unlink()
    with closing(sqlite3.connect(journal(output))) as older, older:
        older.executescript(FORMAT_1)
        for table, name in (("request", "request"), ("session", "sitting")):
            columns = [found[1] for found in older.execute(f"PRAGMA table_info({name})")]
            for row in rows[table]:
                values = [row[column] for column in columns]
                older.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", values)
        if not with_messages:  # they came to format 1 later
            older.execute("ALTER TABLE request DROP COLUMN message")


@pytest.mark.parametrize("with_messages", [True, False])
async def test_a_journal_of_an_older_release_is_continued_and_reported(
    simulator: Simulator, output: Path, with_messages: bool
) -> None:
    simulator.script(["fine", Fail(400, message="planted words")])
    # It had a fixed default, which the run keeps.
    await run_all(simulator, prompts(3), output, slots=1, limit=2, defaults={"max_tokens": 4096})
    make_older(output, with_messages=with_messages)
    before = journal(output).read_bytes()
    report = read_report(str(output))
    assert (report.totals.done, [session.how for session in report.timeline.sessions]) == (2, ["finished"])
    assert [said.message for said in report.messages] == (["planted words"] if with_messages else [])
    assert journal(output).read_bytes() == before  # a report changes nothing
    run = await run_all(simulator, prompts(3), output, slots=1)
    assert (run.figures.before.done, run.figures.done, len(simulator.requests)) == (2, 3, 3)
    assert list(kinds(output).values()) == ["succeeded", "errored", "succeeded"]
    with closing(sqlite3.connect(journal(output))) as found:
        assert found.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == ("2",)
        assert found.execute("SELECT how FROM session ORDER BY number").fetchall() == [("finished",)] * 2
        assert found.execute("SELECT name FROM sqlite_master WHERE name = 'sitting'").fetchone() is None
    assert len(read_report(str(output)).timeline.sessions) == 2
    assert (await run_all(simulator, prompts(3), output, retry_errored=True)).resumed.retried == 1
    assert read_report(str(output)).messages == ()
    assert {request.json["max_tokens"] for request in simulator.requests} == {4096}
    # An older journal doesn't know the parameters of what is answered: it is told them now.
    with pytest.raises(InputError, match=r"3 of 3 .* \(max_tokens was 4096, is 9\)"):
        await run_all(simulator, prompts(3), output, defaults={"max_tokens": 9})


async def test_lines_that_are_gone_are_run_again_and_torn_ones_too(simulator: Simulator, output: Path) -> None:
    await run_all(simulator, prompts(4), output, slots=1)
    lines = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(lines[0] + lines[2] + lines[3][:20])
    run = await run_all(simulator, prompts(4), output)
    assert (run.resumed.missing, run.figures.before.lost) == (2, 2)
    assert len(kinds(output)) == 4
    output.write_bytes(output.read_bytes()[:-1])  # whole but for its line feed
    run = await run_all(simulator, prompts(4), output)
    assert (run.resumed.missing, len(simulator.requests)) == (0, 6)
    assert len(kinds(output)) == 4


async def test_one_run_at_a_time(simulator: Simulator, output: Path) -> None:
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    async with Engine(model) as engine, open_run(engine, prompts(3), output) as run:
        for overwrite in (False, True):
            with pytest.raises(OutputError, match="in use: another run is writing these results"):
                await open_run(engine, prompts(3), output, overwrite=overwrite).__aenter__()
        async for _ in run:
            pass
    assert len(kinds(output)) == 3


@pytest.mark.parametrize("where", ["results", "journal"])
async def test_a_full_disk_loses_nothing(
    simulator: Simulator, output: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with monkeypatch.context() as patch:
        if where == "results":
            written = 0
            from os import write

            def full(descriptor: int, data: Any) -> int:
                nonlocal written
                if written + len(data) > 3000 and bytes(data[:1]) == b"{":
                    raise OSError(28, "No space left on device")
                written += len(data)
                return write(descriptor, data)

            patch.setattr("os.write", full)
        else:
            commit = Journal.commit

            def small(self: Journal, *arguments: Any) -> None:
                self.read("PRAGMA max_page_count = 1")
                self.read("INSERT INTO meta VALUES ('filler', zeroblob(100000))")
                commit(self, *arguments)

            patch.setattr(Journal, "commit", small)
        with pytest.raises(OutputError, match="no space left on device"):
            await run_all(simulator, prompts(40), output, slots=2)
    done = len(kinds(output))
    assert done < 40
    await run_all(simulator, prompts(40), output)
    assert len(kinds(output)) == 40


async def test_events_are_written_beside(simulator: Simulator, output: Path, tmp_path: Path) -> None:
    await run_all(simulator, prompts(3), output, stream_events=str(tmp_path / "events"))
    for number in range(3):
        lines = (tmp_path / "events" / f"p-{number}.jsonl").read_text().splitlines()
        assert json.loads(lines[0])["event_kind"] == "stream_start"
        assert json.loads(lines[-1])["event_kind"] == "stream_end"
    with pytest.raises(OutputError, match=r"^stdout: can't take both"):
        await run_all(simulator, prompts(1), Path("-"), stream_events="-")


@pytest.mark.parametrize("make", ["known", "iterated", "streamed"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_request_that_cost_something_may_leave_the_input(
    simulator: Simulator, output: Path, make: str, ordered: bool
) -> None:
    simulator.script([Stall(2, text="one two three four five six seven eight"), *["fine"] * 3])
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    async with Engine(model, max_concurrency=1, retry=ONCE) as engine, open_run(engine, prompts(3), output) as run:
        while not run._driver.live:  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
            with anyio.move_on_after(0.01):
                await anext(run)
    assert (run.totals.pending, run.totals.lost) == (3, 1)
    left = prompts(3)[1:]
    source: Any = left if make == "known" else iter(left) if make == "iterated" else astream(left)
    run = await run_all(simulator, source, output, slots=1, ordered=ordered)
    assert list(kinds(output)) == ["p-1", "p-2"]
    assert (run.figures.done, run.figures.not_run, run.totals.pending) == (2, 0, 0)
    assert run.totals.lost_dollars > 0
    assert run.figures.total == (2 if make == "known" else None)


async def astream(requests: list[StreamRequest]) -> AsyncIterator[StreamRequest]:
    for request in requests:
        yield request
