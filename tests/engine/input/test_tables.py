"""Rows of tables: CSV and TSV by RFC 4180, JSON, Parquet, packed or not, in a file and through a pipe."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream import Columns, InputError, InvalidRequestsError, RequestFile, read_requests
from manystream.engine.input.delimited import DelimitedRows
from manystream.engine.input.pipe import RequestPipe
from manystream.engine.input.reading import Reading

CSV = 'question,label,key\n"What is 1+1?",two,1\n"Several\nlines, with ""quotes""",x,2\n=3,,3\n'
ROWS = [
    {"question": "What is 1+1?", "label": "two", "key": "1"},
    {"question": 'Several\nlines, with "quotes"', "label": "x", "key": "2"},
    {"question": "=3", "label": "", "key": "3"},
]


def read(path: Path, **options: Any) -> RequestFile:
    requests = read_requests(path, **options)
    assert isinstance(requests, RequestFile)
    return requests


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def told(path: Path, content: str | bytes, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_requests(written(path, content), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def rows_of(requests: RequestFile) -> list[tuple[str, Any]]:
    """The prompt of each request, and its row."""
    return [
        (request.params["messages"][0]["content"], beside and beside.row) for _, request, beside in requests.numbered()
    ]


TABLES = {
    "csv": CSV,
    "bom": b"\xef\xbb\xbf" + CSV.encode(),
    "crlf": CSV.replace('"\nl', '"\r\nl').replace("1\n", "1\r\n").replace("y\n", "y\r\n"),
    "no last line feed": CSV.removesuffix("\n"),
    "empty lines": "\n" + CSV.replace("\n=3", "\n\n\n=3"),
    "tsv": 'question\tlabel\tkey\nWhat is 1+1?\ttwo\t1\n"Several\nlines, with ""quotes"""\tx\t2\n=3\t\t3\n',
    "semicolons": CSV.replace("question,label,key", "question;label;key")
    .replace(",two,", ";two;").replace(",x,", ";x;").replace(",,", ";;"),
    "json lines": "\n".join(map(json.dumps, ROWS)),
    "array": json.dumps(ROWS),
    "gzip": gzip.compress(CSV.encode(), mtime=0),
}  # fmt: skip


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["rows", "rows.csv"])
def test_a_table_is_known_by_what_is_in_it(tmp_path: Path, name: str, content: str | bytes) -> None:
    requests = read(written(tmp_path / name, content), columns=Columns(prompt="question"))
    assert len(requests) == 3
    assert rows_of(requests) == [(row["question"], {"label": row["label"], "key": row["key"]}) for row in ROWS]
    assert rows_of(requests) == rows_of(requests)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
async def test_the_same_through_a_pipe(content: str | bytes, size: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    end, begin = os.pipe()

    def write() -> None:
        for at in range(0, len(data), size):
            os.write(begin, data[at : at + size])
        os.close(begin)

    writer = threading.Thread(target=write)
    writer.start()
    pipe = RequestPipe("stdin", end, Reading(columns=Columns(prompt="question", id="key")), skip_invalid=False)
    found = [one async for one in pipe]
    writer.join()
    pipe.close()
    assert [request.params["messages"][0]["content"] for _, request, _ in found] == [row["question"] for row in ROWS]  # pyright: ignore[reportIndexIssue]
    assert [request.custom_id for _, request, _ in found] == ["1", "2", "3"]
    assert [beside and beside.row for _, _, beside in found] == [
        {"label": row["label"], "key": row["key"]} for row in ROWS
    ]


@pytest.mark.parametrize("name", ["one.csv", "one.tsv", "one"])
def test_a_table_of_one_column(tmp_path: Path, name: str) -> None:
    requests = read(written(tmp_path / name, "prompt\nHello\nAnd hi\n"))
    assert rows_of(requests) == [("Hello", None), ("And hi", None)]
    assert [request.custom_id for request in requests] == ["row-1", "row-2"]


def test_a_column_without_a_name_is_called_by_its_place(tmp_path: Path) -> None:
    """As data frames write their index."""
    assert rows_of(read(written(tmp_path / "in.csv", ",prompt\n0,Hello\n"))) == [("Hello", {"column_1": "0"})]


def test_what_spreadsheets_leave_around_rows_is_no_error(tmp_path: Path) -> None:
    """A line that names the delimiter, columns and rows of nothing, and an empty cell too many."""
    content = "\ufeffsep=;\r\nprompt;n;;\r\nHello, you;1;;\r\nHi;2;;;\r\n;;;\r\nHo;3;;x\r\n;;;\r\n"
    requests = read(written(tmp_path / "in.csv", content))
    assert rows_of(requests) == [
        ("Hello, you", {"n": "1"}),
        ("Hi", {"n": "2"}),
        ("Ho", {"n": "3", "column_4": "x"}),
    ]
    assert [request.custom_id for request in requests] == ["row-1", "row-2", "row-3"]
    assert requests.where(6) == f"{tmp_path / 'in.csv'}:6"
    assert told(tmp_path / "in.csv", content + "Hu;4;;;x\r\n").startswith(":8: it has 5 fields, and the header has 4")


QUOTES_IN_THE_MIDDLE = (
    'prompt,size,note\n"Several\nlines",5" wide,a\nHi,6,b\n5" wide,7,"on\ntwo lines"\n"x\ny",8" wide,"c\nd"\n'
)


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_no_row_is_lost_where_a_cell_without_quotes_has_one_in_it(tmp_path: Path, skip_invalid: bool) -> None:
    requests = read(written(tmp_path / "in.csv", QUOTES_IN_THE_MIDDLE), skip_invalid=skip_invalid)
    assert rows_of(requests) == [
        ("Several\nlines", {"size": '5" wide', "note": "a"}),
        ("Hi", {"size": "6", "note": "b"}),
        ('5" wide', {"size": "7", "note": "on\ntwo lines"}),
        ("x\ny", {"size": '8" wide', "note": "c\nd"}),
    ]
    assert [number for number, _, _ in requests.numbered()] == [2, 4, 5, 7]


@given(
    rows=st.lists(st.lists(st.text('a",\n', max_size=6), min_size=2, max_size=2).filter(any), max_size=6),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_rows_are_those_that_the_csv_module_reads_from_the_whole(rows: list[list[str]], quoting: Any) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows([["a", "b"], *rows])
    # Quotes in the middle of cells without quotes: they mean themselves.
    content = text.getvalue().replace("\na,", '\na",')
    try:
        wanted = list(csv.reader(io.StringIO(content, newline=""), strict=True))[1:]
    except csv.Error:
        return
    if any(len(row) != 2 for row in wanted):
        return
    reader = DelimitedRows("in", ",")
    found = [entry for line in content.encode().splitlines(keepends=True) if (entry := reader.feed(line))]
    assert reader.end() is None
    assert [entry.read() for entry in found] == [dict(zip("ab", row, strict=True)) for row in wanted]


HEADERS = ['prompt,"Why? Say so, please (it\'s open!)"', "prompt,Preis in €", f"prompt,{'long ' * 30}"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_table_without_a_name_has_any_columns(tmp_path: Path, header: str) -> None:
    assert [prompt for prompt, _ in rows_of(read(written(tmp_path / "in", f"{header}\nHello,5\n")))] == ["Hello"]


def test_a_cell_of_many_lines_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once again at each of its lines, which would take an hour for a long one."""
    read_so_far = 0
    plain = csv.reader

    def counting(lines: list[str], **options: Any) -> Any:
        nonlocal read_so_far
        read_so_far += sum(map(len, lines))
        return plain(lines, **options)

    monkeypatch.setattr(csv, "reader", counting)
    reader = DelimitedRows("in", ",")
    lines = [b"prompt,n\n", b'"begin ""of""\n', *[b'a ""line"" of it\n'] * 1000, b'end",1\n']
    found = [entry for line in lines if (entry := reader.feed(line))]
    assert len(found) == 1
    assert read_so_far < 3 * sum(map(len, lines))


def test_a_cell_may_be_larger_than_the_csv_module_takes_by_itself(tmp_path: Path) -> None:
    long = "word " * 100_000
    assert rows_of(read(written(tmp_path / "in.csv", f"prompt,n\n{long},1\n"))) == [(long, {"n": "1"})]


WRONG_TABLES = [
    ("prompt,label\nHello\n",
     ":2: it has 1 field, and the header has 2; a cell with a delimiter or a line feed in it stands in quotes"),
    ("prompt,label\nHello,a,b\n", ":2: it has 3 fields, and the header has 2"),
    ("prompt,prompt\nHello,a\n", ":1: the column 'prompt' stands twice in the header"),
    ('prompt,label\n"Hello,a\nb,c\n', ":2: a quote is opened and never closed, and takes the lines up to 3 with it"),
    ('prompt,label\n"Hello"x,a\n',
     ":2: not CSV: text stands behind a closing quote; a quote inside of a quoted cell is written twice"),
    ('prompt,label\n"Hello,a\nb,c\nd "e",f\n',
     ":2: not CSV: text stands behind a closing quote; a quote inside of a quoted cell is written twice (the row goes"
     " to line 4)"),
    ("prompt,label\nHello\rHi,a\n", ":2: not CSV: a carriage return stands in a cell without quotes around it"),
    ("prompt,label\rHello,a\r",
     ": its lines end in carriage returns alone, as on old Macs; save it with line feeds, or: tr '\\r' '\\n' < "),
    ("prompt,label\nHello,a\n".encode("utf-16-le"), ": is UTF-16LE, not UTF-8: iconv -f UTF-16LE -t UTF-8 "),
    ("prompt,label\nHello,a\n".encode("utf-16-be"), ": is UTF-16BE, not UTF-8: iconv -f UTF-16BE -t UTF-8 "),
    ("version https://git-lfs.github.com/spec/v1\n", ": is a pointer of Git LFS, not the file itself; fetch that"),
    ('{"prompt":{"0":"Hello","1":"Hi"}}', ": is a table by its columns, as pandas writes JSON; write its rows: "),
    (b"\xef\xbb\xbf\r\n", ": it contains no requests"),
    (b"prompt,label\nna\xefve,a\n", ":2: not UTF-8: invalid continuation byte at byte 3; save it as UTF-8, or: iconv"),
    ("question,label\nHello,a\n",
     ":2: no column 'prompt'; the columns are 'question', 'label': name the prompts' one (--prompt-column), or give a"
     " template (--template)"),
    ("prompt,label\n,a\n", ":2: prompt must be a non-empty string, not an empty string"),
    ("prompt,label\n", ": it contains no requests"),
    ("prompt,custom_id\nHello,a b\n",
     ":2: custom_id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', not \"a b\"; --id-column custom_id takes"
     " any text"),
    ("prompt,custom_id\nHello,a\nHi,a\n", ":3: custom_id 'a' is used already, in line 2"),
    (b"PAR1 and no more", ": can't be read as Parquet: "),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG_TABLES)
def test_what_is_wrong_with_a_table_is_told_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert told(tmp_path / "in.csv", content).startswith(message)


def test_wrong_rows_can_be_skipped(tmp_path: Path) -> None:
    content = 'prompt,label\nHello\nHi,a\n"x"y,b\nHo,c\n'
    requests = read(written(tmp_path / "in.csv", content), skip_invalid=True)
    assert rows_of(requests) == [("Hi", {"label": "a"}), ("Ho", {"label": "c"})]
    assert requests.invalid.count == 2
    with pytest.raises(InvalidRequestsError):
        read_requests(tmp_path / "in.csv")


@pytest.mark.parametrize("delimiter", [",", "\t"])
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\0")), min_size=3, max_size=3
        ).filter(lambda row: any(map(str.strip, row))),
        max_size=5,
    )
)
def test_whatever_the_csv_module_writes_is_read(delimiter: str, rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    reader = DelimitedRows("in", delimiter)
    found = [entry for line in text.getvalue().encode().splitlines(keepends=True) if (entry := reader.feed(line))]
    assert reader.end() is None
    assert [entry.read() for entry in found] == [dict(zip("abc", row, strict=True)) for row in rows]


# -- Parquet


def test_parquet(tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    import datetime

    table = arrow.table(
        {
            "prompt": [f"Say {number}" for number in range(2500)],
            "n": [*range(2499), None],
            "day": [datetime.date(2026, 11, 28)] * 2500,
            "tags": [["a", "b"]] * 2500,
        }
    )
    path = tmp_path / "rows"  # its name says nothing
    parquet.write_table(table, path, row_group_size=700)
    requests = read(path, columns=Columns(id="n"), skip_invalid=True)
    assert (len(requests), requests.invalid.told) == (
        2499,
        [f"{path}: row 2500: column 'n' has the ids: a text or a whole number, not null"],
    )
    found = rows_of(requests)
    assert found[7] == ("Say 7", {"n": 7, "day": "2026-11-28", "tags": ["a", "b"]})
    packed = written(tmp_path / "rows.parquet.gz", gzip.compress(path.read_bytes()))
    assert rows_of(read(packed, columns=Columns(id="n"), skip_invalid=True)) == found


def test_bytes_in_a_parquet_file_are_refused_in_words(tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(arrow.table({"prompt": ["Hello"], "image": [b"\x89PNG"]}), path)
    with pytest.raises(
        InputError, match="column 'image': holds bytes, which can't stand beside a result: leave it out"
    ):
        read_requests(path)


def test_moments_that_python_can_not_hold_are_told_in_words(tmp_path: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(arrow.table({"prompt": ["Hello"], "at": arrow.array([10**15], arrow.timestamp("s"))}), path)
    with pytest.raises(InputError, match=r"rows.parquet: can't be read as Parquet: .*too large"):
        read_requests(path)


def test_parquet_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert told(tmp_path / "in", b"PAR1rest") == (
        ": reading Parquet needs another package: pip install 'manystream[parquet]'"
    )
