"""What results and journals tell: the beginning of the input, never those that happened to end first."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from manystream import Limits
from manystream.engine.admission.prompt import Prompt
from manystream.engine.plan.inventory import Item
from manystream.engine.plan.past import Answer, PlanError, Results, read_past
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Ended, Registered, journal_path


def item(number: int) -> Item:
    return Item(str(number), "claude-opus-5-5", "claude-opus-5-5", False, Prompt(100), 300, ())


def results(*ended: int, failed: tuple[int, ...] = ()) -> Results:
    return Results("out", {str(n): Answer(succeeded=n not in failed, output_tokens=n) for n in ended})


def pilot(found: Results, count: int = 1000) -> list[str]:
    return [one.item.custom_id for one in found.pilot(map(item, range(count)))]


def test_the_first_that_were_run_are_the_pilot() -> None:
    assert pilot(results(*range(30))) == [str(n) for n in range(30)]


def test_those_that_ended_first_are_none() -> None:
    """A run with fifty at a time was killed when thirty had ended: the short ones."""
    assert pilot(results(*(n for n in range(50) if n % 5 > 1))) == []


def test_a_gap_in_fifty_is_let_pass_and_more_end_it() -> None:
    found = pilot(results(*(n for n in range(400) if n not in (60, 130) and (n < 300 or n % 2))))
    assert "299" in found
    assert 290 < len(found) < 320


def test_failures_are_no_answers_but_leave_no_gap() -> None:
    assert pilot(results(*range(10), failed=(3, 4))) == ["0", "1", "2", "5", "6", "7", "8", "9"]


def test_no_results_at_all(tmp_path: Path) -> None:
    found = read_past(str(tmp_path / "absent.jsonl"))
    assert (found.exist, found.answers, found.limits) == (False, {}, {})


def test_results_without_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7}
    lines: list[Any] = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": {"usage": usage}}},
        {"custom_id": "b", "result": {"type": "errored", "error": {}}},
        {"custom_id": "c", "result": {"type": "succeeded", "message": {"usage": None}}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\n")
    assert read_past(str(path)).answers == {
        "a": Answer(succeeded=True, input_tokens=100, cached_tokens=90, output_tokens=7),
        "b": Answer(succeeded=False),
        "c": Answer(succeeded=True),
    }


@pytest.mark.parametrize("line", ["[]", "{}", '{"custom_id": "a"}', "nonsense", '{"custom_id": "a", "result": []}'])
def test_a_file_that_holds_no_results(tmp_path: Path, line: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(PlanError, match=r"out\.jsonl:2: not a line of results"):
        read_past(str(path))


def test_a_journal(tmp_path: Path) -> None:
    output = str(tmp_path / "out.jsonl")
    journal = Journal(journal_path(output))
    journal.register(Registered(name, number, b"") for number, name in enumerate("abcd", 1))
    journal.begin_session()
    journal.commit(
        (),
        [
            Ended(
                custom_id="a",
                kind="succeeded",
                queued=1.0,
                ttft=0.5,
                seconds=4.0,
                attempts=1,
                input_tokens=10,
                cache_write_tokens=20,
                cache_read_tokens=30,
                output_tokens=70,
            ),
            Ended(custom_id="b", kind="succeeded", queued=0.0, ttft=0.5, seconds=9.0, attempts=2, output_tokens=7),
            Ended(custom_id="c", kind="errored", error="overloaded_error", transient=1),
        ],
    )
    journal.note_limits({"p": {"requests_per_minute": 60.0}})
    journal.note_limits({"q": {"output_tokens_per_minute": 8000.0}})
    journal.end_session("finished")
    journal.close()
    found = read_past(output)
    assert found.answers["a"] == Answer(
        succeeded=True, input_tokens=60, cached_tokens=50, output_tokens=70, ttft=0.5, seconds=2.5, hash=b""
    )
    assert (found.answers["b"].seconds, found.answers["b"].attempts) == (None, 2)
    assert found.answers["c"].runs_again
    assert "d" not in found.answers
    assert found.limits == {"p": Limits(requests_per_minute=60), "q": Limits(output_tokens_per_minute=8000)}


def test_limits_that_nobody_can_read_are_left_out(tmp_path: Path) -> None:
    output = str(tmp_path / "out.jsonl")
    journal = Journal(journal_path(output))
    with journal.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('limits', '{\"p\": {\"new\": 1}}')")
    journal.close()
    assert read_past(output).limits == {}
    journal = Journal(journal_path(output))
    with journal.transaction() as db:
        db.execute("UPDATE meta SET value = 'nonsense' WHERE key = 'limits'")
    journal.note_limits({"p": {"requests_per_minute": 60.0}})
    journal.close()
    assert read_past(output).limits == {"p": Limits(requests_per_minute=60)}


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    Path(journal_path(str(tmp_path / "out.jsonl"))).write_bytes(b"nothing of the kind, " * 100)
    with pytest.raises(PlanError, match="not the journal of a run"):
        read_past(str(tmp_path / "out.jsonl"))


def test_answers_to_other_requests_are_no_answers(tmp_path: Path) -> None:
    """A run would refuse them, and so does its plan."""
    item = Item("a", "m", "m", False, Prompt(10, ()), 10, (), b"now")
    for known, refused in ((b"then", True), (b"now", False), (None, False)):
        results = Results("out.jsonl", {"a": Answer(succeeded=True, hash=known)})
        with pytest.raises(PlanError, match="1 of 1 answers were given to other") if refused else nullcontext():
            results.check([item])
    Results("out.jsonl", {"a": Answer(succeeded=False, runs_again=True, hash=b"then")}).check([item])
