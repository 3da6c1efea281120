"""Answers that are asked for again: each is in the results once, the old one or the new, whatever comes in between."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from manystream import StreamResult
from manystream.engine.prices import Prices
from manystream.engine.runs.again import Again, RunAgain
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Begun, Ended, Registered, journal_path
from manystream.engine.runs.output import ResultFile
from manystream.engine.runs.resume import drop_chosen, reconcile
from manystream.engine.runs.totals import Totals
from manystream.engine.runs.writer import Answer, Writer

IDS = [f"r{number}" for number in range(9)]
NOTHING = Again(only=frozenset({"request_error"}))
LONGER = Again(stopped=frozenset({"max_tokens"}))
RESULT = StreamResult(state="complete", stream_id="s", timestamp=datetime.now(UTC))


def answer(number: int, said: str) -> Answer:
    """The old answers: a third are errors that pass, a third stopped early, a third are whole."""
    row: dict[str, Any] = {"custom_id": IDS[number], "dollars": 1.0, "output_tokens": 5}
    if number % 3 == 0 and said == "old":
        ended = Ended(kind="errored", error="api_error", failure="connection_error", transient=1, **row)
    else:
        stop = "max_tokens" if number % 3 == 1 and said == "old" else "end_turn"
        ended = Ended(kind="succeeded", stop_reason=stop, **row)
    line = json.dumps({"custom_id": IDS[number], "result": {"type": ended.kind, "said": said}}, separators=(",", ":"))
    return Answer(RESULT, ended, f"{line}\n".encode())


def sit(path: Path, again: Again, answered: range, said: str, *, ordered: bool = False) -> tuple[RunAgain, Totals]:
    """One session, in which these are answered if they have to be."""
    journal, output = Journal(journal_path(str(path))), ResultFile(path)
    try:
        output.open(resumable=True)
        found, missing = reconcile(output, journal, Prices())
        assert missing == 0  # what was set aside is put back
        journal.choose(again)
        journal.register([Registered(custom_id, number, b"hash") for number, custom_id in enumerate(IDS)])
        chosen = journal.chosen(known=True)
        drop_chosen(output, journal, found, ordered=ordered)
        writer = Writer(output, journal, ordered=ordered)
        writer.begin()
        journal.begin_session()
        wanted = {one.custom_id for one in journal.unanswered(-1, 100)}
        for number in answered:
            if IDS[number] in wanted:
                writer.used(Begun(IDS[number], 0.0))
                writer.flush()
                writer.add(answer(number, said))
                writer.flush()
        writer.close("interrupted")
        return chosen, journal.totals()
    finally:
        journal.close()
        output.close()


def lines(path: Path) -> dict[str, str]:
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len({line["custom_id"] for line in found}) == len(found)
    return {line["custom_id"]: line["result"]["said"] for line in found}


@pytest.mark.parametrize("ordered", [False, True])
def test_what_has_no_new_answer_keeps_its_old_one(tmp_path: Path, ordered: bool) -> None:
    path = tmp_path / "out.jsonl"
    _, first = sit(path, NOTHING, range(9), "old", ordered=ordered)
    before = path.read_bytes()
    chosen, totals = sit(path, LONGER, range(4), "new", ordered=ordered)
    assert (chosen.errors, chosen.stopped) == ({"connection_error": 3}, {"max_tokens": 3})
    assert chosen.dollars == 6.0
    assert lines(path) == {IDS[number]: "new" if number in (0, 1, 3) else "old" for number in range(9)}
    assert not ordered or list(lines(path)) == IDS
    # The old answers that stay cost what they did; those that were replaced are lost.
    assert (first.spent, totals.spent, totals.lost_dollars, totals.dollars) == (9.0, 12.0, 3.0, 9.0)
    assert (totals.passing, totals.endings) == ({"connection_error": 1}, {"succeeded": 8, "errored": 1})
    chosen, totals = sit(path, Again(), range(0), "new", ordered=ordered)
    assert chosen.errors == {"connection_error": 1}
    assert sorted(lines(path)) == IDS
    assert totals.spent == 12.0
    assert before != path.read_bytes()


def test_what_is_no_longer_asked_for_keeps_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sit(path, NOTHING, range(9), "old")
    journal, output = Journal(journal_path(str(path))), ResultFile(path)
    output.open(resumable=True)
    reconcile(output, journal, Prices())
    journal.choose(Again(errored=True))
    journal.register([Registered(IDS[0], 0, b"hash")])
    assert journal.chosen(known=True).errors == {"connection_error": 1}
    journal.close()
    output.close()
    assert set(lines(path).values()) == {"old"}


def test_stop_reasons_that_are_newer_are_run_again_and_unmet_ones_told(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sit(path, NOTHING, range(9), "old")
    journal = Journal(journal_path(str(path)))
    with journal.transaction() as db:
        db.execute("UPDATE request SET stop_reason = 'paused_for_cause' WHERE stop_reason = 'end_turn'")
    again = Again(stopped=frozenset({"refusal", "max_tokens", "paused_for_cause", "bogus"}))
    assert again.unfamiliar == {"paused_for_cause", "bogus"}
    assert journal.unmet(again.unfamiliar) == ("bogus",)
    journal.choose(again)
    assert journal.chosen(known=False).stopped == {"max_tokens": 3, "paused_for_cause": 3}
    journal.close()


class Killed(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("ordered", [False, True])
def test_killed_before_any_step_no_answer_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    origin = tmp_path / "origin.jsonl"
    sit(origin, NOTHING, range(9), "old", ordered=ordered)
    left = -1

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    def stepping(place: Any, name: str, *, after: bool = False) -> None:
        real = getattr(place, name)

        def counted(*args: Any) -> Any:
            step()
            done = real(*args)
            if after:
                step()
            return done

        monkeypatch.setattr(place, name, counted)

    stepping(os, "write")
    stepping(os, "replace", after=True)
    stepping(Journal, "transaction")
    kill_at, whole = 0, False
    while not whole:
        path = tmp_path / f"{kill_at}.jsonl"
        for name in ("", ".journal"):
            shutil.copy(f"{origin}{name}", f"{path}{name}")
        for again in (kill_at, kill_at // 2):  # killed twice, at different steps
            left = again
            try:
                sit(path, LONGER, range(4), "new", ordered=ordered)
                whole = whole or again == kill_at
            except Killed:
                pass
        left = -1
        _, totals = sit(path, NOTHING, range(0), "new", ordered=ordered)
        assert sorted(lines(path)) == IDS, kill_at
        assert not ordered or list(lines(path)) == IDS, kill_at
        assert all(lines(path)[IDS[number]] == "old" for number in (2, 4, 5, 6, 7, 8)), kill_at
        assert totals.done == 9
        kill_at += 1
    assert kill_at > 20


@pytest.mark.parametrize("ordered", [False, True])
def test_what_was_set_aside_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool) -> None:
    path = tmp_path / "out.jsonl"
    sit(path, NOTHING, range(9), "old", ordered=ordered)

    def killed(journal: Journal) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Journal, "drop_chosen", killed)
        sit(path, LONGER, range(0), "new", ordered=ordered)
    kept = path.read_bytes().splitlines(keepends=True)
    assert len(kept) == (0 if ordered else 3)
    path.write_bytes(b"".join(kept[1:]))  # and one is really gone, where there are any
    journal, output = Journal(journal_path(str(path))), ResultFile(path)
    output.open(resumable=True)
    _, missing = reconcile(output, journal, Prices())
    assert missing == (0 if ordered else 1)
    journal.close()
    output.close()
