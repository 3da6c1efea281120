"""Who is admitted, when, and in what order: admission as plain objects, on a clock that the test moves."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from manystream import EngineBusy, ErrorInfo, Group, Limits
from manystream.actors import Usage
from manystream.engine.admission import Admission, Ticket
from manystream.engine.admission.pool import is_overload
from manystream.engine.admission.prompt import Prefix, Prompt
from manystream.engine.prices import Price, Prices

PRICES = Prices({"m": Price(1.0, 10.0)})
OVERLOADED = ErrorInfo("overloaded_error", "Overloaded", 529, retryable=True)


def limits(**figures: tuple[int, int]) -> dict[str, str]:
    """Rate-limit headers: `requests=(limit, remaining)` …"""
    headers: dict[str, str] = {}
    for name, (limit, remaining) in figures.items():
        headers[f"anthropic-ratelimit-{name.replace('_', '-')}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{name.replace('_', '-')}-remaining"] = str(remaining)
    return headers


class Desk:
    """Admission with a clock in the test's hand. Tickets are named; `running` are the names of those admitted."""

    def __init__(self, max_concurrency: int = 100, **options: Any) -> None:
        self.now = 0.0
        self.woken = 0
        self.running: list[str] = []
        self.turned_away: dict[str, str] = {}
        self.tickets: dict[str, Ticket] = {}
        self.admission = Admission(max_concurrency, clock=lambda: self.now, woken=self._wake, prices=PRICES, **options)

    def _wake(self) -> None:
        self.woken += 1

    def enter(self, *names: str, tokens: int = 10, prefixes: tuple[Prefix, ...] = (), **facts: Any) -> None:
        for name in names:
            self._enter(name, Prompt(tokens, prefixes), facts)

    def _enter(self, name: str, prompt: Prompt, facts: dict[str, Any]) -> None:
        facts = {"pool": self.admission.pool("p", "p"), "model_name": "m", "max_tokens": 100} | facts
        ticket = self.tickets[name] = Ticket(
            prompt=prompt,
            custom_id=name,
            admitted=lambda: self.running.append(name),
            turned_away=lambda why: self.turned_away.update({name: why}),
            **facts,
        )
        self.admission.enter(ticket)

    def accept(self, *names: str, **headers: tuple[int, int]) -> None:
        for name in names:
            self.admission.accepted(self.tickets[name], limits(**headers))

    def refuse(self, *names: str, info: ErrorInfo = OVERLOADED) -> None:
        """The API refuses, and the attempt is over."""
        for name in names:
            self.admission.refused(self.tickets[name], info)
            self.leave(name)

    def leave(self, *names: str, usage: Usage | None = None, **facts: bool) -> None:
        for name in names:
            if name in self.running:
                self.running.remove(name)
            self.admission.leave(self.tickets[name], usage, **facts)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.admission.admit()

    def pass_time(self, seconds: float) -> list[tuple[float, str]]:
        """Lets time pass from one moment at which something is due to the next; says who was admitted when."""
        end, seen, admitted = self.now + seconds, len(self.running), list[tuple[float, str]]()
        while self.admission.due <= end:
            self.now = max(self.now, self.admission.due) + 1e-6
            self.admission.admit()
            admitted += [(round(self.now, 3), name) for name in self.running[seen:]]
            seen = len(self.running)
        self.now = end
        return admitted

    def waits(self) -> dict[str | None, str]:
        return {ticket.custom_id: reason for ticket, (reason, _) in self.admission.waits()}


def names(count: int, prefix: str = "r") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def grown(desk: Desk, size: int) -> None:
    """Lets the desk learn that so many at a time are borne, and empties it."""
    every = names(size * 2, "grow")
    desk.enter(*every)
    while len(desk.running) < size:
        desk.accept(*(name for name in desk.running if desk.tickets[name].sending is not None))
    desk.leave(*every)
    assert not desk.running


# -- order


def test_first_come_first_served_below_the_cap() -> None:
    desk = Desk(2)
    desk.enter("a", "b", "c", "d")
    assert desk.running == ["a", "b"]
    assert desk.waits() == {"c": "concurrency", "d": "concurrency"}
    desk.leave("b")
    assert desk.running == ["a", "c"]
    desk.leave("d")  # it waits no more
    desk.leave("a", "a")
    assert desk.running == ["c"]
    assert (desk.admission.running, desk.admission.waiting) == (1, 0)


def test_higher_priority_first_then_age() -> None:
    desk = Desk(1)
    desk.enter("first")
    desk.enter("low", priority=-1)
    desk.enter("a", "b")
    desk.enter("high", priority=5)
    order = list[str]()
    while desk.running:
        order += desk.running
        desk.leave(*desk.running)
    assert order == ["first", "high", "a", "b", "low"]


def test_groups_take_turns_by_weight() -> None:
    desk = Desk(1, groups={"heavy": Group(weight=3)})
    desk.enter("first")
    desk.enter(*names(40, "heavy"), group="heavy")
    desk.enter(*names(40, "light"), group="light")
    order = list[str]()
    for _ in range(40):
        desk.leave(*desk.running)
        order += desk.running
    heavy = [name.startswith("heavy") for name in order]
    assert sum(heavy) == 30
    for begin in range(0, 36, 4):
        assert 2 <= sum(heavy[begin : begin + 4]) <= 4  # in turns, not one after the other


def test_a_group_that_rested_has_no_claim_on_the_turns_it_missed() -> None:
    desk = Desk(1)
    desk.enter(*names(20, "busy"), group="busy")
    for _ in range(10):
        desk.leave(*desk.running)
    desk.enter(*names(10, "late"), group="late")
    order = list[str]()
    for _ in range(6):
        desk.leave(*desk.running)
        order += [name.rstrip("0123456789") for name in desk.running]
    assert order.count("late") == 3


def test_a_group_that_runs_one_long_stream_saves_no_turns_for_later() -> None:
    desk = Desk(2)
    desk.enter("long", group="few")
    for number in range(100):
        desk.enter(f"one{number}", group="many")
        desk.leave(f"one{number}")
    desk.enter("holds")
    desk.enter(*names(20, "many"), group="many")
    desk.enter(*names(20, "few"), group="few")
    desk.leave("holds")
    order = list[str]()
    for _ in range(20):
        [current] = [name for name in desk.running if name != "long"]
        order.append(current)
        desk.leave(current)
    assert 8 <= sum(name.startswith("few") for name in order) <= 12


def test_a_group_runs_no_more_than_its_own_limit() -> None:
    desk = Desk(10, groups={"g": Group(max_concurrency=2)})
    desk.enter("a", "b", "c", group="g")
    desk.enter("other")
    assert desk.running == ["a", "b", "other"]
    assert desk.waits() == {"c": "group"}
    desk.leave("a")
    assert desk.running == ["b", "other", "c"]


def test_a_full_queue_is_refused() -> None:
    desk = Desk(1, max_queued=1)
    desk.admission.check_room()
    desk.enter("a", "b")
    with pytest.raises(EngineBusy, match="1 requests are waiting"):
        desk.admission.check_room()
    desk.leave("b")
    desk.admission.check_room()


def test_without_a_queue_a_request_is_welcome_while_it_can_run_at_once() -> None:
    desk = Desk(1, max_queued=0)
    desk.admission.check_room()
    desk.enter("a")
    with pytest.raises(EngineBusy):
        desk.admission.check_room()
    desk.leave("a")
    desk.admission.check_room()


def test_without_a_queue_one_request_may_wait_for_a_limit() -> None:
    desk = Desk(100, max_queued=0, limits=Limits(requests_per_minute=1))
    desk.enter("a")
    desk.admission.check_room()
    desk.enter("b")
    assert desk.waits() == {"b": "requests_per_minute"}
    with pytest.raises(EngineBusy):
        desk.admission.check_room()


def test_requests_that_end_as_soon_as_they_are_admitted_do_not_pile_up_calls() -> None:
    desk = Desk(1)
    desk.enter("holds", *names(1_000))
    for name in names(1_000):
        desk.tickets[name].admitted = lambda name=name: desk.leave(name)
    desk.leave("holds")
    assert (desk.admission.running, desk.admission.waiting) == (0, 0)


# -- limits


def test_a_limit_set_by_hand_spaces_requests() -> None:
    desk = Desk(100, limits={"p": Limits(requests_per_minute=6)})
    desk.enter(*names(8))
    assert len(desk.running) == 6
    assert desk.waits() == {"r6": "requests_per_minute", "r7": "requests_per_minute"}
    assert desk.admission.due == pytest.approx(10)
    assert desk.pass_time(60) == [(pytest.approx(10, abs=0.01), "r6"), (pytest.approx(20, abs=0.01), "r7")]


def test_a_limit_is_learnt_from_the_headers() -> None:
    desk = Desk(100)
    desk.enter(*names(20))
    assert len(desk.running) == 10  # it starts low
    desk.accept("r0", requests=(60, 12))
    # Twelve are left, by the word of a response that may not have seen the nine others that are on their way.
    assert len(desk.running) == 13
    desk.accept(*names(13)[1:], requests=(60, 0))
    assert set(desk.waits().values()) == {"requests_per_minute"}
    assert [moment for moment, _ in desk.pass_time(3)] == pytest.approx([1, 2, 3], abs=0.02)


def test_fast_mode_has_limits_of_its_own() -> None:
    desk = Desk(100)
    fast = desk.admission.pool("p", "p", fast=True)
    assert desk.admission.pool("p", "p") is not fast
    desk.enter("a", pool=fast)
    headers = {
        "anthropic-fast-output-tokens-limit": "60000",
        "anthropic-fast-output-tokens-remaining": "0",
        "anthropic-ratelimit-requests-limit": "60",  # those of the other pool
        "anthropic-ratelimit-requests-remaining": "0",
    }
    desk.admission.accepted(desk.tickets["a"], headers)
    desk.enter("b", pool=fast)
    desk.enter("c")
    assert desk.running == ["a", "c"]
    assert desk.waits() == {"b": "output_tokens_per_minute"}
    assert [pool.name for pool in desk.admission.pools] == ["p (fast)", "p"]


def test_a_spend_limit_slows_nothing_down() -> None:
    """It is a 429, but fewer requests would be refused as well."""
    spent = ErrorInfo("rate_limit_error", "", 429, code="contract_spend_limit_reached")
    assert not is_overload(spent)
    desk = Desk(100)
    for name in names(10):
        desk.enter(name)
        desk.refuse(name, info=spent)
    desk.enter("next")
    assert desk.running == ["next"]


def test_others_on_the_same_limit_are_noticed() -> None:
    desk = Desk(100, limits={"p": Limits(requests_per_minute=60)})
    desk.enter("a")
    desk.accept("a", requests=(60, 2))
    desk.enter(*names(5))
    assert desk.running == ["a", "r0", "r1"]


def test_a_limit_set_by_hand_is_not_raised_by_headers() -> None:
    desk = Desk(100, limits=Limits(requests_per_minute=2))
    desk.enter("a")
    desk.accept("a", requests=(1000, 999))
    desk.enter(*names(5))
    assert desk.running == ["a", "r0"]


@pytest.mark.parametrize(("now_a_minute", "apart"), [(120, 0.5), (30, 2.0)])
def test_a_learnt_limit_that_changes_in_mid_run_is_followed(now_a_minute: int, apart: float) -> None:
    desk = Desk(100)
    grown(desk, 20)
    desk.enter("a")
    desk.accept("a", requests=(60, 0))
    desk.enter(*names(6))
    assert desk.running == ["a"]
    assert [moment for moment, _ in desk.pass_time(2.5)] == pytest.approx([1, 2], abs=0.02)
    desk.accept("r0", requests=(now_a_minute, 0))  # somebody has moved to another tier
    moments = [moment for moment, _ in desk.pass_time(3 * apart)]
    assert len(moments) == 3
    assert [later - earlier for earlier, later in pairwise(moments)] == pytest.approx([apart] * 2, abs=0.02)
    [pool] = desk.admission.pools
    assert pool.buckets["requests_per_minute"].capacity == now_a_minute


def test_output_is_reserved_by_what_was_learnt_and_settled_by_what_was_used() -> None:
    desk = Desk(100)
    desk.enter("a", max_tokens=5000)
    desk.accept("a", output_tokens=(6000, 6000))
    desk.leave("a", usage=Usage(output_tokens=2000), whole=True)
    desk.enter(*names(5), max_tokens=5000)
    assert desk.running == ["r0", "r1"]  # 4,000 are left, and each is thought to take 2,000
    assert set(desk.waits().values()) == {"output_tokens_per_minute"}
    desk.leave("r0", usage=Usage(output_tokens=0))  # cancelled: what it did not use is free again
    assert desk.running == ["r1", "r2"]


def test_only_uncached_input_counts() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=10_000))
    prefix = Prefix(b"k", 8_000, 300)
    desk.enter("lead", tokens=8_100, prefixes=(prefix,))
    desk.accept("lead")
    desk.admission.began(desk.tickets["lead"], Usage(input_tokens=100, cache_creation_input_tokens=8_000))
    desk.enter(*names(6), tokens=8_100, prefixes=(prefix,))
    assert len(desk.running) == 7


def test_input_that_was_not_used_makes_room_when_the_answer_begins() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=1_000))
    desk.enter("a", tokens=1_000)
    desk.enter("b", tokens=500)
    desk.accept("a")
    assert desk.running == ["a"]
    desk.admission.began(desk.tickets["a"], Usage(input_tokens=10))
    assert desk.running == ["a", "b"]


def test_a_prompt_that_the_api_does_not_cache_is_neither_waited_for_nor_counted_as_read() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=100_000))
    prefix = Prefix(b"k", 2_000, 300)
    for name in names(20):
        desk.enter(name, tokens=2_010, prefixes=(prefix,))
        desk.accept(name)
        desk.admission.began(desk.tickets[name], Usage(input_tokens=2_010))
    [pool] = desk.admission.pools
    assert pool.estimates(None, "m").input(20_000) == pytest.approx(20_000)
    assert pool.buckets["input_tokens_per_minute"].level == pytest.approx(100_000 - 20 * 2_010)


def test_what_the_api_never_caches_is_reserved_whole() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=10_000))
    prefix = Prefix(b"k", 2_000, 300)
    desk.enter("a", tokens=2_000, prefixes=(prefix,))
    desk.accept("a")
    desk.admission.began(desk.tickets["a"], Usage(input_tokens=2_000))  # nothing written, nothing read
    desk.enter(*names(6), tokens=2_000, prefixes=(prefix,))
    assert desk.running == ["a", "r0", "r1", "r2", "r3"]
    assert set(desk.waits().values()) == {"input_tokens_per_minute"}


def test_who_is_larger_than_the_bucket_goes_when_it_is_full() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=600))
    desk.enter("small", tokens=60)
    desk.enter("huge", tokens=5_000)
    desk.enter("tiny", tokens=1)
    assert desk.running == ["small"]  # and the tiny one does not take what the huge one waits for
    assert [name for _, name in desk.pass_time(7)] == ["huge"]


def test_small_requests_of_another_group_do_not_take_what_a_large_one_waits_for() -> None:
    desk = Desk(100, limits=Limits(input_tokens_per_minute=600))
    desk.enter("small", tokens=60)
    desk.enter("huge", tokens=5_000, group="a")
    desk.enter("tiny", tokens=1, group="b")
    assert desk.running == ["small"]
    assert desk.waits() == {"huge": "input_tokens_per_minute", "tiny": "input_tokens_per_minute"}
    desk.enter("elsewhere", tokens=1, group="b", pool=desk.admission.pool("q", "q"))
    assert desk.running == ["small", "elsewhere"]
    assert [name for _, name in desk.pass_time(7)] == ["huge"]


def test_a_refusal_for_an_empty_bucket_pauses_and_costs_no_concurrency() -> None:
    desk = Desk(100)
    grown(desk, 40)
    size = desk.admission.pools[0].throttle.window.size
    desk.enter("a", "b", "c")
    empty = ErrorInfo(
        "rate_limit_error", "slow", 429, retryable=True, retry_after=7, rate_limits=limits(requests=(60, 0))
    )
    desk.refuse("a", "b", "c", info=empty)
    desk.enter("d")
    assert desk.waits() == {"d": "pause"}
    assert desk.pass_time(8) == [(pytest.approx(7, abs=0.01), "d")]
    assert desk.admission.pools[0].throttle.window.size == size


def test_a_burst_that_the_headers_allowed_and_the_api_did_not_is_made_smaller() -> None:
    desk = Desk(100)
    desk.enter("a")
    desk.accept("a", requests=(60, 59))
    desk.enter("b")
    room = ErrorInfo(
        "rate_limit_error", "slow", 429, retryable=True, retry_after=1, rate_limits=limits(requests=(60, 50))
    )
    desk.refuse("b", info=room)
    desk.enter(*names(4))
    gaps = [moment for moment, _ in desk.pass_time(4)]
    assert gaps == pytest.approx([1, 2, 3, 4], abs=0.05)


def test_two_pools_share_nothing() -> None:
    desk = Desk(100)
    desk.enter("a")
    desk.accept("a", requests=(60, 0))
    desk.enter("b")
    desk.enter("c", pool=desk.admission.pool("q", "q"))
    assert desk.running == ["a", "c"]


# -- concurrency that adapts


def test_it_starts_low_and_doubles_while_clean() -> None:
    desk = Desk(1000)
    desk.enter(*names(500))
    sizes = [len(desk.running)]
    for _ in range(4):
        desk.accept(*(name for name in list(desk.running) if desk.tickets[name].sending is not None))
        sizes.append(len(desk.running))
    assert sizes == [10, 20, 40, 80, 160]


def test_long_streams_that_were_all_taken_on_before_anybody_waited_let_it_grow_too() -> None:
    desk = Desk(1000)
    for name in names(10):
        desk.enter(name)
        desk.accept(name)
    desk.enter(*names(400, "late"))
    while new := [name for name in desk.running if desk.tickets[name].sending is not None]:
        desk.accept(*new)
    assert len(desk.running) == 410


def test_it_does_not_grow_while_under_used() -> None:
    desk = Desk(1000)
    for name in names(200):
        desk.enter(name)
        desk.accept(name)
        desk.leave(name)
    assert desk.admission.pools[0].throttle.window.size == 10


def rounds(desk: Desk, refuses: Callable[[int, int], bool], count: int = 8) -> None:
    """Rounds in which as many are sent as may run. `refuses` is asked with the place of each, and how many there are.
    Those refused end before the others are accepted, and each round's answers end it."""
    for number in range(count):
        size = int(desk.admission.pool("p", "p").throttle.window.size)
        desk.enter(*names(size + 1, f"round{number}-"))
        sent = list(desk.running)
        for place, name in enumerate(sent):
            if refuses(place, len(sent)):
                desk.refuse(name)
        accepted = [name for name in desk.running if desk.tickets[name].sending is not None]
        desk.accept(*accepted)
        for name in list(desk.tickets):
            if desk.tickets[name].state != "done":
                desk.leave(name)


@pytest.mark.parametrize("bears", [20, 30, 38])
def test_it_shrinks_where_fewer_are_refused_when_fewer_run(bears: int) -> None:
    desk = Desk(40)
    grown(desk, 40)
    window = desk.admission.pools[0].throttle.window
    rounds(desk, lambda place, sent: place >= bears and place % 2 == 0, 40)
    assert 0.7 * bears < window.size < 1.3 * bears


@pytest.mark.parametrize("one_in", [3, 5, 10, 20])
def test_refusals_by_chance_do_not_shrink_it_for_good(one_in: int) -> None:
    desk = Desk(200)
    rounds(desk, lambda place, sent: place % one_in == 1, 60)
    assert desk.admission.pools[0].throttle.window.size > 150


def test_an_answer_that_is_broken_off_by_an_overload_counts_as_a_refusal() -> None:
    desk = Desk(1000)
    grown(desk, 40)
    window = desk.admission.pools[0].throttle.window
    desk.enter(*names(20))
    desk.accept(*names(20))
    before = window.size
    desk.leave(*names(12), overloaded=True)
    desk.enter("next")
    desk.accept("next")
    assert window.size < before


def test_an_overload_in_place_of_an_answer_counts_once() -> None:
    desk = Desk(1000)
    desk.enter(*names(11))
    desk.admission.refused(desk.tickets["r0"], OVERLOADED)
    desk.admission.refused(desk.tickets["r1"], OVERLOADED)
    for name in ("r0", "r1"):
        desk.leave(name, overloaded=True)
    desk.accept("r5")
    window = desk.admission.pools[0].throttle.window
    assert window.size == 20  # a fifth is not many


def test_a_single_refusal_among_many_costs_nothing() -> None:
    desk = Desk(1000)
    grown(desk, 80)
    window = desk.admission.pools[0].throttle.window
    before = window.size
    desk.enter(*names(400))
    desk.refuse(desk.running[0])
    desk.accept(*(name for name in list(desk.running) if desk.tickets[name].sending is not None))
    assert window.size >= before


def test_an_outage_is_met_with_one_request_at_a_time() -> None:
    desk = Desk(100)
    grown(desk, 60)
    desk.enter(*names(200))
    while desk.running:
        desk.refuse(*list(desk.running))
    tries = 0
    end = desk.now + 60
    while desk.now < end:
        desk.pass_time(0.1)
        if desk.running:
            assert len(desk.running) == 1
            tries += 1
            desk.refuse(*list(desk.running))
    assert 7 <= tries <= 14  # at growing distances, up to eight seconds
    desk.pass_time(10)
    desk.accept(*desk.running)
    assert len(desk.running) >= 10  # it is back
    for _ in range(4):
        desk.accept(*(name for name in list(desk.running) if desk.tickets[name].sending is not None))
    assert len(desk.running) > 50


def test_bad_requests_say_nothing_about_the_service() -> None:
    desk = Desk(100)
    every = names(30)
    desk.enter(*every)
    for name in every:
        desk.refuse(name, info=ErrorInfo("invalid_request_error", "no", 400))
    assert desk.admission.pools[0].throttle.window.size >= 10
    assert not desk.admission.pools[0].throttle.window.out


def test_a_ramp_limit_sets_the_pace_at_which_it_was_kept() -> None:
    desk = Desk(100)
    ramp = ErrorInfo("rate_limit_error", "slower", 429, retryable=True, code="ramp_limit_exceeded")
    for second in range(20):
        desk.now = float(second)
        for name in (f"{second}a", f"{second}b"):
            desk.enter(name)
            desk.accept(name)
            desk.leave(name)
    desk.enter("over")
    desk.refuse("over", info=ramp)
    desk.enter(*names(60))
    assert set(desk.waits().values()) == {"pace"}
    first = 0
    for _ in range(10):
        admitted = [name for _, name in desk.pass_time(1)]
        first += len(admitted)
        desk.accept(*admitted)
    assert 16 <= first <= 24  # two a second were accepted


def out_of_service() -> Desk:
    desk = Desk(100)
    desk.enter("a", "b", "c", "d")
    desk.refuse("a", "b", "c", "d")
    desk.enter(*names(20))
    [(_, probe)] = desk.pass_time(0.25)
    assert desk.running == [probe]
    return desk


def test_a_request_that_could_not_be_sent_says_nothing_about_an_outage() -> None:
    desk = out_of_service()
    desk.refuse(*desk.running, info=ErrorInfo("request_error", "no JSON"))
    assert len(desk.running) == 1  # the next one asks


def test_a_probe_without_an_answer_does_not_hold_the_others_for_ever() -> None:
    desk = out_of_service()
    assert len(desk.pass_time(9)) == 0
    assert len(desk.pass_time(2)) == 1


def limited(retry_after: float | None = None, **facts: Any) -> ErrorInfo:
    return ErrorInfo("rate_limit_error", "slow", 429, retryable=True, retry_after=retry_after, **facts)


@pytest.mark.parametrize("status", [429, 503, 529])
def test_who_asks_for_more_than_a_minute_is_believed_at_once(status: int) -> None:
    desk = Desk(100)
    desk.enter("a", "b")
    desk.refuse("a", info=ErrorInfo("any_error", "later", status, retryable=True, retry_after=3600))
    desk.accept("b")  # it was sent before
    desk.enter("c")
    assert desk.waits() == {"c": "pause"}
    assert desk.pass_time(3601) == [(pytest.approx(3600, abs=0.1), "c")]


def test_one_refusal_without_headers_pauses_nobody_else() -> None:
    desk = Desk(100)
    desk.enter("a", "b")
    desk.refuse("a", info=limited(retry_after=30))
    desk.accept("b")
    desk.enter("c")
    assert desk.running == ["b", "c"]


def test_a_row_of_refusals_pauses_the_pool_for_as_long_as_was_asked() -> None:
    desk = Desk(100)
    desk.enter("a", "b", "c")
    desk.refuse("a", "b", "c", info=limited(retry_after=30))
    desk.enter("d", "e")
    assert desk.waits() == {"d": "pause", "e": "pause"}
    assert desk.pass_time(31) == [(pytest.approx(30, abs=0.1), "d")]
    desk.accept("d")
    assert desk.running == ["d", "e"]


# -- retries


def test_retries_share_a_budget_that_successes_refill() -> None:
    desk = Desk(20)
    every = names(40)
    desk.enter(*every, attempt=2)
    admitted = 0
    for _ in range(10):
        running = list(desk.running)
        admitted += len(running)
        for name in running:  # each is refused for reasons of its own
            desk.refuse(name, info=ErrorInfo("api_error", "broken", 500, retryable=True))
    assert admitted == 10
    assert set(desk.waits().values()) == {"retry_budget"}
    desk.enter("fresh")
    assert desk.running == ["fresh"]  # who was never tried does not wait for it
    desk.leave("fresh")
    assert [round(moment) for moment, _ in desk.pass_time(3.5)] == [1, 2, 3]


def test_a_retry_keeps_the_place_of_its_request_in_the_order_of_submission() -> None:
    desk = Desk(2)
    desk.enter("a", "b", "c", "d")
    desk.leave("a", "b")
    for name in ("b", "a"):
        desk.admission.enter(desk.tickets[name].again())
    desk.leave("c")
    assert desk.running == ["d", "a"]
    desk.leave("d")
    assert desk.running == ["a", "b"]


def test_an_accepted_request_pays_for_one_retry() -> None:
    desk = Desk(20)
    desk.enter(*names(12), attempt=2)
    desk.leave(*names(10))  # they have used up the budget
    assert desk.waits() == {"r10": "retry_budget", "r11": "retry_budget"}
    desk.enter("a", "b")
    assert desk.running == ["a", "b"]
    desk.accept("b")
    assert desk.running == ["a", "b", "r10"]


def test_while_the_service_is_out_it_is_asked_by_those_not_refused_yet() -> None:
    desk = Desk(100)
    desk.enter("old", "older", attempt=2)
    desk.enter("a", "b", "c")
    desk.refuse("a", "b", "c", "old", "older")
    desk.enter("again", attempt=2)
    desk.enter("fresh")
    assert [name for _, name in desk.pass_time(3)] == ["fresh"]


# -- the prompt cache

LONG = Prefix(b"long", 5_000, 300)


def test_one_leads_and_the_rest_follow_when_its_answer_begins() -> None:
    desk = Desk(100)
    desk.enter(*names(10), tokens=5_100, prefixes=(LONG,))
    desk.enter("other")
    assert desk.running == ["r0", "other"]
    assert set(desk.waits().values()) == {"cache"}
    desk.accept("r0")
    assert len(desk.running) == 2  # the head of a response is not its beginning
    desk.admission.began(desk.tickets["r0"], Usage())
    assert len(desk.running) == 11
    assert not desk.waits()


def test_when_the_leader_fails_another_leads() -> None:
    desk = Desk(100)
    desk.enter("a", "b", "c", tokens=5_100, prefixes=(LONG,))
    desk.leave("b")
    desk.leave("a")
    assert desk.running == ["c"]
    desk.enter("d", tokens=5_100, prefixes=(LONG,))
    assert desk.waits() == {"d": "cache"}
    desk.admission.began(desk.tickets["c"], Usage())
    assert desk.running == ["c", "d"]


def test_a_leader_that_stalls_is_not_waited_for_for_ever() -> None:
    desk = Desk(100)
    desk.enter("a", "b", tokens=5_100, prefixes=(LONG,))
    assert desk.running == ["a"]
    assert desk.pass_time(31) == [(pytest.approx(30, abs=0.1), "b")]


def test_a_prefix_is_forgotten_when_the_api_forgets_it() -> None:
    desk = Desk(100)
    desk.enter("a", tokens=5_100, prefixes=(LONG,))
    desk.admission.began(desk.tickets["a"], Usage())
    desk.now = 299
    desk.enter("b", tokens=5_100, prefixes=(LONG,))  # its use keeps it
    desk.now = 590
    desk.enter("c", tokens=5_100, prefixes=(LONG,))
    desk.now = 900
    desk.enter("d", "e", tokens=5_100, prefixes=(LONG,))
    assert desk.running == ["a", "b", "c", "d"]


def test_who_shares_only_the_shorter_prefix_waits_for_that_alone() -> None:
    desk = Desk(100)
    longer = [Prefix(f"longer {number}".encode(), 6_000, 300) for number in range(3)]
    for number, own in enumerate(longer):
        desk.enter(f"r{number}", tokens=7_000, prefixes=(LONG, own))
    assert desk.running == ["r0"]
    desk.admission.began(desk.tickets["r0"], Usage())
    assert desk.running == ["r0", "r1", "r2"]


# -- dollars


def spend(desk: Desk, name: str, tokens: int) -> None:
    desk.leave(name, usage=Usage(output_tokens=tokens), whole=True)


def test_the_spend_cap_holds_back_what_could_go_beyond_it_and_turns_the_rest_away() -> None:
    desk = Desk(100, spend_cap=0.01)  # 1,000 output tokens
    desk.enter("a", "b", max_tokens=450)
    desk.enter("c", "d", max_tokens=450)
    assert desk.running == ["a", "b"]
    assert set(desk.waits().values()) == {"spend_cap"}
    spend(desk, "a", 100)  # cheaper than it might have been
    assert desk.running == ["b", "c", "d"]
    for name in ("b", "c", "d"):
        spend(desk, name, 300)
    desk.enter("e", max_tokens=10)
    desk.enter("f", max_tokens=450)
    desk.enter("g", max_tokens=1)
    assert set(desk.turned_away) == {"e", "f", "g"}
    assert "the spend cap is reached" in desk.turned_away["f"]
    assert not desk.waits()
    desk.leave("e", "f", "g")  # they have left already
    assert (desk.admission.running, desk.admission.waiting) == (0, 0)


def test_one_that_is_too_dear_does_not_close_the_cap_for_all() -> None:
    desk = Desk(100, spend_cap=0.01)
    desk.enter("huge", tokens=1_000_000)
    desk.enter("tiny", max_tokens=10)
    assert list(desk.turned_away) == ["huge"]
    assert desk.running == ["tiny"]


def test_a_groups_spend_cap_stops_that_group_alone() -> None:
    desk = Desk(100, groups={"g": Group(spend_cap=0.001)})
    desk.enter("a", group="g", max_tokens=90)
    spend(desk, "a", 200)
    desk.enter("b", group="g")
    desk.enter("c")
    assert list(desk.turned_away) == ["b"]
    assert "group 'g'" in desk.turned_away["b"]
    assert desk.running == ["c"]


def test_a_group_with_a_cap_is_not_forgotten_among_many_others() -> None:
    desk = Desk(100, groups={"g": Group(spend_cap=0.001, max_concurrency=1)})
    desk.enter("a", group="g", max_tokens=90)
    spend(desk, "a", 200)
    for number in range(3_000):  # such as the users of a service
        desk.enter("other", group=f"user {number}")
        desk.leave("other")
    desk.enter("b", group="g", max_tokens=90)
    assert list(desk.turned_away) == ["b"]


def test_a_group_that_runs_is_not_forgotten_among_many_others() -> None:
    desk = Desk(100)
    desk.enter("a", group="here")
    for number in range(3_000):
        desk.enter("other", group=f"user {number}")
        desk.leave("other")
    desk.leave("a")
    groups = desk.admission._groups  # pyright: ignore[reportPrivateUsage]
    assert len(groups) < 2_100
    assert groups["here"].running == 0


def test_a_group_that_waits_is_not_forgotten_and_takes_its_turns_as_one() -> None:
    desk = Desk(100)
    slow = desk.admission.pool("q", "q")
    empty = ErrorInfo(
        "rate_limit_error", "slow", 429, retryable=True, retry_after=1, rate_limits=limits(requests=(60, 0))
    )
    desk.enter("first", pool=slow)
    desk.refuse("first", info=empty)
    desk.enter(*names(10, "early"), group="here", pool=slow)
    for number in range(1_500):
        desk.enter("user", group=f"user {number}")
        desk.leave("user")
    desk.enter(*names(10, "late"), group="here", pool=slow)
    desk.enter(*names(10, "there"), group="there", pool=slow)
    order = [name for _, name in desk.pass_time(10.5)]
    assert len(order) == 10
    assert sum(name.startswith("there") for name in order) == 5


def test_idle_groups_are_forgotten_when_there_are_twice_the_busy_ones_and_a_thousand_and_not_sooner() -> None:
    desk = Desk(1000)
    slow = desk.admission.pool("q", "q")
    for number in range(100):
        desk.enter(f"r{number}", group=f"busy {number}", pool=slow)
    most = 0
    for number in range(3_000):
        desk.enter("user", group=f"user {number}")
        desk.leave("user")
        most = max(most, len(desk.admission._groups))  # pyright: ignore[reportPrivateUsage]
    assert most == 2 * 100 + 1_000


def test_a_spend_cap_needs_prices() -> None:
    with pytest.raises(ValueError, match="no price is known for 'claude-of-nobody'"):
        Desk(1, spend_cap=1.0).admission.check_price("claude-of-nobody", None)
    Desk(1).admission.check_price("claude-of-nobody", None)


def test_a_groups_spend_cap_needs_prices_for_that_group_alone() -> None:
    admission = Desk(1, groups={"g": Group(spend_cap=1.0), "free": Group()}).admission
    with pytest.raises(ValueError, match="no price is known for 'claude-of-nobody'"):
        admission.check_price("claude-of-nobody", "g")
    for group in ("free", "unknown", None):
        admission.check_price("claude-of-nobody", group)


# -- settings


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limits(requests_per_minute=0),
        lambda: Limits(output_tokens_per_minute=-1),
        lambda: Group(weight=0),
        lambda: Group(max_concurrency=0),
        lambda: Group(spend_cap=-1),
        lambda: Group(weight=math.inf),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is a (finite )?number"):
        make()


def test_nothing_is_due_once_the_last_one_that_waited_was_admitted() -> None:
    desk = Desk(100)
    desk.enter("a")
    assert desk.running == ["a"]
    assert desk.admission.due == math.inf


def test_nothing_is_due_when_nobody_waits() -> None:
    desk = Desk(2)
    assert desk.admission.due == math.inf
    desk.enter("a", "b", "c")
    assert desk.admission.due == math.inf  # time alone helps nobody here


def test_the_engine_is_woken_only_when_it_must_look_again_sooner_than_it_meant_to() -> None:
    desk = Desk(100, limits={"p": Limits(requests_per_minute=6)})
    desk.enter(*names(6))
    desk.later(0)
    before = desk.woken
    desk.enter("a")
    assert desk.admission.due == pytest.approx(10)
    assert desk.woken == before + 1
    desk.enter("b")  # it is behind the other
    assert len(desk.pass_time(11)) == 1
    assert desk.admission.due == pytest.approx(20, abs=0.01)  # later than it meant to
    assert desk.woken == before + 1
