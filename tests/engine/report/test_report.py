"""`manystream report`: what it tells of a journal, as tables, JSON and a page, and what it says when there is none."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import made_up_rows, write_journal
from tests.support.reference import streams
from typer.testing import CliRunner, Result

from manystream import AnthropicModel, Engine, Price, StreamRequest
from manystream.__main__ import app
from manystream.engine.report import Report, page, read_report
from manystream.engine.report.distribution import Distribution
from manystream.engine.report.read import CacheMisses, ModelShare, Slow
from manystream.engine.report.timeline import Session, Timeline
from manystream.engine.runs import open_run
from manystream.engine.simulator import Simulator

BEGAN = 1_790_000_000.0
EVIL = "<script>alert('\"&amp;')</script>\x1b[2J"
A_HALF = pytest.approx(0.5, rel=0.01)
VOID = {"meta", "br", "hr", "img", "input", "link"}


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def report_of(rows: Any, sessions: Any = ()) -> Report:
    Path("out.jsonl.journal").unlink(missing_ok=True)
    write_journal(Path("out.jsonl.journal"), rows, sessions)
    return read_report("out.jsonl")


def command(*args: str) -> Result:
    return CliRunner().invoke(app, ["report", *args])


def answered(custom_id: str, end: float, **more: Any) -> dict[str, Any]:
    given = {"custom_id": custom_id, "kind": "succeeded", "model": "m", "submitted": end - 3, "seconds": 3.0}
    return given | {"queued": 1.0, "attempts": 1, "input_tokens": 1, "output_tokens": 10, "dollars": 0.5} | more


# -- what is read


def test_a_report() -> None:
    rows = [
        answered("a", BEGAN + 5, ttft=0.5, gap_p50=0.0, gap_p90=0.01, gap_p99=0.1, stop_reason="end_turn"),
        answered("b", BEGAN + 6, seconds=8.0, submitted=BEGAN - 2, ttft=0.5, attempts=3, stop_reason="max_tokens"),
        answered("c", BEGAN + 7, model="n", dollars=None, stop_reason="end_turn"),
        answered("d", BEGAN + 1012, kind="errored", error="api_error", model=None, output_tokens=None, dollars=0.0),
        {"custom_id": "adopted", "kind": "succeeded"},
        {"custom_id": "e", "state": "begun", "lost_input_tokens": 5, "lost_output_tokens": 50, "lost_dollars": 0.25},
    ]
    report = report_of(rows, [(BEGAN, None, None), (BEGAN + 1000, BEGAN + 1020, "finished")])
    totals = report.totals
    assert (totals.endings, totals.errors, totals.pending) == ({"errored": 1, "succeeded": 4}, {"api_error": 1}, 1)
    assert (totals.attempts, totals.retried, totals.unpriced, totals.lost) == (6, 1, 1, 1)
    assert (totals.dollars, totals.lost_dollars) == (1.0, 0.25)
    assert totals.stop_reasons == {"end_turn": 2, "max_tokens": 1}
    assert report.models == (
        ModelShare(model="m", requests=2, input_tokens=2, output_tokens=20, dollars=1.0),
        ModelShare(model="n", requests=1, input_tokens=1, output_tokens=10, unpriced=1),
        ModelShare(model=None, requests=2, input_tokens=1),
    )
    assert report.slowest[0] == Slow(
        custom_id="b", seconds=7.0, ttft=0.5, output_tokens=10, attempts=3, ending="succeeded"
    )
    assert [slow.custom_id for slow in report.slowest] == ["b", "a", "c", "d"]
    assert report.first_content is not None
    assert (report.first_content.count, report.first_content.p50) == (2, pytest.approx(0.5, rel=0.01))
    assert report.gap_p50 is not None
    assert (report.gap_p50.p50, report.gap_p50.spans[0].count) == (0.0, 1)
    times = report.timeline
    assert times.sessions[0] == Session(1, BEGAN, None, None)
    assert (times.seconds, times.width, times.starts) == (27.0, 1, (0.0, 7.0))
    assert {n: dict(found) for n, found in enumerate(times.bins) if found} == {
        5: {"succeeded": 1},
        6: {"succeeded": 1},
        7: {"succeeded": 1},
        19: {"api_error": 1},
    }


def test_a_report_of_nothing() -> None:
    report = report_of([{"state": "pending"}])
    assert report.slowest == report.models == ()
    assert report.first_content is None
    assert "not run 1" in command("out.jsonl").stdout
    assert "<h1>Run report</h1>" in page(report)
    report_of([])
    assert command("out.jsonl").exit_code == 0


@pytest.mark.parametrize(("seconds", "width", "count"), [(0, 1, 1), (59.5, 1, 60), (61, 2, 31), (1e6, 21600, 47)])
def test_bins_are_few_and_their_width_is_round(seconds: float, width: float, count: int) -> None:
    times = Timeline.of([Session(1, BEGAN, BEGAN + seconds, None)], [])
    assert (times.width, len(times.bins)) == (width, count)
    times.add(BEGAN + seconds + 1, "succeeded")  # a little late
    assert times.bins[-1]["succeeded"] == 1
    times.add(BEGAN - 1, "succeeded")
    assert sum(found.total() for found in times.bins) == 1
    assert len(Timeline.of([Session(1, BEGAN, BEGAN + 1e8, None)], []).bins) <= 60


def test_spans_cover_all_values() -> None:
    for rows in ([0.5], [0.0], [0.5, 0.5001], [1e-5, 3000.0], [0.0, 0.2, 0.21, 1.9]):
        found = report_of([answered(str(n), BEGAN, ttft=value) for n, value in enumerate(rows)]).first_content
        assert isinstance(found, Distribution)
        assert sum(span.count for span in found.spans) == len(rows)
        assert 1 <= len(found.spans) <= 37
        positive = [span for span in found.spans if span.high]
        assert all(one.high == pytest.approx(other.low) for one, other in pairwise(positive))
        assert all(span.low * 0.98 <= max(rows) for span in positive)


# -- how it is told


def test_with_whom_the_limits_were_shared() -> None:
    """Each session that shared them says so, in the table, the page and the figures."""
    write_journal(
        Path("out.jsonl.journal"),
        [answered("a", BEGAN + 5)],
        [(BEGAN + 100 * number, BEGAN + 100 * number + 50, "finished") for number in range(4)],
    )
    with closing(sqlite3.connect("out.jsonl.journal")) as journal, journal:
        for name in ("participants", "share", "unreached", "spent_together", "cap_together"):
            journal.execute(f"ALTER TABLE session ADD COLUMN {name}")
        told = "UPDATE session SET (participants, share, unreached, spent_together, cap_together) = "
        journal.execute(f"{told} (1, 1.0, 0, NULL, NULL) WHERE number = 2")
        journal.execute(f"{told} (3, 0.335, 0, NULL, NULL) WHERE number = 3")
        journal.execute(f"{told} (1, 1.0, 12.0, 3.5, 5.0) WHERE number = 4")
    lines = [" ".join(line.split()) for line in command("out.jsonl").stdout.splitlines()]
    begin = lines.index("Shared limits")
    shared = [line for line in lines[begin : begin + 8] if "UTC" in line or "2026" in line]
    assert len(shared) == 2
    assert shared[0].endswith("2 others 34 %")
    assert shared[1].endswith("nobody 100 % 12 s $3.50 of $5.00")
    text = page(read_report("out.jsonl"))
    assert "Shared limits" in text
    assert "$3.50 of $5.00" in text
    figures = json.loads(command("out.jsonl", "--json").stdout)["sessions"]
    assert figures[0]["shared"] is None
    assert figures[3]["shared"] == {
        "participants": 1,
        "share": 1.0,
        "unreached": 12.0,
        "spent_together": 3.5,
        "cap_together": 5.0,
    }


def test_limits_that_nobody_shared_are_not_told() -> None:
    report_of([answered("a", BEGAN + 5)], [(BEGAN, BEGAN + 9, "finished")])
    assert "Shared limits" not in command("out.jsonl").stdout


def test_tables_on_a_terminal() -> None:
    write_journal(
        Path("out.jsonl.journal"), made_up_rows(500, began=BEGAN, seconds=60), [(BEGAN, BEGAN + 60, "finished")]
    )
    done = command("out.jsonl")
    assert done.exit_code == 0
    assert done.stderr == ""
    told = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert told[0].startswith("out.jsonl: answers 500, succeeded 9")
    for title in ("Requests", "Errors", "Stop reasons", "Times", "Tokens and cost", "Attempts", "Slowest requests"):
        assert title in told
    assert any(line.startswith("together 500 ") for line in told)
    assert "\x1b" not in done.stdout


def test_json() -> None:
    report_of([answered("a", BEGAN + 5, ttft=0.5)], [(BEGAN, BEGAN + 9, "finished")])
    done = command("out.jsonl", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["output"] == "out.jsonl"
    assert told["totals"]["endings"] == {"succeeded": 1}
    assert told["times"]["first_content"] == {"count": 1, **dict.fromkeys(("p50", "p90", "p99", "most"), A_HALF)}
    assert told["times"]["gap_p50"] is None
    assert told["slowest"][0]["custom_id"] == "a"
    assert (told["seconds"], told["output_tokens_per_second"]) == (9, 10 / 9)
    assert told["sessions"] == [{"began": "2026-09-21T14:13:20+00:00", "seconds": 9, "how": "finished", "shared": None}]
    assert (told["totals"]["exact"], told["totals"]["total_dollars"], told["goes_on"]) == (True, 0.5, False)
    assert not {"bins", "spans", "starts"} & keys(told)


def keys(value: Any) -> set[str]:
    """All keys at any depth."""
    found: set[str] = set()
    json.loads(json.dumps(value), object_pairs_hook=lambda pairs: found.update(key for key, _ in pairs))
    return found


class Page(HTMLParser):
    """Checks that elements close in order; collects the tags, the attributes and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_escapes_everything() -> None:
    rows = list(made_up_rows(300, began=BEGAN, seconds=60))
    rows[0] |= {"custom_id": EVIL, "model": f"m{EVIL}", "stop_reason": f"s{EVIL}", "seconds": 999.0}
    rows[1] |= {"kind": "errored", "error": f"e{EVIL}"}
    rows[2] |= {"lost_output_tokens": 7}
    report_of(rows, [(BEGAN, None, None), (BEGAN + 30, BEGAN + 60, f"h{EVIL}")])
    done = command("out.jsonl", "--html", "page.html")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    text = Path("page.html").read_text(encoding="utf-8")
    found = Page(text)
    assert "script" not in found.tags
    shown = EVIL.replace("\x1b", "\ufffd")
    for start in ("", "m", "s", "e", "h"):
        assert start + shown in found.text
    assert "\x1b" not in text
    # Nothing is fetched, and nothing may be.
    assert not {"link", "img", "iframe", "object", "a", "use", "image"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    for words in ("://", "url(", "@import"):
        assert words not in text
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    # Who can't see the plots has their names, and their figures as tables.
    assert found.tags.count("h1") == 1
    assert "Run report: out.jsonl" in found.text
    assert ("html", "lang", "en") in found.attributes
    figures = found.tags.count("figure")
    assert figures == 8
    labels = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == 6
    assert found.tags.count("details") == 6
    assert "prefers-color-scheme: dark" in text


def test_a_page_replaces_a_page_alone() -> None:
    report_of([answered("a", BEGAN + 5)])
    Path("out.jsonl").write_text("mine")
    done = command("out.jsonl", "--html", "out.jsonl")
    assert done.exit_code == 2
    assert done.stderr == "error: out.jsonl: exists already and is not a page; name another file for --html\n"
    assert Path("out.jsonl").read_text() == "mine"
    for _ in range(2):
        assert command("out.jsonl", "--html", "page.html").exit_code == 0
    done = command("out.jsonl", "--html", "no/page.html")
    assert (done.exit_code, done.stderr) == (3, "error: no/page.html: no such file or directory\n")


# -- what errors said


def errored(number: int, kind: str, message: str | None) -> dict[str, Any]:
    return {"custom_id": f"e-{number}", "kind": "errored", "error": kind, "message": message, "seconds": 1.0}


def with_messages() -> None:
    said = [("api_error", "boom <b>&"), ("api_error", "boom <b>&"), ("overloaded_error", "[red]busy\x1b[2J[/red]")]
    said += [("api_error", f"other {word} in req_0{word}") for word in "abcdefghi"]
    write_journal(Path("out.jsonl.journal"), [errored(n, kind, message) for n, (kind, message) in enumerate(said)])


def test_what_errors_said_most_often() -> None:
    with_messages()
    report = read_report("out.jsonl")
    assert [(one.type, one.message, one.count) for one in report.messages] == [
        ("api_error", "boom <b>&", 2),
        ("overloaded_error", "[red]busy\x1b[2J[/red]", 1),
        ("api_error", "other a in req_0a", 1),
        ("api_error", "other b in req_0b", 1),
    ]
    shown = command("out.jsonl").stdout
    assert "Error messages" in shown
    assert "boom <b>&" in shown
    assert "[red]busy\ufffd[2J[/red]" in shown
    assert json.loads(command("out.jsonl", "--json").stdout)["messages"][0] == {
        "type": "api_error",
        "message": "boom <b>&",
        "count": 2,
        "custom_id": "e-0",
    }
    assert command("out.jsonl", "--html", "page.html").exit_code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "boom &lt;b&gt;&amp;" in text
    assert "\x1b" not in text
    assert "boom <b>&" in Page(text).text


def test_a_journal_of_before_there_were_messages() -> None:
    with_messages()
    with closing(sqlite3.connect("out.jsonl.journal")) as older, older:
        older.execute("ALTER TABLE request DROP COLUMN message")
    assert read_report("out.jsonl").messages == ()
    assert "Error messages" not in command("out.jsonl").stdout
    assert read_report("out.jsonl").totals.errors == {"api_error": 11, "overloaded_error": 1}


# -- when there is none


def test_what_is_wrong_is_one_line() -> None:
    Path("only.jsonl").write_text("{}\n")
    Path("text.jsonl.journal").write_text("not a database, but long enough to be taken for one\n" * 30)
    with closing(sqlite3.connect("other.jsonl.journal")) as other:
        other.execute("CREATE TABLE t (x)")
    write_journal(Path("newer.jsonl.journal"), [])
    with closing(sqlite3.connect("newer.jsonl.journal")) as newer, newer:
        newer.execute("UPDATE meta SET value = '99'")
    write_journal(Path("results.jsonl.journal"), [])
    Path("results.jsonl").write_text("{}\n")
    expected = {
        "absent.jsonl": "absent.jsonl: no such results",
        "only.jsonl": "only.jsonl.journal: no such file, and the report is read from it",
        "text.jsonl": "text.jsonl.journal: not the journal of a run: file is not a database",
        "other.jsonl": "other.jsonl.journal: not the journal of a run: it has none of its tables",
        "newer.jsonl": "newer.jsonl.journal: its format is 99, this version of manystream reads up to 2",
        "results.jsonl.journal": "results.jsonl.journal: this is the journal; name the results file, results.jsonl",
    }
    for name, message in expected.items():
        done = command(name)
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_a_run_that_goes_on() -> None:
    path = Path("out.jsonl.journal")
    write_journal(path, [answered("a", BEGAN)])
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE request SET attempts = 2")
        before = sorted(path.name for path in Path().iterdir())
        assert "out.jsonl.journal-wal" in before
        assert read_report("out.jsonl").totals.attempts == 2
        assert sorted(path.name for path in Path().iterdir()) == before
    assert read_report("out.jsonl").totals.attempts == 2


def test_nothing_is_changed() -> None:
    report_of([answered("a", BEGAN)])
    before = Path("out.jsonl.journal").read_bytes()
    command("out.jsonl")
    assert Path("out.jsonl.journal").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["out.jsonl.journal"]


# -- why the prompt cache was missed


@pytest.mark.anyio
async def test_cache_misses_of_a_run() -> None:
    """Asked with `diagnostics`, the API says why the prompt cache was not read in full."""
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 8_000, "cache_read_input_tokens": 0}
    plain = {"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}

    def missed(kind: str, tokens: int | None, **used: int) -> bytes:
        reason = {"type": kind} | ({} if tokens is None else {"cache_missed_input_tokens": tokens})
        begun = streams.start(model="m", usage={"output_tokens": 1, **used}, diagnostics={"cache_miss_reason": reason})
        return streams.message(streams.text(0, "fine"), begun=begun)

    simulator = Simulator()
    simulator.script(
        [
            missed("tools_changed", 8_000, **usage),
            missed("tools_changed", 1_000, **plain),
            missed("unavailable", None, **plain),
            streams.message(streams.text(0, "fine"), begun=streams.start(model="m", diagnostics=None)),
        ]
    )
    with simulator.in_thread():
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
        requests = [StreamRequest(f"prompt {number}", custom_id=str(number)) for number in range(4)]
        async with (
            Engine(model, max_concurrency=1, prices={"m": Price(10, 50)}) as engine,
            open_run(engine, requests, Path("out.jsonl")) as run,
        ):
            results = [result async for result in run]
    assert [miss.reason if (miss := result.cache_miss) else None for result in results] == [
        "tools_changed",
        "tools_changed",
        "unavailable",
        None,
    ]
    report = read_report("out.jsonl")
    written, read_plainly = 8_000 * (12.5 - 1) / 1e6, 1_000 * (10 - 1) / 1e6
    changed, unavailable = report.cache_misses
    assert (changed.reason, changed.requests, changed.missed_tokens) == ("tools_changed", 2, 9_000)
    assert changed.dollars == pytest.approx(written + read_plainly)
    assert report.totals.unpriced == 0  # by the prices that the engine was given
    assert unavailable == CacheMisses("unavailable", 1, 0, 0.0)
    shown = command("out.jsonl").output
    assert "Cache misses" in shown
    assert "~9,000" in shown
    assert json.loads(command("out.jsonl", "--json").output)["cache_misses"][0]["missed_tokens"] == 9_000
    assert "tools_changed" in page(report)


def test_a_journal_that_knows_no_cache_misses() -> None:
    assert report_of([answered("a", BEGAN)]).cache_misses == ()
    with closing(sqlite3.connect("out.jsonl.journal")) as journal, journal:
        journal.execute("ALTER TABLE request DROP COLUMN cache_miss")
    assert read_report("out.jsonl").cache_misses == ()


# -- the user's own ids


def test_ids_are_shown_as_the_user_wrote_them() -> None:
    with closing(sqlite3.connect("out.jsonl.journal")) as journal:
        write_journal(
            Path("out.jsonl.journal"),
            [answered("made_1", BEGAN), errored(2, "api_error", "boom"), answered("c", BEGAN)],
        )
        journal.execute("ALTER TABLE request ADD COLUMN shown_id TEXT")
        journal.execute("UPDATE request SET shown_id = 'Größe 1' WHERE custom_id = 'made_1'")
        journal.execute("UPDATE request SET shown_id = 'Fall 2' WHERE custom_id = 'e-2'")
        journal.commit()
    report = read_report("out.jsonl")
    assert {slow.custom_id for slow in report.slowest} == {"Größe 1", "Fall 2", "c"}
    assert report.messages[0].custom_id == report.totals.failures[0].custom_id == "Fall 2"
