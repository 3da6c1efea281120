"""The rows as CSV, TSV, JSON Lines and Parquet: each is read again by the readers that people use."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from manystream.engine.export.formats import Format, format_of, write_rows
from manystream.engine.export.rows import ResultRows
from manystream.engine.runs import OutputError


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def line(text: str, **row: Any) -> dict[str, Any]:
    message = {"model": "m", "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 5}}
    return {"custom_id": "a", "result": {"type": "succeeded", "message": message}, "row": row}


def written(*lines: Any, format: Format = "csv", **options: Any) -> bytes:
    Path("r.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    file = io.BytesIO()
    with ResultRows(["r.jsonl"], **options) as rows:
        assert write_rows(rows, file, format) == len(lines)
    return file.getvalue()


def cells(data: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


TEXTS = [
    "plain",
    "",
    " ",
    "a, b",
    'she said "no"',
    "two\nlines",
    "\n",
    "windows\r\nline",
    "old\rmac",
    "tab\there",
    "Größe 😀 日本",
    "\u2028",
    "ends with a space ",
    '"',
    "1.5",
    "null",
]


@pytest.mark.parametrize(("format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_every_text_comes_back(format: Format, delimiter: str) -> None:
    data = written(*(line(text, mine=text) for text in TEXTS), format=format)
    rows = cells(data, delimiter)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["mine"] for row in rows] == TEXTS
    assert b"\r\n" not in data.replace(b"windows\r\nline", b"")


@pytest.mark.parametrize("text", TEXTS)
def test_pandas_and_polars_read_each_text(text: str) -> None:
    pandas: Any = pytest.importorskip("pandas")
    polars: Any = pytest.importorskip("polars")
    data = written(line(text, mine=text), line("other", mine="other"))
    frame = pandas.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    assert frame["text"].tolist() == [text, "other"]
    assert frame["mine"].tolist() == [text, "other"]
    table = polars.read_csv(io.BytesIO(data), infer_schema=False)
    assert table["text"].to_list() == [text, "other"]
    assert table["epoch"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1 to that", "'+1 to that"),
        ("- a list", "'- a list"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-", "'-"),
        ("-1+2", "'-1+2"),
        ("-5", "-5"),
        ("+3.5e-4", "+3.5e-4"),
        ("-.5", "-.5"),
        ("a=1", "a=1"),
        (" =1", " =1"),
        ("x\0y", "x\ufffdy"),
    ],
)
def test_what_a_spreadsheet_takes_for_a_formula(text: str, shown: str) -> None:
    row = cells(written(line(text, mine=text)))[0]
    assert (row["text"], row["mine"]) == (shown, shown)


def test_formulas_are_kept_when_they_are_wanted() -> None:
    written(line("=1+1", **{"=x": "@a"}))
    file = io.BytesIO()
    with ResultRows(["r.jsonl"]) as rows:
        write_rows(rows, file, "csv", keep_formulas=True)
    (row,) = cells(file.getvalue())
    assert (row["text"], row["=x"]) == ("=1+1", "@a")
    assert "'=x" in cells(written(line("=1+1", **{"=x": "@a"})))[0]


def test_values_that_are_no_texts_in_csv() -> None:
    data = written(
        line('{"a": "ü"}', yes=True, no=None, number=-1.5, count=-3, nested={"b": [1]}, mixed=1, empty=""),
        line("x", yes=False, no=None, number=2, count=3, nested=[None], mixed="=x", empty="y"),
    )
    first, second = cells(data)
    assert (first["output"], second["output"]) == ('{"a":"ü"}', "")
    names = ("yes", "no", "number", "count", "nested", "mixed", "empty")
    assert [first[name] for name in names] == ["true", "", "-1.5", "-3", '{"b":[1]}', "1", ""]
    assert [second[name] for name in names] == ["false", "", "2.0", "3", "[null]", "'=x", "y"]
    assert data.splitlines()[1].endswith(b',1,""')  # an empty text is not nothing


def test_json_lines_hold_the_values_themselves() -> None:
    data = written(line('{"a": [1]}', mixed=1, nested={"b": 1}, text_="=1\u2028"), line("x", mixed="y"), format="jsonl")
    first, second = map(json.loads, data.decode().splitlines())
    assert (first["output"], first["mixed"], first["nested"]) == ({"a": [1]}, 1, {"b": 1})
    assert (first["text_"], second["mixed"], second["nested"]) == ("=1\u2028", "y", None)
    assert list(first) == list(second)


# -- Parquet


def test_parquet_has_types() -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    data = written(
        line('{"a": 1}', yes=True, number=1, count=2, nested={"b": 1}, mixed=1, none=None, big=2**62, huge=2**70),
        line("=x\0\ud800", number=2.5, nested=[1], mixed="y"),
        format="parquet",
    )
    table = parquet.read_table(io.BytesIO(data))
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds | {"cost_usd": "double", "output_tokens": "int64", "epoch": "int64", "output": "string"} == kinds
    assert {name: kinds[name] for name in ("yes", "number", "count", "nested", "mixed", "none", "big", "huge")} == {
        "yes": "bool",
        "number": "double",
        "count": "int64",
        "nested": "string",
        "mixed": "string",
        "none": "string",
        "big": "int64",
        "huge": "string",
    }
    first, second = table.to_pylist()
    assert (first["output"], first["number"], first["nested"], first["mixed"]) == ('{"a":1}', 1.0, '{"b":1}', "1")
    assert (first["big"], first["huge"], first["input_tokens"]) == (2**62, str(2**70), 5)
    assert (second["text"], second["yes"], second["count"], second["nested"]) == ("=x\0\ufffd", None, None, "[1]")


def test_parquet_is_written_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("manystream.engine.export.parquet._GROUP_ROWS", 3)
    data = written(*(line(str(n), n=n) for n in range(7)), format="parquet")
    file = parquet.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 3, 1]
    assert file.read()["n"].to_pylist() == list(range(7))
    monkeypatch.setattr("manystream.engine.export.parquet._GROUP_CHARACTERS", 10)
    data = written(*(line("x" * 30) for _ in range(2)), format="parquet")
    assert parquet.ParquetFile(io.BytesIO(data)).num_row_groups == 2


def test_parquet_of_nothing() -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written(format="parquet")))
    assert (table.num_rows, table.num_columns) == (0, 14)


def test_polars_reads_the_parquet() -> None:
    polars: Any = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    frame = polars.read_parquet(io.BytesIO(written(line("x", n=1), line("y"), format="parquet")))
    assert frame["n"].to_list() == [1, None]


def test_parquet_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("manystream.engine.export.parquet.import_module", absent)
    with pytest.raises(
        OutputError, match=r"^writing Parquet needs another package: pip install 'manystream\[parquet\]'"
    ):
        written(line("x"), format="parquet")


# -- which format


def test_the_format_is_that_of_the_name() -> None:
    for known in get_args(Format):
        assert format_of(f"out.{known}") == known
        assert format_of(f"a.b/OUT.{known.upper()}") == known
        assert format_of("out.csv", known) == known
        assert format_of("-", known) == known
    assert format_of("-") == "csv"


@pytest.mark.parametrize("path", ["out", "out.xlsx", "out.csv.gz", ".csv", "a.csv/out", "out.json"])
def test_other_names_are_refused(path: str) -> None:
    with pytest.raises(OutputError) as raised:
        format_of(path)
    assert str(raised.value) == f"{path}: its name has to end with one of .csv, .tsv, .parquet, .jsonl, or say --format"
