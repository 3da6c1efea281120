"""`manystream export`: real results as rows, what goes wrong in one line each, and what is never replaced."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import write_journal
from typer.testing import CliRunner, Result

from manystream import read_results
from manystream.__main__ import app
from manystream.engine.report import read_report
from manystream.engine.simulator import Fail, Simulator

HEAD = (
    "custom_id,epoch,state,text,output,stop_reason,model,input_tokens,cache_read_tokens,cache_write_tokens,"
    "output_tokens,cost_usd,error_type,error_message"
)


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")


def export(*args: str, **options: Any) -> Result:
    return CliRunner().invoke(app, ["export", *args], **options)


def line(custom_id: str = "a", text: str = "x", **more: Any) -> str:
    message = {"model": "m", "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 5}}
    entry = {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}, **more}
    return json.dumps(entry) + "\n"


def table(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def results() -> str:
    Path("r.jsonl").write_text(line("a") + line("b", row={"topic": "rivers"}))
    return "r.jsonl"


# -- what is written


def test_rows_of_a_file(results: str) -> None:
    done = export(results, "-o", "out.csv")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "2 rows in out.csv\n")
    assert Path("out.csv").read_text().splitlines() == [
        f"{HEAD},topic",
        "a,,succeeded,x,,,m,5,0,0,0,,,,",
        "b,,succeeded,x,,,m,5,0,0,0,,,,rivers",
    ]
    assert sorted(os.listdir()) == ["out.csv", "r.jsonl"]
    assert export(results, results, "-o", "out.tsv", "--column-prefix", "my_").exit_code == 0
    assert Path("out.tsv").read_text().splitlines()[0] == "\t".join([*HEAD.split(","), "my_topic"])
    assert len(Path("out.tsv").read_text().splitlines()) == 5
    assert export(results, "-o", "out.jsonl").exit_code == 0
    assert [json.loads(one)["topic"] for one in Path("out.jsonl").read_text().splitlines()] == [None, "rivers"]
    assert export(results, "-o", "out.data", "--format", "jsonl").exit_code == 0
    assert Path("out.data").read_bytes() == Path("out.jsonl").read_bytes()


def test_a_price_that_was_unknown(results: str) -> None:
    for more, dollars in (((), ""), (("--price", "m=200000,0"), "1.0"), (("--price", "other=3,4"), "")):
        done = export(results, "-o", "t.csv", *more)
        assert done.exit_code == 0
        told = done.stderr
        assert [row["cost_usd"] for row in table("t.csv")] == [dollars] * 2
        assert ("--price other: there is no answer of that model without a price" in told.splitlines()) == (
            "other=3,4" in more
        )
    done = export(results, "-o", "u.csv", "--price", "m=free")
    assert (done.exit_code, done.stderr.splitlines()) == (
        2,
        ["error: --price 'm=free' is not MODEL=IN,OUT, in dollars per million tokens, such as claude-opus-5-5=4,20"],
    )
    assert not Path("u.csv").exists()


def test_standard_output_and_input(results: str) -> None:
    done = export(results, "-o", "-")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(HEAD)
    done = export("-", "-o", "-", "--format", "jsonl", input=Path(results).read_text())
    assert [json.loads(one)["custom_id"] for one in done.stdout.splitlines()] == ["a", "b"]
    done = export(results, "-o", "-", "--format", "parquet")
    if done.exit_code:
        assert done.stderr == "error: writing Parquet needs another package: pip install 'manystream[parquet]'\n"
    else:
        assert done.stdout_bytes[:4] == done.stdout_bytes[-4:] == b"PAR1"


def test_an_earlier_export_is_replaced_with_its_mode_and_through_a_link(results: str) -> None:
    for end in ("csv", "tsv", "jsonl"):
        Path("there").mkdir(exist_ok=True)
        place = Path(f"there/real.{end}")
        assert export(results, "-o", str(place)).exit_code == 0
        place.chmod(0o640)
        os.symlink(f"there/real.{end}", f"link.{end}")
        Path("two.jsonl").write_text(line("c"))
        assert export("two.jsonl", "-o", f"link.{end}").exit_code == 0
        assert os.path.islink(f"link.{end}")
        assert "topic" not in place.read_text()
        assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert sorted(os.listdir("there")) == ["real.csv", "real.jsonl", "real.tsv"]


def test_an_earlier_parquet_is_replaced_and_another_is_not(results: str) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    for _ in range(2):
        assert export(results, "-o", "out.parquet").exit_code == 0
    assert export(results, "-o", "out.csv", "--format", "parquet").exit_code == 0
    assert export(results, "-o", "out.csv").exit_code == 0  # one format over another
    parquet.write_table(pyarrow.table({"custom_id": ["a"]}), "mine.parquet")
    done = export(results, "-o", "mine.parquet")
    assert done.stderr == "error: mine.parquet: exists already and is no export; name another file\n"


def test_a_device_and_an_empty_file_are_written(results: str) -> None:
    assert export(results, "-o", "/dev/null", "--format", "csv").exit_code == 0
    Path("empty.csv").touch()
    assert export(results, "-o", "empty.csv").exit_code == 0
    assert len(table("empty.csv")) == 2


# -- what is wrong


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["r.jsonl", "-o", "out.xlsx"],
            "out.xlsx: its name has to end with one of .csv, .tsv, .parquet, .jsonl, or say --format",
        ),
        (
            ["r.jsonl", "-o", "out"],
            "out: its name has to end with one of .csv, .tsv, .parquet, .jsonl, or say --format",
        ),
        (["r.jsonl", "-o", "r.jsonl"], "r.jsonl: the output is one of the results"),
        (["r.jsonl", "-o", "./link.jsonl"], "./link.jsonl: the output is one of the results"),
        (["r.jsonl", "-o", "r.jsonl.journal", "--format", "csv"], "r.jsonl.journal: the output is one of the results"),
        (["r.jsonl", "-o", "no/out.csv"], "no/out.csv: there is no directory no"),
        (["r.jsonl", "-o", "folder.csv"], "folder.csv: is a directory"),
        (["r.jsonl", "-o", "mine.csv"], "mine.csv: exists already and is no export; name another file"),
        (["r.jsonl", "-o", "mine.jsonl"], "mine.jsonl: exists already and is no export; name another file"),
        (
            ["r.jsonl", "-o", "other.jsonl"],
            "other.jsonl: holds the results of a run, since a journal is beside it; name another file",
        ),
        (["absent.jsonl", "-o", "out.csv"], "absent.jsonl: no such results"),
        (["r.jsonl", "absent.jsonl", "-o", "out.csv"], "absent.jsonl: no such results"),
        (["folder.csv", "-o", "out.csv"], "folder.csv: is a folder; name the results file in it"),
        (["r.jsonl.journal", "-o", "out.csv"], "r.jsonl.journal: this is the journal; name the results file, r.jsonl"),
        (["mine.csv", "-o", "out.csv"], "mine.csv:1: not a line of results: it is not JSON"),
        (["requests.jsonl", "-o", "out.csv"], "requests.jsonl:1: not a line of results: it is a request"),
        (["broken.jsonl", "-o", "out.csv"], "broken.jsonl:2: not a line of results: it is not JSON"),
        (["late.jsonl", "-o", "out.csv"], "late.jsonl:3: not a line of results: it has no result"),
        (["export.jsonl", "-o", "out.csv"], "export.jsonl:1: not a line of results: it has no result"),
        (
            ["clash.jsonl", "-o", "out.csv"],
            "clash.jsonl: a column of the input is named 'text', as one of the export is; --column-prefix input_"
            " (column_prefix=) makes it 'input_text'",
        ),
        (
            ["clash.jsonl", "-o", "out.csv", "--column-prefix", "con"],
            None,
        ),
        (["noj.jsonl", "-o", "out.csv"], "noj.jsonl.journal: not the journal of a run: file is not a database"),
        (["r.jsonl"], "missing option '-o' / '--output'; see manystream export --help"),
        (["-o", "out.csv"], "missing argument 'results'; see manystream export --help"),
        (["r.jsonl", "-o", "out.csv", "--format", "xlsx"], None),
    ],
)
def test_what_is_wrong_is_one_line(args: list[str], message: str | None) -> None:
    Path("r.jsonl").write_text(line())
    write_journal(Path("r.jsonl.journal"), [{"custom_id": "a", "kind": "succeeded"}])
    os.symlink("r.jsonl", "link.jsonl")
    Path("folder.csv").mkdir()
    Path("mine.csv").write_text("question,answer\n1,2\n")
    Path("mine.jsonl").write_text(line())  # results that were downloaded
    Path("other.jsonl").write_text(line())
    write_journal(Path("other.jsonl.journal"), [])
    Path("requests.jsonl").write_text('{"custom_id": "a", "params": {}}\n')
    Path("broken.jsonl").write_text(line() + "{\n" + line())
    Path("late.jsonl").write_text(line() + line() + '{"custom_id": "a"}\n')
    Path("clash.jsonl").write_text(line(row={"text": 1}))
    Path("noj.jsonl").write_text(line())
    Path("noj.jsonl.journal").write_text("not a journal, but long enough for one")
    Path("export.jsonl").write_text('{"custom_id": "a", "epoch": null, "state": "succeeded"}\n')
    before = {name: Path(name).read_bytes() for name in os.listdir() if os.path.isfile(name)}
    done = export(*args)
    if args[-1] == "con":
        assert done.exit_code == 0
        return
    assert (done.exit_code, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    if message is not None:
        assert told == f"error: {message}"
    assert {name: Path(name).read_bytes() for name in os.listdir() if os.path.isfile(name)} == before


def test_an_output_that_may_not_be_written(results: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("locked").mkdir(mode=0o500)
    done = export(results, "-o", "locked/out.csv")
    assert (done.exit_code, done.stderr) == (2, "error: locked/out.csv: the directory locked can't be written to\n")


def test_a_full_disk(results: str) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no such device here")
    for end in ("csv", "jsonl", "parquet"):
        if end == "parquet":
            pytest.importorskip("pyarrow")
        done = export(results, "-o", "/dev/full", "--format", end)
        assert (done.exit_code, done.stderr) == (3, "error: /dev/full: no space left on device\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_earlier_export_and_nothing_else(
    results: str, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    assert export(results, "-o", "out.csv").exit_code == 0
    before = Path("out.csv").read_bytes()

    def fsync(descriptor: int) -> None:
        assert Path("out.csv.manystream-new").exists()
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    done = export(results, "-o", "out.csv", "--column-prefix", "x")
    full = (3, "error: out.csv: no space left on device\n")
    assert (done.exit_code, done.stderr) == (full if isinstance(error, OSError) else (130, "interrupted\n"))
    assert Path("out.csv").read_bytes() == before
    assert sorted(os.listdir()) == ["out.csv", "r.jsonl"]


def test_what_a_killed_export_left_is_no_trap(results: str) -> None:
    Path("precious").write_text("mine")
    os.symlink("precious", "out.csv.manystream-new")
    assert export(results, "-o", "out.csv").exit_code == 0
    assert Path("precious").read_text() == "mine"
    assert sorted(os.listdir()) == ["out.csv", "precious", "r.jsonl"]


def test_two_exports_to_one_file(results: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        os.unlink("out.csv.manystream-new")  # as the other does
        Path("out.csv.manystream-new").write_text("half of the ot")

    monkeypatch.setattr(os, "fsync", fsync)
    done = export(results, "-o", "out.csv")
    assert (done.exit_code, done.stderr) == (3, "error: out.csv: another export to it has begun meanwhile\n")
    assert not Path("out.csv").exists()
    assert Path("out.csv.manystream-new").read_text() == "half of the ot"


def start(*args: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "manystream", *args], stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pipes as POSIX has them")
def test_a_reader_that_leaves(results: str) -> None:
    Path("many.jsonl").write_text(line(text="x" * 1000) * 2000)
    reader, writer = os.pipe()
    process = start("export", "many.jsonl", "-o", "-", stdout=writer)
    os.close(writer)
    os.read(reader, 10)
    os.close(reader)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 3
    assert told == "error: stdout: broken pipe\n"


@pytest.mark.parametrize(("closed", "told", "status"), [("stdout", "is closed", 3), ("stdin", "is closed", 2)])
def test_a_standard_stream_that_is_closed(results: str, closed: str, told: str, status: int) -> None:
    program = "import sys; sys.argv[0] = 'manystream'; import manystream.__main__ as m; m.main()"
    script = f"import sys; sys.{closed} = None; {program}"
    command = [sys.executable, "-c", script, "export", "-" if closed == "stdin" else results, "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, f"error: {closed}: {told}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pipes as POSIX has them")
def test_ctrl_c_leaves_nothing(results: str) -> None:
    Path("many.jsonl").write_text(line(text="x" * 1000) * 50_000)
    process = start("export", "many.jsonl", "-o", "out.csv")
    while not Path("out.csv.manystream-new").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    # In the middle of an `exec` Python ends by the signal itself: for a shell, 130 as well.
    assert process.returncode in (130, -signal.SIGINT)
    assert told == "interrupted\n"
    assert sorted(os.listdir()) == ["many.jsonl", "r.jsonl"]


# -- runs


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(time_to_first_token=0.0, tokens_per_second=0).in_thread() as simulator:
        yield simulator


def test_a_run_and_its_report_say_the_same(simulator: Simulator) -> None:
    Path("in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {n}"}}\n' for n in range(20)))
    simulator.script([Fail(400), "hello"])
    ran = CliRunner().invoke(
        app, ["run", "in.jsonl", "-o", "r.jsonl", "-m", "claude-opus-5-5", "--base-url", simulator.url, "--quiet"]
    )
    assert ran.exit_code == 1
    assert export("r.jsonl", "-o", "out.csv").exit_code == 0
    rows = table("out.csv")
    assert len(rows) == 20
    (failed,) = [row for row in rows if row["state"] == "errored"]
    assert (failed["error_type"], failed["text"]) == ("invalid_request_error", "")
    totals = read_report("r.jsonl").totals
    assert sum(float(row["cost_usd"] or 0) for row in rows) == pytest.approx(totals.dollars)
    assert sum(int(row["output_tokens"] or 0) for row in rows) == totals.output_tokens
    assert sum(int(row["input_tokens"] or 0) for row in rows) == totals.input_tokens


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals and pipes as POSIX has them")
@pytest.mark.parametrize("ordered", [(), ("--ordered",)])
def test_a_run_that_goes_on_and_is_killed(ordered: tuple[str, ...]) -> None:
    with Simulator(time_to_first_token=0.05, tokens_per_second=300).in_thread() as simulator:
        Path("in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {n}"}}\n' for n in range(500)))
        given = ["-m", "claude-opus-5-5", "--base-url", simulator.url, "--concurrency", "8", "--max-tokens", "60"]
        run = start("run", "in.jsonl", "-o", "r.jsonl", *given, *ordered, stdout=subprocess.DEVNULL)
        try:
            counts: list[int] = []
            while len(counts) < 3 and run.poll() is None:
                if Path("r.jsonl").exists() and len(Path("r.jsonl").read_bytes().splitlines()) > 10 * (len(counts) + 1):
                    done = export("r.jsonl", "-o", "out.csv")
                    assert done.exit_code == 0, done.stderr
                    counts.append(len(table("out.csv")))
                time.sleep(0.02)
        finally:
            run.send_signal(signal.SIGKILL)
            run.communicate()
        assert len(counts) == 3
        assert counts == sorted(counts)
        assert counts[0] >= 10
        with open("r.jsonl", "ab") as file:
            file.write(b'{"custom_id":"line-499","result":{"type":"succ')  # as a kill may leave it
        names = sorted(os.listdir())
        done = export("r.jsonl", "-o", "out.csv")
        assert done.exit_code == 0
        rows = table("out.csv")
        assert len(rows) == len(Path("r.jsonl").read_bytes().splitlines()) - 1
        assert all(float(row["cost_usd"]) > 0 for row in rows)
        assert sorted(os.listdir()) == names
        with closing(read_results("r.jsonl")) as found:
            assert [one["custom_id"] for one in found] == [row["custom_id"] for row in rows]


def test_help_says_what_it_needs() -> None:
    told = " ".join(export("--help").output.split())
    for words in ("--column-prefix", "--keep-formulas", "csv|tsv|parquet|jsonl", "custom_id, epoch, state"):
        assert words in told


def test_rows_read_back_are_the_rows_of_python(results: str) -> None:
    export(results, "-o", "-")
    done = export(results, "-o", "-", "--format", "jsonl")
    assert [json.loads(one) for one in io.StringIO(done.stdout)] == list(read_results(results))


def test_a_table_and_its_columns_and_ids_come_back(simulator: Simulator) -> None:
    Path("in.csv").write_text('name,prompt,gold,note\nGröße 1,Hi,2,=1+1\n"b, 2",Ho,-5,\n', encoding="utf-8")
    given = ["--id-column", "name", "--epochs", "2", "-m", "claude-opus-5-5", "--base-url", simulator.url, "--quiet"]
    assert CliRunner().invoke(app, ["run", "in.csv", "-o", "r.jsonl", *given]).exit_code == 0
    assert export("r.jsonl", "-o", "out.csv").exit_code == 0
    rows = sorted(table("out.csv"), key=lambda row: row["custom_id"])
    assert [(row["custom_id"], row["epoch"]) for row in rows] == [
        ("Größe 1__1", "1"),
        ("Größe 1__2", "2"),
        ("b, 2__1", "1"),
        ("b, 2__2", "2"),
    ]
    assert [(row["name"], row["gold"], row["note"]) for row in rows[::2]] == [
        ("Größe 1", "2", "'=1+1"),
        ("b, 2", "-5", ""),
    ]
    assert "prompt" not in rows[0]
    assert all(float(row["cost_usd"]) > 0 for row in rows)
