"""Results as rows: what stands in each column, whoever wrote the file and whatever is in it."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import write_journal

from manystream import ResultsError, read_results
from manystream.actors.message import usage_from_json
from manystream.engine.export.lines import ResultLines
from manystream.engine.prices import Prices

OURS = [
    *("custom_id", "epoch", "state", "text", "output", "stop_reason", "model"),
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd"),
    *("error_type", "error_message"),
]
MODEL = "claude-opus-5-5"  # 4 and 20 dollars a million tokens


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answered(custom_id: str = "a", *content: Any, usage: Any = None, **more: Any) -> dict[str, Any]:
    blocks = [{"type": "text", "text": one} if isinstance(one, str) else one for one in content]
    used = {"input_tokens": 1000, "output_tokens": 100, "service_tier": "standard"} if usage is None else usage
    message = {"model": MODEL, "role": "assistant", "content": blocks, "stop_reason": "end_turn", "usage": used}
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}, **more}


def errored(custom_id: str, kind: str = "overloaded_error", message: str = "Overloaded") -> dict[str, Any]:
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return {"custom_id": custom_id, "result": {"type": "errored", "error": error}}


def write(*lines: Any, path: str = "r.jsonl", end: bytes = b"") -> str:
    Path(path).write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + end)
    return path


def rows_of(*lines: Any, **options: Any) -> list[dict[str, Any]]:
    return list(read_results(write(*lines), **options))


def one(line: Any) -> dict[str, Any]:
    (row,) = rows_of(line)
    return row


# -- the columns of each answer


def test_an_answer_of_the_batches_api() -> None:
    used = {
        "input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 100,
        "service_tier": "batch",
    }
    row = one(answered("a", "Hello, ", {"type": "thinking", "thinking": "hm"}, "you", usage=used))
    assert list(row) == OURS
    assert row == dict.fromkeys(OURS) | {
        "custom_id": "a",
        "state": "succeeded",
        "text": "Hello, you",
        "stop_reason": "end_turn",
        "model": MODEL,
        "input_tokens": 1000,
        "cache_read_tokens": 3000,
        "cache_write_tokens": 200,
        "output_tokens": 100,
        "cost_usd": pytest.approx((Prices().cost(MODEL, usage_from_json(used)) or 0) / 2),
    }


def test_a_live_answer_costs_twice_as_much() -> None:
    live = {"input_tokens": 10, "output_tokens": 1}
    batch = live | {"service_tier": "batch"}
    first, second = rows_of(answered("a", usage=live), answered("b", usage=batch))
    assert first["cost_usd"] == pytest.approx(6e-5)
    assert second["cost_usd"] == pytest.approx(3e-5)


def test_other_endings() -> None:
    lines = [
        errored("a"),
        {"custom_id": "b", "result": {"type": "canceled"}},
        {"custom_id": "c", "result": {"type": "expired"}},
        {"custom_id": "d", "result": {"type": "errored", "error": {"type": "api_error", "message": "bare"}}},
    ]
    rows = rows_of(*lines)
    nothing = dict.fromkeys(OURS)
    assert rows == [
        nothing
        | {"custom_id": "a", "state": "errored", "error_type": "overloaded_error", "error_message": "Overloaded"},
        nothing | {"custom_id": "b", "state": "canceled"},
        nothing | {"custom_id": "c", "state": "expired"},
        nothing | {"custom_id": "d", "state": "errored", "error_type": "api_error", "error_message": "bare"},
    ]


CALL = {"type": "tool_use", "id": "t", "name": "label", "input": {"label": "cat"}}


@pytest.mark.parametrize(
    ("content", "output"),
    [
        (['{"a": [1, 2.5, null]}'], {"a": [1, 2.5, None]}),
        ([' \n[1, "x"]\n'], [1, "x"]),
        (['{"a"', ": 1}"], {"a": 1}),
        (["12"], None),
        (['"text"'], None),
        (["null"], None),
        (["{}"], {}),
        (["Here: {}"], None),
        (['{"a": NaN}'], None),
        (['{"a": 1'], None),
        (["[" * 300 + "]" * 300], None),
        (["Let me see.", CALL], {"label": "cat"}),
        ([CALL], {"label": "cat"}),
        ([CALL, CALL], None),
        (['{"a": 1}', CALL], {"a": 1}),
        ([CALL, {"type": "server_tool_use", "input": {"query": "x"}}], {"label": "cat"}),
        ([], None),
    ],
)
def test_the_answer_as_data(content: list[Any], output: Any) -> None:
    assert one(answered("a", *content))["output"] == output


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        [],
        "text",
        {"content": None},
        {"content": "text", "usage": 5, "model": 7, "stop_reason": ["x"]},
        {"content": [None, 1, {"type": "text"}, {"type": "text", "text": 5}], "usage": {"input_tokens": "many"}},
        {"content": [{"type": "tool_use"}], "usage": {"input_tokens": -5, "output_tokens": 10**30}},
    ],
)
def test_a_message_may_hold_anything(message: Any) -> None:
    row = one({"custom_id": "a", "result": {"type": "succeeded", "message": message}})
    assert (row["custom_id"], row["state"], row["output"]) == ("a", "succeeded", None)
    for name in ("text", "stop_reason", "model", "error_type", "error_message"):
        assert row[name] is None or isinstance(row[name], str)
    for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"):
        assert row[name] is None or isinstance(row[name], int)


def test_the_user_s_own_id_and_the_epoch() -> None:
    row = one(answered("made_1__2", "x", id="Größe 1__2", epoch=2))
    assert (row["custom_id"], row["epoch"]) == ("Größe 1__2", 2)


def test_numbers_with_more_digits_than_python_reads() -> None:
    write(end=b'{"custom_id":"a","result":{"type":"succeeded","message":{}},"row":{"n":' + b"7" * 5000 + b"}}\n")
    (row,) = read_results("r.jsonl")
    assert row["n"] == "7" * 5000


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    row = one(answered("a\ud800", "x\udfffy😀", row={"k\ud800": ["\ud800"]}))
    assert (row["custom_id"], row["text"], row["k\ufffd"]) == ("a\ufffd", "x\ufffdy😀", ["\ufffd"])
    assert one(answered("a", '["\\ud83d"]'))["output"] == ["\ufffd"]


# -- the user's columns


def test_the_user_s_columns_follow_in_the_order_in_which_they_first_appear() -> None:
    rows = rows_of(
        answered("a", row={"topic": "rivers", "n": 1}),
        answered("b"),
        answered("c", row={"gold": True, "n": 2}),
    )
    assert [list(row) for row in rows] == [[*OURS, "topic", "n", "gold"]] * 3
    assert [(row["topic"], row["n"], row["gold"]) for row in rows] == [
        ("rivers", 1, None),
        (None, None, None),
        (None, 2, True),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 2], [1, None, 2]),
        ([1, 2.5], [1, 2.5]),
        ([1, "x"], ["1", "x"]),
        ([True, 1], ["true", "1"]),
        ([{"a": 1}, [2]], [{"a": 1}, [2]]),
        ([{"ä": 1}, "x", None], ['{"ä":1}', "x", None]),
        ([2**53 + 1, 1], [2**53 + 1, 1]),
        ([2**53 + 1, 1.5], [str(2**53 + 1), "1.5"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([None, None], [None, None]),
    ],
)
def test_values_of_different_types_are_texts(values: list[Any], expected: list[Any]) -> None:
    rows = rows_of(*(answered(str(n), row={"x": value}) for n, value in enumerate(values)))
    found = [row["x"] for row in rows]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_column_that_is_named_as_one_of_ours() -> None:
    with pytest.raises(ResultsError) as raised:
        rows_of(answered("a"), answered("b", row={"model": "x"}))
    assert str(raised.value) == (
        "r.jsonl: a column of the input is named 'model', as one of the export is; --column-prefix input_"
        " (column_prefix=) makes it 'input_model'"
    )
    rows = rows_of(answered("b", row={"model": "x", "other": 1}), column_prefix="input_")
    assert list(rows[0]) == [*OURS, "input_model", "input_other"]
    assert (rows[0]["model"], rows[0]["input_model"], rows[0]["input_other"]) == (MODEL, "x", 1)
    with pytest.raises(ResultsError, match="'error_type' is a column of the export; choose another column prefix"):
        rows_of(answered("b", row={"type": "x"}), column_prefix="error_")


def test_several_files_have_one_table() -> None:
    write(answered("a", row={"x": 1}), path="1.jsonl")
    write(answered("a", row={"y": 2}), errored("b"), path="2.jsonl")
    rows = list(read_results("1.jsonl", Path("2.jsonl")))
    assert [(row["custom_id"], row["x"], row["y"]) for row in rows] == [
        ("a", 1, None),
        ("a", None, 2),
        ("b", None, None),
    ]


# -- what the journal knows


def test_the_journal_says_what_all_attempts_used() -> None:
    write(answered("a", "x"), errored("b", "api_error"), answered("c", "new"))
    spent = {"kind": "succeeded", "input_tokens": 2000, "cache_write_tokens": 5, "cache_read_tokens": 6}
    write_journal(
        Path("r.jsonl.journal"),
        [
            spent | {"custom_id": "a", "output_tokens": 300, "dollars": 0.5, "model": MODEL},
            {"custom_id": "b", "kind": "errored", "error": "api_error", "failure": "truncated", "model": "m"}
            | {"input_tokens": 9, "output_tokens": 7, "dollars": None},
            {"custom_id": "c", "state": "begun", "input_tokens": 1, "dollars": 9.0},
        ],
    )
    first, second, third = read_results("r.jsonl")
    names = ("input_tokens", "cache_write_tokens", "cache_read_tokens", "output_tokens", "cost_usd")
    assert [first[name] for name in names] == [2000, 5, 6, 300, 0.5]
    assert [second[name] for name in names] == [9, None, None, 7, None]
    assert (second["model"], second["error_type"], second["error_message"]) == ("m", "truncated", "Overloaded")
    assert [third[name] for name in names] == [1000, 0, 0, 100, pytest.approx(0.006)]  # not noted yet
    assert sorted(os.listdir()) == ["r.jsonl", "r.jsonl.journal"]


def test_a_journal_of_an_older_release_and_one_that_is_none() -> None:
    write(errored("b", "api_error"))
    write_journal(Path("r.jsonl.journal"), [{"custom_id": "b", "kind": "errored", "error": "api_error"}])
    with closing(sqlite3.connect("r.jsonl.journal")) as journal, journal:
        journal.execute("ALTER TABLE request DROP COLUMN failure")
    assert [row["error_type"] for row in read_results("r.jsonl")] == ["api_error"]
    with closing(sqlite3.connect("r.jsonl.journal")) as journal, journal:
        journal.execute("UPDATE meta SET value = '99'")
    with pytest.raises(ResultsError, match=r"^r\.jsonl\.journal: its format is 99, which this version"):
        list(read_results("r.jsonl"))
    Path("r.jsonl.journal").write_text("no journal at all, but long enough to be looked at")
    with pytest.raises(ResultsError, match=r"^r\.jsonl\.journal: not the journal of a run: file is not a database"):
        list(read_results("r.jsonl"))


# -- what is in the file


def test_a_torn_last_line_is_left_out() -> None:
    whole = json.dumps(answered("b", "ä")).encode()
    for cut in (1, 10, 30, len(whole) - 1, whole.index(b"\\u00e4") + 3):
        write(answered("a"), end=whole[:cut])
        assert [row["custom_id"] for row in read_results("r.jsonl")] == ["a"]
    write(answered("a"), end=whole)  # only its line feed is missing
    assert [row["custom_id"] for row in read_results("r.jsonl")] == ["a", "b"]
    write(end=whole[:20])
    assert list(read_results("r.jsonl")) == []


def test_nothing_but_an_empty_file_blank_lines_and_a_byte_order_mark() -> None:
    write()
    assert list(read_results("r.jsonl")) == []
    write(end=b"\n\n" + json.dumps(answered("a")).encode() + b"\r\n\n  \n")
    assert [row["custom_id"] for row in read_results("r.jsonl")] == ["a"]
    write(end=b"\xef\xbb\xbf" + json.dumps(answered("a")).encode() + b"\n")
    assert [row["custom_id"] for row in read_results("r.jsonl")] == ["a"]


def test_what_is_added_while_it_is_read_is_left_out() -> None:
    write(answered("a"), end=b'{"custom_id":"b","resu')
    rows = read_results("r.jsonl")
    first = next(rows)
    with open("r.jsonl", "r+b") as file:  # as a run does that goes on: the torn line is cut off
        file.seek(-len(b'{"custom_id":"b","resu'), 2)
        file.truncate()
        file.write(json.dumps(answered("c", row={"model": "x"})).encode() + b"\n")
    assert [first["custom_id"], *(row["custom_id"] for row in rows)] == ["a"]


def test_what_a_run_adds_after_the_file_was_opened_is_left_out_each_time() -> None:
    torn = json.dumps(answered("b")).encode()
    first = answered("a", "x" * 1_000_000)  # more than a buffer holds
    write(first, end=torn[:90])
    with closing(ResultLines("r.jsonl")) as lines:
        with open("r.jsonl", "ab") as file:  # the line is whole now, and another follows
            file.write(torn[90:] + b"\n" + json.dumps(answered("c")).encode() + b"\n")
        for _ in range(2):
            assert [line["custom_id"] for line in lines] == ["a"]
        expired = {"custom_id": "d", "result": {"type": "expired"}}
        write(first, expired, expired)  # a run that goes on cut the torn line off, and wrote shorter ones
        assert [line["custom_id"] for line in lines] == ["a"]


def test_a_file_that_is_replaced_while_it_is_read() -> None:
    write(*(answered(str(n), "x" * 2000) for n in range(100)))
    rows = read_results("r.jsonl")
    next(rows)
    write(answered("new"), path="other.jsonl")
    os.replace("other.jsonl", "r.jsonl")
    assert len(list(rows)) == 99


def test_a_file_that_is_cut_while_it_is_read() -> None:
    write(*(answered(str(n), "x" * 2000) for n in range(100)))
    rows = read_results("r.jsonl")
    next(rows)
    os.truncate("r.jsonl", 100_000)
    with pytest.raises(ResultsError, match=r"^r\.jsonl: it was emptied or cut while it was read$"):
        list(rows)


def test_a_compressed_file_and_a_pipe() -> None:
    line = json.dumps(answered("a")).encode() + b"\n"
    Path("r.jsonl.gz").write_bytes(gzip.compress(line))
    assert [row["custom_id"] for row in read_results("r.jsonl.gz")] == ["a"]
    Path("r.jsonl.gz").write_bytes(gzip.compress(line)[:-9])
    with pytest.raises(ResultsError, match=r"^r\.jsonl\.gz: its compressed data is damaged or cut off$"):
        list(read_results("r.jsonl.gz"))
    if sys.platform == "win32":
        return
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(line,))
    writer.start()
    assert [row["custom_id"] for row in read_results("pipe")] == ["a"]
    writer.join()


GOOD = json.dumps(answered("a")).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (GOOD + b"no JSON\n" + GOOD, "r.jsonl:2: not a line of results: it is not JSON"),
        (GOOD + b'{"custom_id":"b","resu\n', "r.jsonl:2: not a line of results: it is not JSON"),
        (GOOD + b"[1]\n", "r.jsonl:2: not a line of results: it is not a JSON object"),
        (GOOD + b"\xff\xfe\n", "r.jsonl:2: not a line of results: it is not UTF-8"),
        (b"hello", "r.jsonl:1: not a line of results: it is not JSON"),
        (b"custom_id,text\na,b\n", "r.jsonl:1: not a line of results: it is not JSON"),
        (b'[{"custom_id": "a"}]', "r.jsonl:1: not a line of results: it is not a JSON object"),
        (b'{"custom_id":"a","params":{}}\n', "r.jsonl:1: not a line of results: it is a request"),
        (b'{"prompt":"a"}\n', "r.jsonl:1: not a line of results: it is a request"),
        (b'{"custom_id":"a"}\n', "r.jsonl:1: not a line of results: it has no result"),
        (b'{"custom_id":"a","result":"x"}\n', "r.jsonl:1: not a line of results: it has no result"),
        (
            b'{"custom_id":"a","result":{"type":"new"}}\n',
            "r.jsonl:1: not a line of results: its type is none of succeeded, errored, canceled, expired",
        ),
        (
            b'{"custom_id":5,"result":{"type":"expired"}}\n',
            "r.jsonl:1: not a line of results: its custom_id is no text",
        ),
        (b"[" * 100_000 + b"\n", "r.jsonl:1: not a line of results: it is nested too deeply"),
        (b"SQLite format 3\x00 and more", "r.jsonl: no results"),
        (b"PAR1\x15\x04", "r.jsonl:1: not a line of results: it is not JSON"),
    ],
)
def test_what_are_no_results(content: bytes, told: str) -> None:
    Path("r.jsonl").write_bytes(content)
    with pytest.raises(ResultsError) as raised:
        list(read_results("r.jsonl"))
    assert str(raised.value) == told


def test_what_can_not_be_read() -> None:
    with pytest.raises(ResultsError, match=r"^absent\.jsonl: no such results$"):
        next(read_results("absent.jsonl"))
    Path("folder").mkdir()
    with pytest.raises(ResultsError, match=r"^folder: is a folder; name the results file in it$"):
        next(read_results("folder"))
    write_journal(Path("r.jsonl.journal"), [])
    with pytest.raises(
        ResultsError, match=r"^r\.jsonl\.journal: this is the journal; name the results file, r\.jsonl$"
    ):
        next(read_results("r.jsonl.journal"))


def test_an_iterator_that_is_left_lets_go_of_the_file(recwarn: pytest.WarningsRecorder) -> None:
    write(answered("a"), answered("b"))
    write_journal(Path("r.jsonl.journal"), [{"custom_id": "a", "kind": "succeeded"}])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    rows = read_results("r.jsonl")
    next(rows)
    rows.close()
    with pytest.raises(ResultsError):
        list(read_results("r.jsonl", "absent.jsonl"))
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
    assert [str(warning.message) for warning in recwarn] == []


# -- data frames


def lines_for_frames() -> list[Any]:
    lines = [answered(str(n), f"text {n}", row={"n": n, "score": None, "tag": "x"}) for n in range(150)]
    lines.append(errored("e"))  # what is null in the first rows is not in later ones
    lines.append(answered("f", '{"a": 1}', row={"n": 5, "score": 2.5, "tag": 7}, epoch=1))
    return lines


def test_pandas() -> None:
    pandas: Any = pytest.importorskip("pandas")
    write(*lines_for_frames())
    frame = pandas.DataFrame(read_results("r.jsonl"))
    assert list(frame.columns) == [*OURS, "n", "score", "tag"]
    assert frame["error_type"].tolist()[150] == "overloaded_error"
    assert frame["output"].tolist()[151] == {"a": 1}
    assert frame["n"].sum() == sum(range(150)) + 5


def test_polars() -> None:
    polars: Any = pytest.importorskip("polars")
    write(*lines_for_frames())
    frame = polars.DataFrame(read_results("r.jsonl"), infer_schema_length=None)
    assert frame.columns == [*OURS, "n", "score", "tag"]
    assert frame["input_tokens"].dtype == polars.Int64
    assert frame["n"].dtype == polars.Int64
    assert frame["score"].to_list()[150:] == [None, 2.5]
    assert frame["tag"].to_list()[149:] == ["x", None, "7"]
    assert frame["error_type"].null_count() == 151
