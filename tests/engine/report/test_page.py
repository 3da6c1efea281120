"""The page of a report: what its plots show, when there is none, and how it fits a narrow screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.journals import made_up_rows, write_journal

from manystream.engine.report import page, read_report
from manystream.engine.report.style import STYLE
from manystream.engine.report.timeline import Session, Timeline

BEGAN = 1_790_000_000.0


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def page_of(rows: Any, seconds: float = 60.0) -> str:
    write_journal(Path("out.jsonl.journal"), rows, [(BEGAN, BEGAN + seconds, "finished")])
    return page(read_report("out.jsonl"))


def titles(text: str) -> list[str]:
    return re.findall(r"<figcaption>\s*<strong>([^<]*)</strong>", text)


# -- plots


def test_the_plots_of_a_run() -> None:
    assert titles(page_of(made_up_rows(300, began=BEGAN, seconds=60))) == [
        "Answers over time",
        "Errors over time",
        "Output tokens a second",
        "Requests at once",
        "Time to first content",
        "Median time between contents",
        "Tokens by model",
        "Cost by model",
    ]


def test_no_plot_of_one_bar() -> None:
    """What all requests have in common, a table says better."""
    same = {"kind": "succeeded", "model": "m", "ttft": 0.5, "gap_p50": 0.02, "output_tokens": 9, "dollars": 1.0}
    rows = [{**same, "custom_id": str(n), "submitted": BEGAN, "queued": 0.0, "seconds": 1.5} for n in range(50)]
    assert titles(page_of(rows, seconds=2.0)) == []
    Path("out.jsonl.journal").unlink()
    rows = [one | {"submitted": BEGAN + n} for n, one in enumerate(rows)]
    rows[20] |= {"kind": "errored", "error": "api_error"}  # the plot of answers shows when
    assert titles(page_of(rows)) == ["Answers over time", "Output tokens a second", "Requests at once"]


def test_requests_at_once_and_tokens_a_second() -> None:
    times = Timeline.of([Session(1, BEGAN, BEGAN + 4, None), Session(2, BEGAN + 100, BEGAN + 104, None)], [])
    times.ran(BEGAN + 0.5, BEGAN + 2.5, 100)
    times.ran(BEGAN + 1.0, BEGAN + 1.0, 7)  # an answer that took no time
    times.ran(BEGAN - 50, BEGAN + 102, 0)  # of before: only what it can have run here counts
    times.ran(BEGAN - 60, BEGAN - 50, 9)  # before all sessions
    assert times.width == 1
    assert times.running == [1.5, 2.0, 1.5, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert times.tokens == [25.0, 57.0, 25.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert (times.most_at_once, times.tokens_a_second[0]) == (2.0, 25.0)


# -- colours


def test_a_colour_means_one_thing() -> None:
    """All colours of a scheme differ, and each name of a colour has one legend."""
    schemes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        plotted = {name: colour for name, colour in colours.items() if f".{name} {{ --is" in STYLE}
        assert len(plotted) == 15
        assert len(set(plotted.values())) == len(plotted)
    text = page_of(made_up_rows(300, began=BEGAN, seconds=60))
    legends = re.findall(r'class="swatch (\w+)"[^>]*>\s*</i>\s*([^<]+?)\s*</li>', text)
    assert dict(legends) == {
        "good": "succeeded",
        "bad": "failed",
        "error0": "overloaded_error",
        "error1": "invalid_request_error",
        "in": "input",
        "write": "cache writes",
        "read": "cache reads",
        "out": "output",
    }
    used = set(re.findall(r'<rect[^>]*class="(\w+)"', text)) | set(re.findall(r'class="(\w+)"[^>]*></rect>', text))
    assert used == {*dict(legends), "many", "time", "money"}


# -- words and columns


def test_a_cell_says_what_it_is_on_a_narrow_screen() -> None:
    text = page_of(made_up_rows(300, began=BEGAN, seconds=60))
    tables = re.findall(r'<table class="(\w+)">\s*<caption>([^<]*)</caption>(.*?)</table>', text, re.DOTALL)
    stacked = {title for kind, title, _ in tables if kind == "stacked"}
    assert {"Times", "Tokens and cost", "Slowest requests"} <= stacked
    assert "Requests" not in stacked  # three columns fit
    for _, _, rows in tables:
        cells = re.findall(r"<td ([^>]*)>", rows)
        assert cells
        assert all("data-label=" in cell for cell in cells)


def test_no_figure_of_a_title_is_broken() -> None:
    notes = re.findall(r"</strong>([^<]+)</figcaption>", page_of(made_up_rows(300, began=BEGAN, seconds=60)))
    assert notes
    for note in notes:
        assert not re.search(r"[0-9] (ms|s|min|h|d)\b|p[0-9]+ [0-9]", note)


@pytest.mark.parametrize(("more", "rows"), [({}, 1), ({"stop_reason": "refusal"}, 2)])
def test_no_tile_stands_alone(more: dict[str, Any], rows: int) -> None:
    given = list(made_up_rows(300, began=BEGAN, seconds=60))
    given = [
        one | {"stop_reason": "end_turn"} | (more if n % 9 == 0 and not one["error"] else {})
        for n, one in enumerate(given)
    ]
    text = page_of(given)
    across = int(re.findall(r"--across:([0-9]+)", text)[0])
    tiles = len(re.findall(r"<dt>", text))
    assert -(-tiles // across) == rows
    assert tiles % across != 1


def test_what_went_wrong_stands_at_the_top() -> None:
    rows = list(made_up_rows(300, began=BEGAN, seconds=60))
    rows[0] |= {"kind": "succeeded", "error": None, "stop_reason": "refusal"}
    text = page_of(rows)
    found = [
        text.index(f">{words}<") for words in ("failed", "stopped at max_tokens", "refused", "cost", "running time")
    ]
    assert found == sorted(found)
