"""Callers are told apart by their keys, which are not kept; those who ask nothing are forgotten."""

from __future__ import annotations

from collections.abc import Hashable

from manystream.engine.serve.callers import Callers


def test_keys_are_told_apart_and_not_kept() -> None:
    callers = Callers(None, lambda _: None)
    one, other, nobody = callers.enter("sk-ant-one"), callers.enter("sk-ant-other"), callers.enter(None)
    assert callers.enter("sk-ant-one") is one
    assert one.running == 2
    assert len({caller.name for caller in (one, other, nobody)}) == 3
    assert "sk-ant" not in repr(list(callers)) + repr(vars(callers))
    assert Callers(None, lambda _: None).enter("sk-ant-one").name != one.name, "a name is of no use elsewhere"


def test_limits_are_counted_by_the_key_where_that_is_told() -> None:
    forgotten: list[Hashable] = []
    callers = Callers(None, forgotten.append, counted_by=lambda key: ("hash of", len(key)), many=1)
    one, nobody = callers.enter("key"), callers.enter(None)
    assert (one.credentials, nobody.credentials) == (("hash of", 3), nobody.name)
    callers.leave(one)
    assert forgotten == [("hash of", 3)]


def test_a_cap_is_each_one_s_own() -> None:
    callers = Callers(2.0, lambda _: None)
    one, other = callers.enter("a").cap, callers.enter("b").cap
    assert one is not None
    assert other is not None
    one.count(2.0)
    assert (one.room_for(0.1), other.room_for(0.1)) == (False, True)


def test_who_asks_nothing_is_forgotten() -> None:
    forgotten: list[Hashable] = []
    callers = Callers(None, forgotten.append, many=3)
    busy = [callers.enter(f"busy {n}") for n in range(2)]
    idle = [callers.enter(f"idle {n}") for n in range(2)]
    assert len(callers) == 4, "who has a request is kept"
    callers.leave(idle[1])
    assert forgotten == [idle[1].name]
    callers.leave(idle[0])
    assert forgotten == [idle[1].name]
    callers.enter("idle 0")
    callers.leave(busy[0])
    more = callers.enter("more")
    assert forgotten == [idle[1].name, busy[0].name]
    assert {caller.name for caller in callers} == {idle[0].name, busy[1].name, more.name}


def test_who_has_spent_under_a_cap_is_kept() -> None:
    callers = Callers(2.0, lambda _: None, many=2)
    spender = callers.enter("spender")
    assert spender.cap is not None
    spender.cap.count(2.0)
    callers.leave(spender)
    for number in range(50):
        callers.leave(callers.enter(f"junk {number}"))
    assert callers.enter("spender") is spender
    assert len(callers) <= 3
