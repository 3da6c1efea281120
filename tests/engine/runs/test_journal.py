"""The journal alone: what it keeps, in which order it gives it back, and what it refuses."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from manystream import Usage
from manystream.engine.input.used_ids import DuplicateError
from manystream.engine.runs.again import Again
from manystream.engine.runs.columns import as_key
from manystream.engine.runs.failures import Failure
from manystream.engine.runs.journal import ChangedError, Journal, JournalInUseError, remove_journal
from manystream.engine.runs.journal_rows import Begun, Ended, Held, Registered
from manystream.engine.runs.output import OutputError, StoreError
from manystream.engine.runs.totals import Totals, read_totals


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(None)
    yield journal
    journal.close()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "out.jsonl.journal")


def registered(*custom_ids: str, first: int = 1, hash: bytes = b"h") -> list[Registered]:
    return [Registered(custom_id, ordinal, hash) for ordinal, custom_id in enumerate(custom_ids, first)]


def answer(custom_id: str, kind: str = "succeeded", **columns: Any) -> Ended:
    return Ended(custom_id=custom_id, kind=kind, **columns)


def begin(journal: Journal, *custom_ids: str, **columns: Any) -> None:
    journal.commit([Begun(custom_id, 1.0, **columns) for custom_id in custom_ids], ())


def end(journal: Journal, *custom_ids: str, **columns: Any) -> None:
    journal.commit((), [answer(custom_id, **columns) for custom_id in custom_ids])


def run_again(journal: Journal, *custom_ids: str) -> None:
    with journal.transaction() as db:
        db.executemany("INSERT INTO again VALUES (?)", [(as_key(custom_id),) for custom_id in custom_ids])
    journal.drop_chosen()


def states(journal: Journal) -> dict[str, str]:
    return dict(journal.read("SELECT custom_id, state FROM request ORDER BY ordinal"))


def unanswered(journal: Journal, after: int = 0, count: int = 100) -> list[str]:
    return [request.custom_id for request in journal.unanswered(after, count)]


def due(journal: Journal, count: int = 100) -> list[str]:
    return [held.custom_id for held in journal.due(count)]


# -- the input


def test_a_whole_input_is_registered(journal: Journal) -> None:
    journal.register(registered("b", "a", "c"))
    assert states(journal) == {"b": "pending", "a": "pending", "c": "pending"}
    assert journal.unanswered(0, 9) == registered("b", "a", "c")
    assert (journal.count(), journal.ended_count(), journal.gone()) == (3, 0, 0)


def test_an_id_may_not_be_used_twice(journal: Journal) -> None:
    journal.register(registered("a"))
    with pytest.raises(DuplicateError) as caught:
        journal.register(registered("b", "c", "b"))
    assert (caught.value.custom_id, caught.value.ordinal, caught.value.first) == ("b", 3, 1)
    assert states(journal) == {"a": "pending"}
    assert unanswered(journal) == ["a"]  # the input is the earlier one again
    with pytest.raises(DuplicateError) as caught:
        journal.register_one(Registered("a", 2, b"h"))
    assert (caught.value.ordinal, caught.value.first) == (2, 1)
    assert journal.unanswered(0, 9) == registered("a")


def test_an_answer_holds_for_the_parameters_it_was_given_to(journal: Journal) -> None:
    journal.register(registered("a", "b", "c", "d"))
    end(journal, "b", "c", "d")
    with pytest.raises(ChangedError, match="'c' has other parameters than before") as caught:
        journal.register(registered("a", "b") + registered("c", "d", first=3, hash=b"other"))
    assert caught.value.request == Registered("c", 3, b"other")
    assert journal.read("SELECT DISTINCT hash FROM request") == [(b"h",)]
    journal.register(registered("a", hash=b"other") + registered("b", "c", "d", first=2))
    assert journal.unanswered(0, 9) == registered("a", hash=b"other")  # it has no answer: it may change


def test_what_is_no_longer_in_the_input_is_forgotten_unless_something_was_paid_for_it(journal: Journal) -> None:
    journal.register(registered("forgotten", "lost", "ended", "stays"))
    begin(journal, "lost", dollars=0.5)
    end(journal, "ended")
    journal.end_session("interrupted")
    journal.register(registered("stays", "new", first=5))
    assert states(journal) == {"lost": "pending", "ended": "ended", "stays": "pending", "new": "pending"}
    assert (journal.count(), journal.ended_count(), journal.gone()) == (3, 1, 1)
    assert journal.unanswered(0, 9) == registered("stays", "new", first=5)


def test_requests_are_registered_one_by_one(journal: Journal) -> None:
    for request in registered("a", "b"):
        assert journal.register_one(request)
    assert journal.unanswered(0, 9) == registered("a", "b")
    assert states(journal) == {"a": "pending", "b": "pending"}


def test_a_request_is_registered_again_in_the_next_session(path: str) -> None:
    with closing(Journal(path)) as journal:
        journal.register(registered("ended", "begun", "pending", "changed"))
        end(journal, "ended", "changed")
        begin(journal, "begun")
    with closing(Journal(path)) as journal:
        assert journal.gone() == 2  # nothing of the input is known yet
        assert unanswered(journal) == []
        assert not journal.register_one(Registered("ended", 12, b"h"))
        assert journal.register_one(Registered("begun", 11, b"other"))
        assert journal.register_one(Registered("pending", 10, b"h"))
        with pytest.raises(ChangedError) as caught:
            journal.register_one(Registered("changed", 13, b"other"))
        assert caught.value.request == Registered("changed", 13, b"other")
        assert journal.gone() == 1
        assert journal.unanswered(0, 9) == [Registered("pending", 10, b"h"), Registered("begun", 11, b"other")]
        assert journal.read("SELECT ordinal, hash FROM request WHERE custom_id IN ('ended', 'changed')") == [
            (4, b"h"),
            (12, b"h"),
        ]


def test_an_answer_of_which_only_the_line_is_known_takes_the_parameters_of_the_input(journal: Journal) -> None:
    journal.read("INSERT INTO request (custom_id, state) VALUES ('one', 'ended'), ('two', 'ended')")
    assert not journal.register_one(Registered("one", 1, b"h"))
    assert journal.read("SELECT ordinal, hash FROM request WHERE custom_id = 'one'") == [(1, b"h")]
    journal.register(registered("one", "two"))
    assert journal.read("SELECT ordinal, hash FROM request ORDER BY ordinal") == [(1, b"h"), (2, b"h")]


def test_what_has_no_answer_is_given_in_the_inputs_order(journal: Journal) -> None:
    journal.register(registered("e", "d", "c", "b", "a"))
    begin(journal, "d")
    end(journal, "c")
    assert unanswered(journal) == ["e", "d", "b", "a"]
    assert unanswered(journal, count=2) == ["e", "d"]
    assert unanswered(journal, after=2) == ["b", "a"]
    assert unanswered(journal, after=1, count=2) == ["d", "b"]
    assert unanswered(journal, after=5) == []


# -- what happens to the requests


def test_what_was_begun_and_how_it_ended(journal: Journal) -> None:
    journal.register(registered("a", "b", "c", "d"))
    usage = Usage(input_tokens=1, cache_creation_input_tokens=2, cache_read_input_tokens=3, output_tokens=4)
    begin(journal, "a", "b", usage=usage, dollars=0.25)
    assert states(journal) == {"a": "begun", "b": "begun", "c": "pending", "d": "pending"}
    columns = "submitted, input_tokens, cache_write_tokens, cache_read_tokens, output_tokens, dollars"
    assert journal.read(f"SELECT {columns} FROM request WHERE custom_id = ?", ("a",)) == [(1.0, 1, 2, 3, 4, 0.25)]
    journal.commit(
        [Begun("d", 2.0)],
        [
            answer("a", attempts=2, output_tokens=9, dollars=0.5, stop_reason="end_turn"),
            answer("b", "errored", error="api_error", message="what\nwas said"),
            answer("c", "expired"),
        ],
    )
    assert states(journal) == {"a": "ended", "b": "ended", "c": "ended", "d": "begun"}
    assert journal.read("SELECT kind, attempts, output_tokens, dollars, stop_reason FROM request LIMIT 1") == [
        ("succeeded", 2, 9, 0.5, "end_turn")
    ]
    journal.choose(Again(errored=True))
    assert journal.chosen(known=False).errors == {"api_error": 1, "expired": 1}
    assert (journal.count(), journal.ended_count()) == (4, 3)
    begin(journal, "a")  # told late: an answer stays an answer
    assert states(journal)["a"] == "ended"
    assert journal.totals() == Totals(
        endings={"succeeded": 1, "errored": 1, "expired": 1},
        errors={"api_error": 1},
        failures=(Failure("api_error", "what was said", 1, "b"),),
        stop_reasons={"end_turn": 1},
        lasting={"api_error": 1, "expired": 1},
        pending=1,
        attempts=2,
        retried=1,
        output_tokens=9,
        dollars=0.5,
    )


def test_lines_are_due_when_all_before_them_have_answers(journal: Journal) -> None:
    journal.register(registered("a", "b", "c", "d", "e"))
    journal.commit((), [answer("c"), answer("b"), answer("e")], [Held("c", b"C"), Held("b", b"B"), Held("e", b"E")])
    assert due(journal) == []
    journal.commit((), [answer("a")], [Held("a", b"A")])
    assert journal.due(9) == [Held("a", b"A"), Held("b", b"B"), Held("c", b"C")]
    assert due(journal, 2) == ["a", "b"]
    journal.commit((), (), (), ["a", "b"])
    assert due(journal) == ["c"]
    journal.commit((), [answer("d")], [Held("d", b"D")], ["c"])
    assert journal.due(9) == [Held("d", b"D"), Held("e", b"E")]
    journal.commit((), (), (), ["d", "e"])
    assert due(journal) == []


def test_a_line_is_held_once(journal: Journal) -> None:
    journal.register(registered("a"))
    end(journal, "a")
    journal.hold([Held("a", b"first")])
    journal.hold([Held("a", b"second")])
    assert journal.due(9) == [Held("a", b"second")]


def test_ids_are_stored_the_same_way_everywhere(journal: Journal) -> None:
    journal.register(registered("\ud83d"))
    journal.commit([Begun("\ud83d", 1.0)], [answer("\ud83d")], [Held("\ud83d", b"line")])
    assert journal.due(9) == [Held("\\ud83d", b"line")]
    journal.commit((), (), (), ["\ud83d"])
    assert due(journal) == []
    journal.hold([Held("\ud83d", b"line")])
    run_again(journal, "\ud83d")
    assert states(journal) == {"\\ud83d": "pending"}
    end(journal, "\ud83d")
    assert due(journal) == []  # the old line is gone


def test_an_answer_that_is_gone_is_asked_for_again_and_was_paid_for(journal: Journal) -> None:
    journal.register(registered("a", "b", "c"))
    used = {"input_tokens": 1, "cache_write_tokens": 2, "cache_read_tokens": 3, "output_tokens": 4, "dollars": 0.5}
    end(journal, "a", "b", "c", **used)
    journal.hold([Held("a", b"A"), Held("b", b"B"), Held("c", b"C")])
    run_again(journal, "a", "b")
    assert states(journal) == {"a": "pending", "b": "pending", "c": "ended"}
    assert journal.read("SELECT custom_id FROM held") == [("c",)]
    totals = journal.totals()
    assert (totals.done, totals.lost, totals.lost_input_tokens, totals.lost_output_tokens) == (1, 2, 12, 8)
    assert (totals.dollars, totals.lost_dollars) == (0.5, 1.0)
    end(journal, "a", **used)
    run_again(journal, "a")
    assert journal.totals().lost_dollars == 1.5  # each time


# -- sessions


def test_sessions_follow_one_another(path: str) -> None:
    with closing(Journal(path)) as journal:
        journal.begin_session()
        journal.register(registered("a", "b", "c"))
        begin(journal, "a", usage=Usage(output_tokens=7), dollars=0.5)
        end(journal, "b")
        journal.end_session("interrupted")
        assert states(journal) == {"a": "pending", "b": "ended", "c": "pending"}
        assert (journal.totals().lost, journal.totals().lost_dollars) == (1, 0.5)
    with closing(Journal(path)) as journal:
        journal.begin_session()  # killed: it has no end
    with closing(Journal(path)) as journal:
        journal.begin_session()
        journal.end_session("finished")
        rows = journal.read("SELECT number, how, ended >= began FROM session ORDER BY number")
        assert rows == [(1, "interrupted", 1), (2, None, None), (3, "finished", 1)]
        assert journal.totals().lost_dollars == 0.5


def test_a_session_that_was_not_begun_ends_no_other(path: str) -> None:
    with closing(Journal(path)) as journal:
        journal.begin_session()
    with closing(Journal(path)) as journal:
        journal.end_session("finished")
        assert journal.read("SELECT number, ended, how FROM session") == [(1, None, None)]


def test_a_temporary_journal_is_gone_when_it_is_closed(journal: Journal) -> None:
    journal.register(registered("a"))
    assert journal.path is None
    journal.close()
    with pytest.raises(OutputError, match="the run's temporary journal"):
        journal.count()
    journal.close()


# -- the database


def test_a_transaction_takes_effect_as_a_whole(journal: Journal) -> None:
    journal.register(registered("a", "b"))
    with pytest.raises(ZeroDivisionError), journal.transaction() as db:
        db.execute("DELETE FROM request")
        _ = 1 / 0
    assert journal.count() == 2
    with journal.transaction() as db:
        db.execute("DELETE FROM request WHERE custom_id = 'a'")
    assert states(journal) == {"b": "pending"}


def test_threads_take_turns(journal: Journal) -> None:
    journal.register(registered("a", "b"))
    counted: list[int] = []
    other = threading.Thread(target=lambda: counted.append(journal.count()))
    with journal.transaction() as db:
        db.execute("DELETE FROM request WHERE custom_id = 'a'")
        other.start()
        other.join(0.05)
        assert counted == []
        assert journal.count() == 1  # the thread whose turn it is goes on
    other.join()
    assert counted == [1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manystream.engine.runs.journal._LOCKED_SECONDS", 0.01)


@pytest.mark.usefixtures("impatient")
def test_one_run_at_a_time_writes_it(path: str) -> None:
    with closing(Journal(path)) as journal:
        journal.register(registered("a"))
        with pytest.raises(JournalInUseError) as caught:
            Journal(path)
        assert str(caught.value) == f"{path}: in use: another run is writing these results"
        with pytest.raises(JournalInUseError):
            remove_journal(path.removesuffix(".journal"))
        assert states(journal) == {"a": "pending"}
        assert Path(path).exists()
    with closing(Journal(path)) as journal:
        assert states(journal) == {"a": "pending"}


def test_how_the_database_is_set_up(path: str) -> None:
    with closing(Journal(path)) as journal:
        assert journal.read("PRAGMA synchronous") == [(1,)]  # normal
        assert journal.read("PRAGMA journal_mode") == [("wal",)]
        assert journal.read("PRAGMA locking_mode") == [("exclusive",)]


def spoil(path: str, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def test_what_is_no_journal_is_refused(path: str) -> None:
    Path(path).write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match=r"not the journal of a run \(file is not a database\); --overwrite") as one:
        Journal(path)
    assert str(one.value).startswith(f"{path}: ")
    assert not isinstance(one.value, StoreError)
    Path(path).unlink()
    spoil(path, "CREATE TABLE other (a)")
    with pytest.raises(OutputError, match="not the journal of a run"):
        Journal(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


def test_another_format_is_refused(path: str) -> None:
    Journal(path).close()
    spoil(path, "UPDATE meta SET value = '99'")
    with pytest.raises(OutputError) as caught:
        Journal(path)
    assert str(caught.value) == (
        f"{path}: its format is 99, this version of manystream writes format 2; --overwrite starts anew"
    )
    spoil(path, "UPDATE meta SET value = '2'")  # the refused journal is not locked any more
    Journal(path).close()


def test_a_format_that_cannot_be_brought_up_to_date_stays_as_it_is(path: str) -> None:
    Journal(path).close()
    spoil(path, "ALTER TABLE request DROP COLUMN message")
    spoil(path, "UPDATE meta SET value = '1'")  # and yet it has no table of the old name
    with pytest.raises(OutputError, match="not the journal of a run"):
        Journal(path)
    with closing(sqlite3.connect(path)) as db:
        assert "message" not in {row[1] for row in db.execute("PRAGMA table_info(request)")}


def test_errors_of_an_older_release_are_known_to_pass_by_what_they_say(path: str) -> None:
    said = {
        "a": ("errored", "overloaded_error", "Overloaded"),
        "b": ("errored", "timeout_error", "the deadline silence of 120 s passed"),
        "c": ("errored", "timeout_error", "the deadline idle of 9 s passed"),
        "d": ("errored", "invalid_request_error", "no"),
        "e": ("expired", None, None),
        "f": ("succeeded", None, None),
    }
    with closing(Journal(path)) as journal:
        journal.register(registered(*said))
        journal.commit(
            (), [answer(name, kind, error=error, message=words) for name, (kind, error, words) in said.items()]
        )
    with closing(sqlite3.connect(path)) as db:
        for column in ("failure", "transient", "restarts", "restarted_dollars"):
            db.execute(f"ALTER TABLE request DROP COLUMN {column}")
        db.execute("DROP TABLE replaced")
        db.commit()
        assert read_totals(db).passing == {}  # it is read all the same
    with closing(Journal(path)) as journal:
        journal.choose(Again())
        assert journal.chosen(known=False).errors == {"overloaded_error": 1, "timeout_error": 1}
        totals = journal.totals()
        assert totals.passing == {"overloaded_error": 1, "timeout_error": 1}
        assert totals.lasting == {"timeout_error": 1, "invalid_request_error": 1, "expired": 1}
        assert (totals.restarts, totals.failed) == (0, 5)


def test_bytes_that_are_no_text_are_read(path: str) -> None:
    with closing(Journal(path)) as journal:
        journal.register(registered("a"))
        journal.read("UPDATE request SET model = CAST(x'61ff' AS TEXT)")
        assert journal.read("SELECT model FROM request") == [("a\\xff",)]


def test_a_full_disk_is_the_systems_failure(journal: Journal) -> None:
    journal.read("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match="the run's temporary journal: no space left on device"):
        journal.register(registered(*(f"{number}-{'x' * 1000}" for number in range(100))))
    assert journal.count() == 0


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none/journal: can't be read or written: unable to open database file"):
        Journal(str(tmp_path / "none" / "journal"))


# -- removing it


@pytest.mark.parametrize("content", [None, b"no database" * 100])
def test_it_is_removed_whatever_it_is(path: str, content: bytes | None) -> None:
    output = path.removesuffix(".journal")
    remove_journal(output)  # there is none
    if content is None:
        Journal(path).close()
    else:
        Path(path).write_bytes(content)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").write_bytes(b"")
    remove_journal(output)
    assert list(Path(path).parent.iterdir()) == []


def test_what_cannot_be_removed_is_told(path: str) -> None:
    Path(path).mkdir()
    with pytest.raises(OutputError) as caught:
        remove_journal(path.removesuffix(".journal"))
    assert str(caught.value) == f"{path}: is a directory"


# -- requests that left the input and had cost something


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_waits_for_a_request_that_is_gone(path: str, whole: bool) -> None:
    with closing(Journal(path)) as journal:
        journal.register(registered("a", "b", "c"))
        begin(journal, "a", usage=Usage(input_tokens=7), dollars=0.5)
        journal.end_session("cancelled")
        assert (journal.count(), journal.totals().pending) == (3, 3)
    with closing(Journal(path)) as journal:
        left = registered("b", "c", first=2)
        if whole:
            journal.register(left)
        else:  # one by one, as they come
            assert all(journal.register_one(one) for one in left)
            assert journal.totals().pending == 3  # "a" may still come
            journal.end_input()
        assert (journal.count(), journal.totals().pending, unanswered(journal)) == (2, 2, ["b", "c"])
        journal.commit((), [answer("b")], [Held("b", b"line\n")])
        assert due(journal) == ["b"]
        assert (journal.totals().lost_dollars, journal.totals().lost) == (0.5, 1)


def test_a_request_that_was_gone_may_come_back(journal: Journal) -> None:
    journal.register(registered("a", "b"))
    begin(journal, "a", dollars=0.5)
    journal.end_session("cancelled")
    journal.register(registered("b"))
    journal.register(registered("a", "b"))
    assert (journal.count(), unanswered(journal), journal.totals().lost_dollars) == (2, ["a", "b"], 0.5)
