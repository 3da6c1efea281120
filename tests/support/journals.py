"""Journals of made-up runs, for the tests of what is read from them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value);
CREATE TABLE request (
    custom_id TEXT PRIMARY KEY, ordinal INTEGER, hash BLOB, state TEXT, kind TEXT, error TEXT,
    message TEXT, failure TEXT, model TEXT,
    stop_reason TEXT, submitted REAL, queued REAL, ttft REAL, seconds REAL, gap_p50 REAL, gap_p90 REAL, gap_p99 REAL,
    contents INTEGER, attempts INTEGER, input_tokens INTEGER, cache_write_tokens INTEGER, cache_read_tokens INTEGER,
    output_tokens INTEGER, dollars REAL, estimated INTEGER, cache_miss TEXT, cache_missed_tokens INTEGER,
    cache_missed_dollars REAL, lost_input_tokens INTEGER, lost_output_tokens INTEGER, lost_dollars REAL
) WITHOUT ROWID;
CREATE TABLE session (number INTEGER PRIMARY KEY, began REAL, ended REAL, how TEXT);
CREATE TABLE held (ordinal INTEGER PRIMARY KEY, custom_id TEXT, line BLOB);
INSERT INTO meta VALUES ('format', '2');
"""


def write_journal(
    path: Path, rows: Iterable[Mapping[str, Any]], sessions: Iterable[tuple[float, float | None, str | None]] = ()
) -> None:
    """A journal with these rows; what a row doesn't say is null, but that it is ended."""
    with closing(sqlite3.connect(path)) as journal, journal:
        journal.executescript(SCHEMA)
        for number, session in enumerate(sessions, 1):
            journal.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (number, *session))
        for ordinal, row in enumerate(rows):
            given = {"ordinal": ordinal, "custom_id": f"line-{ordinal + 1}", "state": "ended"} | dict(row)
            names, marks = ", ".join(given), ", ".join("?" * len(given))
            journal.execute(f"INSERT INTO request ({names}) VALUES ({marks})", tuple(given.values()))


def made_up_rows(count: int, *, began: float, seconds: float, seed: int = 0) -> Iterable[dict[str, Any]]:
    """So many requests that ended evenly over these seconds; some errored, some took more than one attempt."""
    random = Random(seed)
    models = (("claude-opus-5-5", 4, 20), ("claude-haiku-5-5", 0.1, 0.5))
    for number in range(count):
        model, price_in, price_out = models[random.random() < 0.3]
        share = number / count
        error = "overloaded_error" if random.random() < (0.3 if 0.5 < share < 0.6 else 0.005) else None
        error = error or ("invalid_request_error" if random.random() < 0.01 else None)
        ttft, output = random.lognormvariate(-0.5, 0.5), int(random.lognormvariate(5.5, 0.6))
        took = ttft + output / random.uniform(60, 100)
        retried = random.random() < 0.05
        row: dict[str, Any] = {
            "kind": "errored" if error else "succeeded",
            "error": error,
            "model": None if error else model,
            "submitted": began + share * seconds - took,
            "queued": random.expovariate(20),
            "seconds": took,
            "attempts": 2 if retried else 1,
        }
        if not error:
            row |= {
                "stop_reason": "max_tokens" if random.random() < 0.08 else "end_turn",
                "ttft": ttft,
                "gap_p50": random.lognormvariate(-4, 0.3),
                "gap_p90": random.lognormvariate(-3.4, 0.3),
                "gap_p99": random.lognormvariate(-2.6, 0.3),
                "contents": output // 2,
                "input_tokens": 40,
                "cache_write_tokens": 900 if number == 0 else 0,
                "cache_read_tokens": 900 if number else 0,
                "output_tokens": output,
                "dollars": (40 * price_in + 90 * price_in + output * price_out) / 1e6,
            }
        yield row
