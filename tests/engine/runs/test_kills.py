"""Runs that are killed: by the system at random moments, and between any two steps of writing."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from manystream import StreamResult
from manystream.actors import Usage
from manystream.engine.prices import Prices
from manystream.engine.runs.found_lines import FoundLines
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Begun, Ended, Registered, journal_path
from manystream.engine.runs.output import ResultFile
from manystream.engine.runs.resume import reconcile
from manystream.engine.runs.writer import Answer, Writer
from manystream.engine.simulator import Simulator

# Forks a run for each line it reads, so that what takes long is imported once.
PROGRAM = """
import json, os, sys
import anyio, anthropic
from manystream import AnthropicModel, Engine
from manystream.engine.runs import open_run

async def main(url, source, output, ordered):
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=url), max_concurrency=8) as engine:
        async with open_run(engine, source, output, ordered=ordered) as run:
            async for _ in run:
                pass

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        anyio.run(main, *json.loads(line), backend="asyncio")
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def message(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"Tell me of {number}"}


def answers(output: Path) -> list[tuple[str, Any]]:
    """The ids and the answers' content, in the order of the lines."""
    content = output.read_bytes()
    assert not content or content.endswith(b"\n")
    lines = [json.loads(line) for line in content.splitlines()]
    return [(line["custom_id"], line["result"]["message"]["content"]) for line in lines]


class Runs:
    """Runs in processes of their own, one after another."""

    def __init__(self, zygote: subprocess.Popen[str]) -> None:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        self._asked, self._told = zygote.stdin, zygote.stdout

    def begin(self, url: str, source: Path, output: Path, ordered: bool) -> int:
        """Returns the run's process id."""
        self._asked.write(json.dumps([url, str(source), str(output), ordered]) + "\n")
        self._asked.flush()
        return int(self._told.readline())

    def end(self) -> int:
        """Waits for the run's end; returns its status."""
        return int(self._told.readline())


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zygote:
        yield Runs(zygote)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
@pytest.mark.parametrize(
    ("order", "kills", "requests"),
    [
        ("as they come", 6, 150),
        ("ordered", 4, 150),
        pytest.param("as they come", 50, 500, marks=pytest.mark.slow),
        pytest.param("ordered", 20, 500, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_each_request_is_answered_once(
    runs: Runs, tmp_path: Path, order: str, kills: int, requests: int
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(
            json.dumps({"custom_id": f"line-{number}", "params": {"max_tokens": 12, "messages": [message(number)]}})
            + "\n"
            for number in range(1, requests + 1)
        )
    )
    chance = random.Random(kills)
    simulator = Simulator(seed=1, time_to_first_token=0.02, tokens_per_second=300)
    output, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    ordered = order == "ordered"
    with simulator.in_thread():
        done = 0
        killed = 0
        status = -1
        while status != 0:
            sent = len(simulator.requests)
            pid = runs.begin(simulator.url, source, output, ordered)
            if killed < kills:
                if chance.random() < 0.8:
                    with suppress(TimeoutError):  # it may be over before
                        simulator.wait_until(lambda it, sent=sent: len(it.requests) > sent, timeout=2)
                time.sleep(chance.uniform(0, 0.2))  # that it is killed at no particular moment
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            status = runs.end()
            found = answers_so_far(output)
            assert found >= done  # nothing that was answered is lost
            done = found
        runs.begin(simulator.url, source, whole, ordered)
        assert runs.end() == 0
    assert killed == kills
    given = answers(output)
    assert len(given) == requests
    assert dict(given) == dict(answers(whole))
    if order == "ordered":
        assert [custom_id for custom_id, _ in given] == [f"line-{number}" for number in range(1, requests + 1)]
    with closing(sqlite3.connect(journal_path(str(output)))) as journal:
        assert journal.execute("SELECT count(*) FROM request WHERE state = 'ended'").fetchone() == (requests,)
        assert journal.execute("SELECT count(*) FROM held").fetchone() == (0,)
        sessions = journal.execute("SELECT ended IS NULL FROM session ORDER BY number").fetchall()
        assert sessions[-1] == (0,)


def answers_so_far(output: Path) -> int:
    """How many whole lines there are; none of them may stand there twice."""
    if not output.exists():
        return 0
    ids = [json.loads(line)["custom_id"] for line in output.read_bytes().split(b"\n")[:-1]]
    assert len(ids) == len(set(ids))
    return len(ids)


# -- at every step of writing


class Killed(BaseException):
    """The process is no more."""


class Steps:
    """Counts what reaches the disk, and kills before one of them."""

    def __init__(self, kill_at: int) -> None:
        self.left = kill_at

    def step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


IDS = [f"r{number}" for number in range(9)]
ORDER = [3, 0, 1, 2, 8, 4, 7, 6, 5]  # in which they are answered


def answer(custom_id: str) -> Answer:
    line = json.dumps({"custom_id": custom_id, "result": {"type": "canceled"}}, separators=(",", ":")) + "\n"
    result = StreamResult(state="cancelled", stream_id=custom_id, timestamp=datetime.now(UTC))
    return Answer(result, Ended(custom_id=custom_id, kind="canceled"), line.encode())


def sit(path: Path, *, ordered: bool) -> None:
    """One session: answers all that have no answer, two at a time."""
    journal = Journal(journal_path(str(path)))
    output = ResultFile(path)
    try:
        output.open(resumable=True)
        reconcile(output, journal, Prices())
        journal.register([Registered(custom_id, number, b"hash") for number, custom_id in enumerate(IDS)])
        writer = Writer(output, journal, ordered=ordered)
        writer.begin()
        journal.begin_session()
        wanted = {one.custom_id for one in journal.unanswered(-1, 100)}
        for number in ORDER:
            if IDS[number] in wanted:
                writer.used(Begun(IDS[number], 0.0, Usage(input_tokens=10, output_tokens=1), 0.5))
                if number % 2:
                    writer.flush()
                writer.add(answer(IDS[number]))
                if number % 3:
                    writer.flush()
        writer.close("finished")
    finally:
        journal.close()
        output.close()


@pytest.mark.parametrize("ordered", [False, True])
def test_killed_before_any_step_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    write, transaction = os.write, Journal.transaction
    steps = Steps(-1)

    def torn(descriptor: int, data: Any) -> int:
        if steps.left == 0 and len(data) > 1:
            write(descriptor, data[: len(data) // 2])
        steps.step()
        return write(descriptor, data)

    def counted(self: Journal) -> Any:
        steps.step()
        return transaction(self)

    monkeypatch.setattr(os, "write", torn)
    monkeypatch.setattr(Journal, "transaction", counted)
    kill_at = 0
    whole = False
    while not whole:
        path = tmp_path / f"{kill_at}.jsonl"
        for again in (kill_at, kill_at // 2, -1):  # killed twice, at different steps
            steps.left = again
            try:
                sit(path, ordered=ordered)
                whole = whole or again == kill_at
            except Killed:
                pass
        ids = [json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()]
        assert sorted(ids) == IDS, kill_at
        assert not ordered or ids == IDS, kill_at
        kill_at += 1
    assert kill_at > 15


def test_what_was_cut_is_told_as_lost(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j"))
    journal.register([Registered("a", 1, b""), Registered("b", 2, b"")])
    journal.begin_session()
    usage = Usage(input_tokens=5, cache_read_input_tokens=6, cache_creation_input_tokens=7, output_tokens=100)
    journal.commit([Begun("a", 1.0, usage, 0.25)], [])
    journal.close()  # killed
    journal = Journal(str(tmp_path / "j"))
    assert FoundLines(journal).lose_others() == 0
    lost = "SELECT state, lost_input_tokens, lost_output_tokens, lost_dollars FROM request ORDER BY custom_id"
    assert journal.read(lost) == [
        ("pending", 18, 100, 0.25),
        ("pending", None, None, None),
    ]
    journal.commit([Begun("a", 1.0, usage, 0.25)], [])
    journal.end_session("cancelled")
    assert journal.read(lost)[0] == ("pending", 36, 200, 0.5)
    journal.close()


SAID = {"type": "succeeded", "message": {"model": "claude-opus-5-5", "usage": {"input_tokens": 5, "output_tokens": 20}}}
FAILED = {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "no"}}}
COST = Prices().cost("claude-opus-5-5", Usage(input_tokens=5, output_tokens=20)) or 0.0


@pytest.mark.parametrize(
    ("result", "noted", "dollars", "spent", "restarts"),
    [
        (SAID, None, None, COST, 0),
        (SAID, Usage(), 0.0, COST, 0),
        (SAID, Usage(input_tokens=5, output_tokens=8), COST / 2, COST, 0),
        (SAID, Usage(input_tokens=5, output_tokens=24), COST * 1.2, COST * 1.2, 0),  # an estimate of the one attempt
        (SAID, Usage(input_tokens=10, output_tokens=40), COST * 2, COST * 2, 1),
        (SAID, Usage(input_tokens=5, cache_read_input_tokens=5, output_tokens=4), COST * 2, COST * 2, 1),
        (SAID, Usage(input_tokens=10, output_tokens=40), None, COST, 1),
        (FAILED, None, None, 0.0, 0),
        (FAILED, Usage(input_tokens=10, output_tokens=40), COST * 2, COST * 2, 0),
    ],
)
def test_a_line_that_was_not_noted_costs_what_its_earlier_attempts_did(
    tmp_path: Path, result: dict[str, Any], noted: Usage | None, dollars: float | None, spent: float, restarts: int
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(json.dumps({"custom_id": "a", "result": result}) + "\n")
    output = ResultFile(path)
    output.open(resumable=True)
    with closing(Journal(journal_path(str(path)))) as journal, closing(output):
        journal.register([Registered("a", 1, b"")])
        journal.begin_session()
        if noted is not None:
            journal.commit([Begun("a", 1.0, noted, dollars)], [])
        assert reconcile(output, journal, Prices())[1] == 0
        totals = journal.totals()
    assert totals.spent == pytest.approx(spent)
    assert (totals.done, totals.lost_dollars, totals.restarts) == (1, 0.0, restarts)
    assert totals.restarted_dollars == pytest.approx(spent - COST if restarts else 0.0)
    if noted is not None and result is SAID:
        assert totals.output_tokens == max(20, noted.output_tokens)
        assert totals.total_input_tokens == max(5, noted.total_input_tokens)
