"""Many engines under one budget: what they get, what the service refuses, and who dies; on a clock that the test
moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fleet import Fleet, Member, Service

from manystream import Limits
from manystream.engine.admission.throttle import Refusal
from manystream.engine.budget.ledger import exchange
from manystream.engine.budget.messages import Event, Report, Use
from manystream.engine.budget.sharing_out import Want, shared_out
from manystream.engine.budget.state import decoded, encoded


def run(engines: int, each: int | list[int], service: Service) -> tuple[float, list[Member]]:
    """Runs so many requests in each of so many engines; returns when all were done."""
    fleet = Fleet(service)
    members = [fleet.join() for _ in range(engines)]
    for number, member in enumerate(members):
        member.enter(each if isinstance(each, int) else each[number])
    return fleet.finish(), members


# -- sharing out


@given(
    st.floats(0, 1e6),
    st.dictionaries(
        st.text(max_size=3),
        st.builds(Want, st.floats(0, 1e6), st.floats(0.01, 100), st.integers(0, 2)),
        max_size=20,
    ),
)
def test_shares_are_fair_and_nothing_is_left_that_somebody_wants(total: float, wants: dict[str, Want]) -> None:
    got = shared_out(total, wants)
    assert sum(got.values()) <= total * (1 + 1e-9) + 1e-9
    assert all(amount <= wants[name].amount for name, amount in got.items())
    wanted = sum(want.amount for want in wants.values())
    assert sum(got.values()) == pytest.approx(min(total, wanted), rel=1e-6, abs=1e-6)
    for name, amount in got.items():
        for other, more in got.items():
            if wants[name].priority < wants[other].priority and amount > 1e-6:
                assert more >= wants[other].amount * (1 - 1e-9)  # the higher one has all that it wants
            if wants[name].priority == wants[other].priority and amount < wants[name].amount * (1 - 1e-9):
                # Who wants more than it got has as much for its weight as anybody else.
                assert amount / wants[name].weight >= more / wants[other].weight * (1 - 1e-6) - 1e-6


# -- limits


@pytest.mark.parametrize("engines", [4, 16])
def test_many_engines_use_a_limit_to_the_full_and_never_overstep_it(engines: int) -> None:
    alone, _ = run(1, 1600, Service(requests=1200))
    service = Service(requests=1200)
    together, members = run(engines, 1600 // engines, service)
    assert together <= 1.05 * alone
    assert service.refused == 0
    assert min(one.done_at for one in members) > 0.8 * together  # the first burst, too, is shared fairly


def test_who_has_little_to_do_is_done_soon_and_leaves_the_rest_to_the_others() -> None:
    service = Service(requests=1200)
    together, members = run(4, [1240, 120, 120, 120], service)
    alone, _ = run(1, 1600, Service(requests=1200))
    assert together <= 1.05 * alone
    assert service.refused == 0
    assert max(one.done_at for one in members[1:]) < 3


def test_a_bucket_that_holds_less_than_a_minute_s_worth() -> None:
    service = Service(requests=1200, burst=1 / 6)
    together, _ = run(4, 200, service)
    alone, _ = run(1, 800, Service(requests=1200, burst=1 / 6))
    assert together <= 1.05 * alone
    assert service.refused == 0


def test_a_service_that_tells_no_limits() -> None:
    service = Service(requests=1200, burst=1 / 60, headers=False)
    together, _ = run(4, 150, service)
    assert together <= 1.4 * 600 / 20  # the rate is found out, and kept to
    assert service.refused <= 2 * 600  # nobody backs off here: what is refused comes again at once


def test_limits_set_by_hand_hold_and_the_lowest_counts() -> None:
    service = Service()
    fleet = Fleet(service, limits=Limits(requests_per_minute=60))
    first = fleet.join()
    first.enter(100)
    fleet.limits = Limits(requests_per_minute=600)
    second = fleet.join()
    second.enter(100)
    fleet.pass_time(60)
    assert 100 <= service.took <= 121


# -- weights, priorities, large requests


def test_weights_are_kept_to_while_all_want_more() -> None:
    fleet = Fleet(Service(requests=1200))
    heavy, light = fleet.join(weight=3), fleet.join()
    heavy.enter(2500)
    light.enter(2500)
    fleet.pass_time(30)
    before = heavy.done, light.done
    fleet.pass_time(30)
    assert (heavy.done - before[0]) / (light.done - before[1]) == pytest.approx(3, rel=0.1)


def test_a_higher_priority_gets_all_it_needs_first() -> None:
    service = Service(requests=1200)
    fleet = Fleet(service)
    high = [fleet.join(priority=1) for _ in range(2)]
    low = [fleet.join() for _ in range(2)]
    for one in high + low:
        one.enter(400 if one in high else 600)
    fleet.finish()
    assert max(one.done_at for one in high) < 3
    assert service.refused == 0


def test_a_large_request_is_saved_for_and_nobody_waits_for_it() -> None:
    service = Service(input_tokens=60_000)
    fleet = Fleet(service, limits=Limits(input_tokens_per_minute=60_000))
    large, *small = [fleet.join() for _ in range(4)]
    large.enter(3, tokens=20_000)
    for one in small:
        one.enter(1500, tokens=50)
    fleet.pass_time(200)
    assert len(large.began_at) == 3  # a quarter of the limit is 15,000 a minute
    assert service.refused == 0
    assert min(one.done for one in small) > 900  # a bucket's worth at first, then a quarter of the limit each


def test_requests_larger_than_everybody_s_share_take_turns() -> None:
    service = Service(input_tokens=60_000)
    fleet = Fleet(service, limits=Limits(input_tokens_per_minute=60_000))
    members = [fleet.join() for _ in range(5)]
    for one in members:
        one.enter(2, tokens=50_000)
    end = fleet.finish()
    assert service.refused == 0
    assert end < 1.1 * 9 * 50  # seconds: each takes 50, but for the first
    firsts, seconds = zip(*(one.began_at for one in members), strict=True)
    assert max(firsts) < min(seconds)


def test_a_request_larger_than_the_bucket_passes_when_that_is_full() -> None:
    service = Service(input_tokens=60_000)
    fleet = Fleet(service, limits=Limits(input_tokens_per_minute=60_000))
    large, small = fleet.join(), fleet.join()
    large.enter(2, tokens=90_000)
    small.enter(500, tokens=50)
    fleet.finish()
    assert (large.done, small.done, service.refused) == (2, 500, 0)


# -- concurrency


def test_one_window_for_all() -> None:
    alone, shared = Service(slots=30), Service(slots=30)
    before, _ = run(1, 600, alone)
    together, _ = run(4, 150, shared)
    assert together <= 2 * before  # how long the search for the size takes is a matter of chance
    assert shared.refused <= 5 * alone.refused  # which come again at once


def test_fewer_slots_than_engines_are_taken_in_turns() -> None:
    _, members = run(5, 10, Service(slots=2))
    assert [one.done for one in members] == [10] * 5


def test_in_an_outage_one_request_at_a_time_is_sent_by_all_together() -> None:
    service = Service(slots=40)
    fleet = Fleet(service)
    members = [fleet.join() for _ in range(4)]
    for one in members:
        one.enter(300)
    fleet.pass_time(3)
    service.down = True
    fleet.pass_time(3)
    before = service.refused
    fleet.pass_time(20)
    assert service.refused - before <= 6  # at growing intervals, as one engine would
    service.down = False
    fleet.finish()
    assert [one.done for one in members] == [300] * 4


# -- death, and a carrier that fails


@pytest.mark.parametrize(
    "moment", [0.3, 1.0, 2.5, 7.0, 15.0, *(pytest.param(m / 2, marks=pytest.mark.slow) for m in range(1, 31, 2))]
)
def test_what_a_dead_engine_held_is_lost_and_no_more(moment: float) -> None:
    alone, _ = run(1, 800, Service(requests=600))
    service = Service(requests=600)
    fleet = Fleet(service)
    members = [fleet.join() for _ in range(4)]
    for one in members:
        one.enter(200)
    fleet.pass_time(moment)
    fleet.kill(members[0])
    end = fleet.finish()
    assert service.refused == 0
    assert [one.done for one in members[1:]] == [200] * 3
    assert end <= 1.05 * alone


def test_an_engine_that_stood_still_takes_no_more_than_it_was_granted() -> None:
    service = Service(requests=1200)
    fleet = Fleet(service)
    members = [fleet.join() for _ in range(4)]
    for one in members:
        one.enter(400)
    fleet.pass_time(3)
    members[0].stopped_until = fleet.now + 10
    fleet.finish()
    assert [one.done for one in members] == [400] * 4
    assert service.refused == 0


def test_without_the_budget_an_engine_goes_on_with_its_share_and_comes_back_to_it() -> None:
    reachable = True
    service = Service(requests=1200)
    fleet = Fleet(service, reachable=lambda: reachable)
    members = [fleet.join() for _ in range(4)]
    for one in members:
        one.enter(600)
    fleet.pass_time(5)
    before, reachable = service.took, False
    fleet.pass_time(10)
    assert 100 < service.took - before <= 230  # of the 200 that the limit allows in this time
    assert all(one.membership is not None and one.membership.alone for one in members)
    reachable = True
    fleet.finish()
    assert [one.done for one in members] == [600] * 4
    assert not any(one.membership is not None and one.membership.alone for one in members)
    assert service.refused <= 30


def test_an_engine_that_never_reached_the_budget_runs_like_one_without() -> None:
    fleet = Fleet(Service(requests=1200), reachable=lambda: False)
    member = fleet.join()
    member.enter(1000)
    assert fleet.finish() < 5
    assert fleet.service.refused == 0


def test_who_has_nothing_to_do_asks_for_nothing() -> None:
    fleet = Fleet(Service(requests=1200))
    busy, idle = fleet.join(), fleet.join()
    busy.enter(1300)
    idle.enter(1)
    fleet.pass_time(8)
    assert idle.membership is not None
    assert idle.membership.pool.grant is None
    before = fleet.exchanges
    fleet.pass_time(10)
    assert fleet.exchanges - before <= 45  # all of them the other's, four a second
    idle.enter(1)
    fleet.pass_time(2)
    assert idle.done == 2


@settings(max_examples=2)
@given(st.data())
def test_any_number_of_engines_of_any_kind_that_die_at_any_time(data: st.DataObject) -> None:
    any_fleet(data, requests=8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=60)
@given(st.data())
def test_many_fleets(data: st.DataObject) -> None:
    any_fleet(data, requests=40)


def any_fleet(data: st.DataObject, *, requests: int) -> None:
    """A fleet of any kind gets everything done, and nothing is refused."""
    limit = data.draw(st.sampled_from([60, 300, 1200, 6000]), "requests a minute")
    tokens = data.draw(st.sampled_from([20_000, 200_000, 1_000_000]), "tokens a minute")
    service = Service(requests=limit, input_tokens=tokens)
    fleet = Fleet(service, limits=Limits(requests_per_minute=limit, input_tokens_per_minute=tokens))
    count = data.draw(st.integers(1, 50), "engines")
    for _ in range(count):
        member = fleet.join(
            weight=data.draw(st.sampled_from([0.5, 1, 3])), seconds=data.draw(st.sampled_from([0.1, 1.0, 5.0]))
        )
        member.enter(data.draw(st.integers(0, requests)), tokens=data.draw(st.sampled_from([10, 200, tokens // 20])))
    for _ in range(data.draw(st.integers(0, min(count - 1, 10)), "deaths")):
        fleet.pass_time(data.draw(st.floats(0.05, 3)))
        fleet.kill(data.draw(st.sampled_from(fleet.members)))
    fleet.finish(most=2000)
    assert not any(one.waiting or one.running for one in fleet.members), "somebody starves"
    assert service.refused == 0


# -- the ledger itself


def report(participant: str = "a", **facts: object) -> Report:
    values: dict[str, object] = {"ceiling": 10, "uses": {}, "fixed": {"requests_per_minute": 60.0}, "told": {}}
    return Report(participant=participant, **(values | facts))  # pyright: ignore[reportArgumentType]


def test_a_report_that_comes_twice_counts_once() -> None:
    told = report(
        uses={"requests_per_minute": Use(reserved=5.0, need=5.0, backlog=5.0)},
        sent=5,
        events=(Event(kind="refused", age=0.0, number=4, refusal=Refusal(529, None)),),
    )
    state, _ = exchange(None, report(), 0.0)
    state, first = exchange(state, told, 1.0)
    state, second = exchange(state, told, 1.0)
    assert first == second
    assert state.buckets["requests_per_minute"]["level"] == 55.0
    assert state.throttle is not None
    assert state.throttle["window"]["_refusals"] == 1


def test_what_is_kept_comes_back_from_its_bytes() -> None:
    state, _ = exchange(None, report(sent=3), 10.0)
    again = decoded(encoded(state))
    assert again == state
    assert exchange(again, report(sent=4), 10.5)[1] == exchange(state, report(sent=4), 10.5)[1]


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x93\x01\x02\x03", encoded(exchange(None, report(), 1.0)[0])[:-4]])
def test_bytes_that_are_no_state(data: bytes) -> None:
    with pytest.raises(ValueError, match="not the state"):
        decoded(data)


def test_a_state_that_makes_no_sense_is_told() -> None:
    state, _ = exchange(None, report(), 0.0)
    state.throttle = {"window": {}}
    with pytest.raises(ValueError, match="learnt"):
        exchange(state, report(), 1.0)


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_another_clock_or_a_long_rest_begins_anew(seconds: float) -> None:
    state, _ = exchange(None, report("a", wanted=10), 10_000.0)
    state, grant = exchange(state, report("b", wanted=10), 10_000.0 + seconds)
    assert (grant.participants, grant.slots) == (1, 10)
    assert state.participants.keys() == {"b"}


def test_who_leaves_gives_back_what_it_had() -> None:
    state, _ = exchange(None, report("a", wanted=10, uses={"requests_per_minute": Use(need=60.0, backlog=60.0)}), 0.0)
    _, before = exchange(state, report("b", wanted=10), 0.0)
    assert before.slots == 0
    state, _ = exchange(state, report("a", leaving=True), 0.1)
    _, after = exchange(state, report("b", wanted=10, uses={"requests_per_minute": Use(need=60.0, backlog=60.0)}), 0.2)
    assert (after.slots, after.participants) == (10, 1)
    assert after.leases["requests_per_minute"].held == 60.0
