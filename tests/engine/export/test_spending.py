"""What the journal says of answers, while a run of this very process writes it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from manystream import AnthropicModel, Engine, Price, open_run, read_results
from manystream.engine.export import spending
from manystream.engine.runs.journal import Journal, open_here
from manystream.engine.simulator import Cut, Simulator

pytestmark = pytest.mark.anyio

OPEN = """
import sys
from manystream.engine.runs.journal import Journal, JournalInUseError
try:
    Journal(sys.argv[1]).close()
except JournalInUseError:
    print("in use")
"""


def is_in_use(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True)
    return done.stdout == "in use\n"


async def test_rows_of_a_run_of_this_process_while_it_goes_on(tmp_path: Path) -> None:
    """Opening and closing the journal would release the run's lock, so that a second run could write it."""
    output, journal = tmp_path / "r.jsonl", tmp_path / "r.jsonl.journal"
    simulator = Simulator(time_to_first_token=0, tokens_per_second=0)
    simulator.script([Cut(3, "reset", text="one two three four"), *["fine"] * 9])
    rows: list[dict[str, Any]] = []
    with simulator.in_thread() as served:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=served.url)
        async with Engine(model, max_concurrency=2) as engine:
            async with open_run(engine, [f"Tell me of {n}" for n in range(9)], output) as run:
                async for _ in run:
                    rows = list(read_results(output))
                    assert rows
                assert is_in_use(journal)
            assert open_here(str(journal)) is None
            assert not is_in_use(journal)
            assert run.figures.done == len(rows) == 9
            after = list(read_results(output))
    assert sum(row["cost_usd"] for row in after) == pytest.approx(run.figures.dollars)
    assert sum(row["output_tokens"] for row in after) == run.figures.output_tokens


async def test_a_price_is_found_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    """As a run finds it: the service may answer by another name than the alias that it was asked for."""
    output = tmp_path / "r.jsonl"
    simulator = Simulator(time_to_first_token=0, tokens_per_second=0)
    with simulator.in_thread() as served:
        model = AnthropicModel("claude-ours-latest", api_key="k", base_url=served.url)
        async with Engine(model) as engine, open_run(engine, ["Hi"], output) as run:
            async for _ in run:
                pass
    journal = Path(f"{output}.journal")
    output.write_text(output.read_text().replace("ours-latest", "ours-1"))
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("UPDATE request SET model = 'claude-ours-1'")
    prices = {"claude-ours-latest": Price(input=1e6, output=0)}
    (row,) = read_results(output, prices=prices)
    assert (row["model"], row["cost_usd"]) == ("claude-ours-1", row["input_tokens"])
    ours = Journal(str(journal))  # as a run of this process has it open
    assert [row["cost_usd"] for row in read_results(output, prices=prices)] == [row["input_tokens"]]
    ours.close()
    journal.unlink()
    (row,) = read_results(output, prices=prices)  # nobody knows what was asked for
    assert row["cost_usd"] is None


def test_a_journal_of_this_process_is_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "_PAGE", 2)
    (tmp_path / "r.jsonl").touch()
    journal = Journal(str(tmp_path / "r.jsonl.journal"))
    with journal.transaction() as db:
        for n in range(5):
            values = (f"line-{n}", n, n / 4)
            db.execute(
                "INSERT INTO request (custom_id, state, kind, input_tokens, dollars)"
                " VALUES (?, 'ended', 'succeeded', ?, ?)",
                values,
            )
    (tmp_path / "link.jsonl.journal").symlink_to("r.jsonl.journal")
    for name in ("r.jsonl", "link.jsonl"):
        found = spending.Spending(str(tmp_path / name))
        for n in range(5):
            spent = found.of(f"line-{n}")
            assert spent is not None
            assert (spent.input_tokens, spent.dollars) == (n, n / 4)
        assert found.of("line-5") is None
        found.close()
    journal.close()
    assert open_here(str(tmp_path / "r.jsonl.journal")) is None
