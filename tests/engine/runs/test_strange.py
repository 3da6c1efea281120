"""Whatever a server said: it is stored, every line is JSON, and the run can be gone on with and reported."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest

from manystream import ErrorInfo, StreamResult, Usage
from manystream.engine.prices import Prices
from manystream.engine.report import page, read_report, tables
from manystream.engine.runs.again import Again
from manystream.engine.runs.delivery import ended_row
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Begun, Ended, Held, Registered, columns_of
from manystream.engine.runs.output import OutputError, ResultFile
from manystream.engine.runs.results import batch_result, encode_line
from manystream.engine.runs.resume import drop_chosen, reconcile
from manystream.engine.runs.stopping import Over
from manystream.engine.runs.writer import Answer, Writer


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


STRANGE: dict[str, Any] = {
    "lone surrogate": "a\ud83d",
    "lone low surrogate": "\udc00",
    "control characters": "\x00\x1b[2J\r\n\x9b\u202e\u2028\x85",
    "long": "x" * 100_000,
    "empty": "",
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -5,
    "10**20": 10**20,
    "-10**20": -(10**20),
    "10**400": 10**400,
    "float": 0.5,
    "1e308": 1e308,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "list": ["a", 1],
    "object": {"a": math.nan, "b": "\ud83d"},
    "nested": nested(100),
    "nested deep": nested(5000),
}
strange = pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "out.jsonl")


def no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


def check_line(line: bytes) -> dict[str, Any]:
    text = line.decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    return json.loads(text, parse_constant=no_constant)


def rows(path: str, *columns: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path}.journal")) as journal:
        return journal.execute(f"SELECT {', '.join(columns)} FROM request").fetchall()


# -- every column of every statement


def as_id(value: Any) -> str:
    return json.dumps("deep") if value is STRANGE["nested deep"] else str(value)


@pytest.mark.parametrize("column", [field.name for field in attrs.fields(Ended) if field.name != "kind"])
def test_what_ended(path: str, column: str) -> None:
    journal = Journal(f"{path}.journal")
    values = [as_id(value) for value in STRANGE.values()] if column == "custom_id" else list(STRANGE.values())
    for number, value in enumerate(values):
        custom_id = value if column == "custom_id" else f"p-{number}"
        assert journal.register_one(Registered(custom_id, number, b"hash"))
        given: dict[str, Any] = {
            "custom_id": custom_id,
            "kind": "errored",
            "error": "e",
            "submitted": 1.0,
            "seconds": 1.0,
        }
        journal.commit((), [Ended(**given | {column: value})])
    assert journal.ended_count() == len(STRANGE)
    journal.totals()
    journal.close()
    for (found,) in rows(path, column):
        if column in ("error", "message", "model", "stop_reason"):
            assert found is None or (found.isprintable() and len(found) <= 300)
        if isinstance(found, float):
            assert math.isfinite(found)
    report = read_report(path)
    page(report)
    tables(report)
    made_from = ("histograms", "failures")
    json.dumps(attrs.asdict(report, filter=lambda field, _: field.name not in made_from), allow_nan=False)


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(Usage)])
def test_what_began(path: str, field: str) -> None:
    journal = Journal(f"{path}.journal")
    for number, value in enumerate(STRANGE.values()):
        custom_id = f"p-{number}"
        journal.register_one(Registered(custom_id, number, b"hash"))
        usage = Usage(**{field: value})
        journal.commit([Begun(custom_id, value, usage, value)], ())
        journal.end_session("killed")
        journal.totals()
        journal.commit((), [Ended(custom_id=custom_id, kind="succeeded", **columns_of(usage))])
    assert journal.totals().done == len(STRANGE)
    journal.close()
    read_report(path)


@strange
def test_an_id(path: str, value: Any) -> None:
    custom_id = as_id(value)
    output = ResultFile(path)
    output.open()
    journal = Journal(f"{path}.journal")
    registered = Registered(custom_id, 1, b"hash")
    assert journal.register_one(registered)
    journal.commit([Begun(custom_id, 1.0)], ())
    assert journal.unanswered(0, 9) == [registered]
    line = encode_line(custom_id, {"type": "canceled"})
    journal.commit((), [Ended(custom_id=custom_id, kind="errored")], [Held(custom_id, line)])
    assert journal.due(9) == [Held(custom_id, line)]
    journal.commit((), (), (), [custom_id])
    assert journal.read("SELECT * FROM held") == []
    output.add(line)
    output.flush()
    assert check_line(line)["custom_id"] == custom_id
    found, missing = reconcile(output, journal, Prices())
    assert missing == 0
    journal.hold([Held(custom_id, line)])
    journal.choose(Again(errored=True))
    assert journal.chosen(known=False).errors == {"errored": 1}
    drop_chosen(output, journal, found, ordered=False)
    assert Path(path).read_bytes() == b""
    assert journal.unanswered(0, 9) == [registered]
    journal.close()


def test_counts_that_are_huge_are_added_up(path: str) -> None:
    journal = Journal(f"{path}.journal")
    count = 3000
    journal.register([Registered(f"p-{number}", number, b"") for number in range(count)])
    journal.commit((), [Ended(custom_id=f"p-{n}", kind="errored", output_tokens=10**20) for n in range(count)])
    assert journal.totals().output_tokens >= 2**62
    journal.close()
    assert read_report(path).totals.done == count


def test_bytes_that_are_no_text_are_read(path: str) -> None:
    journal = Journal(f"{path}.journal")
    journal.register([Registered("a", 1, b"")])
    journal.read("UPDATE request SET state = 'ended', kind = 'errored', error = CAST(x'ff61' AS TEXT)")
    assert journal.totals().errors == {r"\xffa": 1}
    journal.close()
    assert read_report(path).totals.errors == {r"\xffa": 1}


# -- an ending: its line, its row, and going on


def endings(value: Any) -> Iterator[StreamResult]:
    """A stream's ending with this value in every place that a server fills."""
    common: dict[str, Any] = {"stream_id": "s", "custom_id": "a", "timestamp": datetime.now(UTC)}
    message: dict[str, Any] = {
        "id": "msg",
        "model": "claude-opus-5-5",
        "stop_reason": "end_turn",
        "content": [],
        "usage": {"input_tokens": 1, "output_tokens": 2, "cache_creation": {}, "server_tool_use": {}},
    }
    for name in (*message, "novelty"):
        yield StreamResult(state="complete", message={**message, name: value}, **common)
    for name in message["usage"]:
        yield StreamResult(state="complete", message={**message, "usage": {**message["usage"], name: value}}, **common)
    yield StreamResult(state="complete", message=None, **common)
    yield StreamResult(state="complete", message=message, model_name=value, stop_reason=value, **common)
    whole = ErrorInfo("api_error", "it broke")
    for name in ("type", "message", "request_id", "code"):
        changed: dict[str, Any] = {name: value}
        yield StreamResult(state="failed", error=attrs.evolve(whole, **changed), **common)


@pytest.mark.parametrize("ordered", [False, True])
@strange
def test_an_ending_is_written_and_gone_on_with(path: str, ordered: bool, value: Any) -> None:
    output, journal = ResultFile(path), Journal(f"{path}.journal")
    output.open()
    writer = Writer(output, journal, ordered=ordered)
    results = [attrs.evolve(result, custom_id=f"p-{number}") for number, result in enumerate(endings(value))]
    registered = [Registered(f"p-{number}", number, b"hash") for number in range(len(results))]
    journal.register(registered)
    for result in results:
        answer = batch_result(result)
        assert answer is not None
        line = encode_line(result.custom_id, answer)
        assert check_line(line)["result"]["type"] == answer["type"]
        assert (answer["type"] == "succeeded") == (result.state == "complete" and result.message is not None)
        writer.add(Answer(result, ended_row(Over(result, None), answer), line))
    writer.flush()
    assert [one.result for one in writer.safe] == results
    journal.close()  # killed before it could say so
    output.close()
    # Without a word of them in the journal the lines tell all.
    Path(f"{path}.journal").unlink()
    output, journal = ResultFile(path), Journal(f"{path}.journal")
    output.open(resumable=True)
    journal.register(registered)
    assert reconcile(output, journal, Prices())[1] == 0
    assert journal.ended_count() == len(results)
    journal.close()
    output.close()
    page(read_report(path))


def test_a_line_in_which_everything_is_strange() -> None:
    for value in STRANGE.values():
        check_line(encode_line("a", {"type": "succeeded", "message": {"x": value, "y": [value]}}))


FOREIGN = [
    b"",
    b"[]",
    b"null",
    b"7",
    b"{}",
    b"{",
    b"\xff",
    b'{"custom_id":7,"result":{"type":"succeeded"}}',
    b'{"custom_id":"a"}',
    b'{"custom_id":"a","result":null}',
    b'{"custom_id":"a","result":{"type":"novelty"}}',
    b'{"custom_id":"a","result":{"type":["succeeded"]}}',
    b'{"custom_id":"a","result":{"type":"succeeded"',
    b'{"custom_id":"a","result":{"type":"succeeded","message":"\xff"}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", FOREIGN, ids=lambda line: repr(line)[:50])
def test_a_foreign_line_is_refused_in_one_line(path: str, line: bytes) -> None:
    Path(path).write_bytes(encode_line("b", {"type": "canceled"}) + line + b"\n")
    output, journal = ResultFile(path), Journal(f"{path}.journal")
    output.open(resumable=True)
    with pytest.raises(OutputError, match=r"out\.jsonl:2: not a line that a run wrote; --overwrite starts anew$"):
        reconcile(output, journal, Prices())
    journal.close()


OURS: list[dict[str, Any]] = [
    {"type": "succeeded"},
    {"type": "succeeded", "message": []},
    {"type": "succeeded", "message": {}},
    {"type": "succeeded", "message": {"usage": []}},
    {"type": "succeeded", "message": {"usage": {"output_tokens": "7"}, "model": None}},
    {"type": "errored"},
    {"type": "errored", "error": None},
    {"type": "errored", "error": "boom"},
    {"type": "errored", "error": {"type": "error", "error": "boom"}},
    {"type": "errored", "error": {"type": "api_error", "message": "boom"}},
    {"type": "errored", "error": {"error": {"message": "boom"}}},
    {"type": "expired", "error": 7},
]


@pytest.mark.parametrize("result", OURS, ids=str)
def test_a_line_of_another_shape_is_an_answer(path: str, result: dict[str, Any]) -> None:
    Path(path).write_bytes(encode_line("a", result))
    output, journal = ResultFile(path), Journal(f"{path}.journal")
    output.open(resumable=True)
    assert reconcile(output, journal, Prices())[1] == 0
    assert journal.ended_count() == 1
    journal.close()
    assert rows(path, "kind", "message") == [(result["type"], "boom" if "boom" in str(result) else None)]


def test_numbers_and_nesting_that_python_will_not_read(path: str) -> None:
    long = b'{"custom_id":"a","result":{"type":"succeeded","message":{"x":' + b"9" * 5000 + b"}}}\n"
    deep = b'{"custom_id":"b","result":{"type":"errored","error":' + b"[" * 5000 + b"]" * 5000 + b"}}\n"
    Path(path).write_bytes(long + deep)
    output, journal = ResultFile(path), Journal(f"{path}.journal")
    output.open(resumable=True)
    assert reconcile(output, journal, Prices())[1] == 0
    assert journal.totals().endings == {"succeeded": 1, "errored": 1}
    journal.close()
