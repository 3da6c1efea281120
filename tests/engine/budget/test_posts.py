"""Reports that are left on a server: their bytes, and what becomes of those that are late, broken or foreign."""

from __future__ import annotations

from typing import Any

import pytest

from manystream.engine.admission.throttle import Refusal
from manystream.engine.budget.booking import booked
from manystream.engine.budget.dollars import Allowance, Spending
from manystream.engine.budget.messages import Event, OutOfDateError, Report, Seen, Told, Use
from manystream.engine.budget.posts import book_posts, grant_in, post_of
from manystream.engine.budget.state import decoded


def report(participant: str, number: int = 1, **facts: Any) -> Report:
    uses = {"requests_per_minute": Use(reserved=2.0 * number, need=2.0, backlog=9.0, seen=Seen(60.0, 50.0, 2.0, 0.1))}
    events = (Event(kind="refused", age=0.5, number=3, sent_age=0.7, refusal=Refusal(429, True, asked=1.5)),)
    given: dict[str, Any] = {"uses": uses, "events": events, "ceiling": 10, "wanted": 5, "sent": 4, "told": {}}
    return Report(participant=participant, number=number, fixed={"requests_per_minute": 60.0}, **(given | facts))


@pytest.mark.parametrize(
    "told", [report("one"), Spending(participant="one", number=2, cap=5.0, need=1.0), Spending(asks="look", cap=5.0)]
)
def test_what_is_left_there_is_booked_as_if_it_were_told(told: Told[Any]) -> None:
    state, [granted] = book_posts(b"", [post_of(told)], 100.0)
    expected_state, expected = booked(b"", told, 100.0)
    assert state == expected_state
    number, _, grant = granted.partition(b" ")
    assert int(number) == told.number
    assert grant_in(grant, told) == expected


def test_of_several_each_is_granted_its_own() -> None:
    ones = [report(name) for name in ("one", "two", "three")]
    _, grants = book_posts(b"", map(post_of, ones), 100.0)
    found = [grant_in(granted.partition(b" ")[2], one) for one, granted in zip(ones, grants, strict=True)]
    assert [grant.participants for grant in found] == [1, 2, 3]
    assert sum(grant.leases["requests_per_minute"].held for grant in found) <= 60


@pytest.mark.parametrize(
    "post",
    [
        b"",
        b"r",
        b"r\xc1",
        b"x" + post_of(report("two"))[1:],
        b"rnonsense",
        post_of(report("two", uses={"pace": Use()}))[:-3],
    ],
)
def test_what_is_no_report_changes_nothing_and_holds_nobody_up(post: bytes) -> None:
    state, grants = book_posts(b"", [post, post_of(report("one")), post], 100.0)
    assert (grants[0], grants[2]) == (b"", b"")
    assert grants[1]
    assert state == booked(b"", report("one"), 100.0)[0]


def test_a_report_that_comes_after_a_later_one_changes_nothing() -> None:
    """The network may bring it late, when its sender has long told more."""
    state, _ = booked(b"", report("one", 2), 100.0)
    assert book_posts(state, [post_of(report("one", 1))], 101.0) == (state, [b""])
    with pytest.raises(OutOfDateError):
        booked(state, report("one", 1), 101.0)
    # The same one again counts once, and the next one counts on.
    state, [again, _] = book_posts(state, [post_of(report("one", 2)), post_of(report("one", 3))], 101.0)
    assert again
    account = decoded(state).participants["one"].accounts["requests_per_minute"]
    assert (account.reserved, decoded(state).buckets["requests_per_minute"]["_reserved"]) == (6.0, 6.0)


def test_dollars_that_come_late_lower_no_allowance() -> None:
    def spending(number: int, spent: float) -> Spending:
        return Spending(participant="one", number=number, cap=10.0, spent=spent, need=1.0)

    state, allowed = booked(b"", spending(2, 4.0), 100.0)
    assert allowed == Allowance(total=5.0, spent=4.0, pending=0.0, participants=1)
    assert book_posts(state, [post_of(spending(1, 2.0))], 100.1) == (state, [b""])


def test_what_is_no_grant_fails_in_words() -> None:
    with pytest.raises(ValueError, match="no grant"):
        grant_in(b"nonsense", report("one"))
