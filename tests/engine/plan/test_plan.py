"""The plan's arithmetic: tokens, dollars, caching, ranges, and time beyond what is rehearsed."""

import json
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest

from manystream import AnthropicModel, Estimate, InputError, Limits, Price, RunPlan, StreamRequest, plan_run
from manystream.engine.admission.prompt import Prefix, Prompt
from manystream.engine.plan.cacheable import Cached, Walk, least_cacheable
from manystream.engine.plan.duration import Needs, extrapolated, part_of, rehearsed_count, tightest
from manystream.engine.plan.outlook import refused_share
from manystream.engine.plan.past import Answer, PilotAnswer, Results
from manystream.engine.plan.planning import stock_of
from manystream.engine.plan.rehearsal import Part, rehearse
from manystream.engine.plan.service import ExpectedAnswer
from manystream.engine.prices import Prices

NAME = "claude-opus-5-5"
MODEL = AnthropicModel(NAME, defaults={"max_tokens": 1000})
PRICES = {NAME: Price(input=4, output=20)}
USUAL = {"claude-opus-5-5": Price(input=4, output=20), "claude-sonnet-4-5": Price(input=3, output=15)}
LONG = "word " * 4000  # 5,000 tokens by the engine's measure, and
WORDS = "x" * 3975  # with what stands around it 1,000


def requests(count: int, **params: Any) -> list[StreamRequest]:
    def one(number: int) -> StreamRequest:
        sent: Any = {"messages": [{"role": "user", "content": f"{number:04} {WORDS}"}], **params}
        return StreamRequest(sent, custom_id=str(number))

    return [one(number) for number in range(count)]


def answered(count: int, output: int = 200, **facts: Any) -> Results:
    usual: dict[str, Any] = {"input_tokens": 2000, "output_tokens": output, "ttft": 1.0, "seconds": 4.0}
    return Results("out", {str(n): Answer(succeeded=True, **{**usual, **facts}) for n in range(count)})


def plan(source: list[StreamRequest], results: Results | None = None, **options: Any) -> RunPlan:
    options = {"concurrency": 50, **options}
    return stock_of(MODEL, source).plan(results or Results("", exist=False), prices=Prices(PRICES), **options)


def test_without_answers_it_is_a_range() -> None:
    found = plan(requests(100))
    assert (found.requests, found.answered, found.answers) == (100, 0, 0)
    assert (found.input_from, found.input_tokens) == ("measured", pytest.approx(100_000, rel=0.01))
    assert found.output_tokens == Estimate(10_000, 100_000, None)  # 100 tokens, or max_tokens
    assert found.dollars is not None
    assert found.batch_dollars is not None
    assert (found.dollars.low, found.dollars.high) == pytest.approx((0.4 + 0.2, 0.4 + 2.0), rel=0.01)
    assert found.dollars.expected is None
    assert (found.batch_dollars.low, found.batch_dollars.high) == pytest.approx((0.3, 1.2), rel=0.01)
    assert found.most_dollars == pytest.approx(2.4, rel=0.01)
    assert found.seconds is not None
    assert found.seconds.low < found.seconds.high
    assert found.limits_from is None
    assert "100 to 4,000 tokens" in found.assumptions[0]


def test_answers_say_how_long_answers_are_and_how_large_prompts() -> None:
    found = plan(requests(130), answered(30))
    assert (found.requests, found.answered, found.answers) == (100, 30, 30)
    assert (found.input_from, found.input_tokens) == ("answers", pytest.approx(200_000, rel=0.01))
    assert found.output_tokens == Estimate(20_000, 20_000, 20_000)
    assert found.dollars is not None
    assert found.dollars.expected == pytest.approx(0.8 + 0.4)
    assert found.seconds is not None
    assert found.seconds.expected == pytest.approx(15.0, rel=0.2)  # 10, then 20, 40 and 30 of them, 5 seconds each
    assert found.assumptions == ()


def test_answers_that_differ_leave_a_range() -> None:
    answers = {str(n): Answer(succeeded=True, input_tokens=1000, output_tokens=100 + 20 * n) for n in range(30)}
    found = plan(requests(130), Results("out", answers)).output_tokens
    assert found.expected == pytest.approx(39_000)
    assert found.low == pytest.approx(39_000 - 100 * 2 * 176 / 30**0.5, rel=0.01)


def test_few_answers_and_those_that_ended_first_tell_nothing() -> None:
    assert plan(requests(50), answered(4)).answers == 0
    first_to_end = Results("out", {str(n): Answer(succeeded=True, output_tokens=5) for n in range(0, 50, 2)})
    found = plan(requests(50), first_to_end)
    assert (found.answers, found.requests) == (0, 25)
    assert "those that end first are the short ones" in found.assumptions[1]


def test_answers_whose_pace_nobody_noted() -> None:
    found = plan(requests(60), answered(30, ttft=None, seconds=None))
    assert found.assumptions == ("the first token comes after 1.5 seconds, then 60 a second",)


def test_every_request_may_have_a_max_tokens_of_its_own() -> None:
    random = Random(1)
    answers = {str(n): Answer(succeeded=True, input_tokens=1, output_tokens=random.randint(1, 500)) for n in range(100)}
    lengths = [answer.output_tokens for answer in answers.values()]
    source = [
        StreamRequest({"messages": [], "max_tokens": random.randint(1, 600)}, custom_id=str(n)) for n in range(400)
    ]
    limits = [one.params.get("max_tokens", 0) for one in source[100:]]
    found = plan(source, Results("out", answers)).output_tokens
    assert found.expected == pytest.approx(sum(fmean(min(one, most) for one in lengths) for most in limits))
    errors = [2 * stdev(min(one, most) for one in lengths) / 10 for most in limits]
    assert found.high - (found.expected or 0.0) == pytest.approx(sum(errors))


@pytest.mark.parametrize(
    ("answers", "attempts", "share"),
    [(30, 30, 0.0), (30, 31, 1 / 31), (300, 330, 1 / 11), (30, 300, 0.5)],
    ids=["none", "one", "many", "an outage"],
)
def test_the_share_of_attempts_that_fail(answers: int, attempts: int, share: float) -> None:
    item = stock_of(MODEL, requests(1)).items[0]
    each = [1] * (answers - 1) + [attempts - answers + 1]
    pilot = [PilotAnswer(item, Answer(succeeded=True, attempts=count)) for count in each]
    assert refused_share(pilot) == pytest.approx(share)


def test_attempts_that_fail_take_time() -> None:
    again = Results("out", {str(n): Answer(succeeded=True, output_tokens=200, attempts=1 + n % 2) for n in range(100)})
    once = Results("out", {str(n): Answer(succeeded=True, output_tokens=200) for n in range(100)})
    slow, fast = plan(requests(200), again).seconds, plan(requests(200), once).seconds
    assert slow is not None
    assert fast is not None
    assert slow.low > fast.low


def test_a_request_without_max_tokens_may_be_as_long_as_its_model_allows() -> None:
    (item,) = stock_of(AnthropicModel(NAME), requests(1)).items
    assert item.max_tokens == 128_000


def test_all_is_answered() -> None:
    found = plan(requests(10), answered(10))
    assert (found.requests, found.answered, found.seconds, found.limited_by) == (0, 10, None, None)
    assert found.dollars == Estimate(0.0, 0.0, 0.0)


def test_a_model_without_a_price() -> None:
    found = plan(requests(10, model="claude-nobody-0"))
    assert (found.dollars, found.batch_dollars, found.most_dollars) == (None, None, None)
    assert found.unpriced == ("claude-nobody-0",)
    both = plan([*requests(10), *requests(5, model="claude-nobody-0")])
    assert [(one.model, one.requests) for one in both.models] == [(NAME, 10), ("claude-nobody-0", 5)]
    assert both.dollars is not None
    assert both.unpriced == ("claude-nobody-0",)


def test_a_marked_prefix_is_written_once_and_read_by_the_others() -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    (one,) = plan(requests(50, system=system)).models
    assert one.input_tokens == pytest.approx(50 * 6000, rel=0.01)
    assert one.cache_write_tokens == pytest.approx(5000, rel=0.01)
    assert one.cache_read_tokens == pytest.approx(49 * 5000, rel=0.01)
    assert one.dollars is not None
    dollars = (50 * 1000 * 4 + 5000 * 5 + 49 * 5000 * 0.4) / 1e6
    assert one.dollars.low == pytest.approx(dollars + 50 * 100 * 20 / 1e6, rel=0.01)
    assert plan(requests(50, system=system)).caching is None


def test_what_is_read_from_the_cache_counts_against_no_limit() -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    limits = Limits(input_tokens_per_minute=100_000)
    assert plan(requests(50, system=system), limits=limits).limited_by == "concurrency"
    assert plan(requests(50, system=LONG), limits=limits).limited_by == "input_tokens_per_minute"


def test_the_last_four_marks_of_a_request_count() -> None:
    marks = [Prefix(bytes([number]), 1000 * number, 300.0) for number in range(1, 6)]
    walk = Walk()
    assert walk.take(marks) == Cached(read=0, written=5000)
    assert walk.take(marks[:1]) == Cached(read=0, written=1000)
    assert walk.take(marks[1:3]) == Cached(read=3000, written=0)


def test_what_is_cached_for_an_hour_costs_more_to_write() -> None:
    def dollars(ttl: str) -> float:
        system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
        (one,) = plan(requests(50, system=system)).models
        assert one.dollars is not None
        return one.dollars.low

    assert dollars("1h") - dollars("5m") == pytest.approx(5000 * 4 * (2 - 1.25) / 1e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "params", "dearer"),
    [("claude-opus-5-5", {"speed": "fast"}, 2.0), ("claude-sonnet-4-5", {"system": LONG * 50}, 2.0)],
)
def test_fast_mode_and_long_prompts_cost_more(name: str, params: dict[str, Any], dearer: float) -> None:
    """By the public prices: those that a caller gives are the same for every request."""
    source = requests(1, model=name, **params)
    mine = stock_of(MODEL, source).plan(Results("", exist=False), prices=Prices({name: USUAL[name]}), concurrency=1)
    public = stock_of(MODEL, source).plan(Results("", exist=False), prices=Prices(), concurrency=1)
    assert mine.dollars is not None
    assert public.dollars is not None
    assert public.dollars.low == pytest.approx(dearer * mine.dollars.low, rel=0.01)


def test_what_caching_would_save() -> None:
    saving = plan(requests(50, system=LONG)).caching
    assert saving is not None
    assert saving.requests == 49
    assert saving.tokens == pytest.approx(49 * 5000, rel=0.01)
    assert saving.dollars == pytest.approx((49 * 5000 * (4 - 0.4) - 5000 * 1) / 1e6, rel=0.01)


def test_what_nobody_shares_or_is_too_short_saves_nothing() -> None:
    def alone(number: int) -> StreamRequest:
        return StreamRequest({"messages": [{"role": "user", "content": f"{number} {LONG}"}]}, custom_id=str(number))

    assert plan([alone(number) for number in range(20)]).caching is None
    assert plan(requests(20, system="word " * 500, messages=[{"role": "user", "content": "hi"}])).caching is None


def test_a_pilot_in_which_nothing_was_cached_says_that_nothing_will_be() -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    (one,) = plan(requests(60, system=system), answered(10)).models
    assert one.cache_read_tokens == 0
    (one,) = plan(requests(60, system=system), answered(10, cached_tokens=1500)).models
    assert one.cache_read_tokens > 0


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("claude-opus-5-5", 512),
        ("claude-sonnet-5", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-haiku-4-5-20251001", 4096),
        ("us.anthropic.claude-opus-4-5-v1:0", 4096),
        ("nobody", 1024),
    ],
)
def test_the_least_that_is_cached(name: str, least: int) -> None:
    assert least_cacheable(name) == least


def test_limits_given_by_hand_come_before_those_that_were_learnt() -> None:
    results = Results("out", {}, {NAME: Limits(requests_per_minute=7)})
    learnt = plan(requests(20), results)
    assert (learnt.limits_from, learnt.limits) == ("learnt", {NAME: Limits(requests_per_minute=7)})
    assert learnt.limited_by == "requests_per_minute"
    assert learnt.seconds is not None
    assert learnt.seconds.low == pytest.approx(13 / 7 * 60, rel=0.15)
    given = plan(requests(20), results, limits=Limits(requests_per_minute=700))
    assert (given.limits_from, given.limited_by) == ("given", "concurrency")
    named = plan(requests(20), results, limits={NAME: Limits(output_tokens_per_minute=100)})
    assert named.limited_by == "output_tokens_per_minute"


def test_the_plan_as_json() -> None:
    data = json.loads(json.dumps(plan(requests(20), answered(10), limits=Limits(requests_per_minute=60)).to_dict()))
    assert data["requests"] == 10
    assert data["dollars"]["expected"] == pytest.approx(0.12)
    assert data["models"][0]["model"] == NAME
    assert data["limits"][NAME]["requests_per_minute"] == 60
    assert (data["answers"], data["caching"], data["unpriced"]) == (10, None, [])


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(10)))
    found = plan_run(MODEL, path, tmp_path / "out.jsonl", prices=PRICES, limit=4, limits=Limits(requests_per_minute=60))
    assert found.requests == 4
    assert not (tmp_path / "out.jsonl").exists()
    with pytest.raises(ValueError, match="limit is at least 1"):
        plan_run(MODEL, path, limit=0)
    path.write_text('{"prompts": 1}\n')
    with pytest.raises(InputError):
        plan_run(MODEL, path)


# -- time


def test_which_requests_are_rehearsed() -> None:
    assert rehearsed_count(500, 50) == 500
    assert rehearsed_count(50_000, 50) == 2000
    assert rehearsed_count(50_000, 1000) == 6000
    assert part_of(10, 10) == range(10)
    numbers = part_of(50_000, 2000)
    assert len(set(numbers)) == 2000
    assert (numbers[0], numbers[1], numbers[-1]) == (0, 1, 49_999)


def test_the_tightest_limit() -> None:
    needs = {"p": Needs(requests_per_minute=0.5, input_tokens_per_minute=300, output_tokens_per_minute=100)}
    limits = {"p": Limits(requests_per_minute=100, output_tokens_per_minute=10_000), "q": Limits(requests_per_minute=1)}
    found = tightest(limits, needs)
    assert found is not None
    assert (found.pool, found.reason, found.a_minute) == ("p", "output_tokens_per_minute", 100.0)
    assert tightest({}, needs) is None


@pytest.mark.parametrize(
    ("limits", "concurrency"),
    [
        pytest.param(Limits(), 50, marks=pytest.mark.slow),
        pytest.param(Limits(requests_per_minute=600), 100, marks=pytest.mark.slow),
        (Limits(requests_per_minute=1000), 150),  # the full bucket lasts for longer than the rehearsal
        (Limits(output_tokens_per_minute=100_000), 150),
    ],
)
def test_a_part_tells_how_long_all_will_take(limits: Limits, concurrency: int) -> None:
    random = Random(1)

    def part() -> Part:
        output = random.randint(75, 300)
        answer = ExpectedAnswer(
            pool="p", input_tokens=100, output_tokens=output, ttft=random.uniform(0.5, 1.5), seconds=output / 30
        )
        return Part(model_name=NAME, prompt=Prompt(100), max_tokens=300, answer=answer)

    parts = [part() for _ in range(3000)]
    truth = rehearse(parts, concurrency=concurrency, limits={"p": limits}).seconds
    some = [parts[number] for number in part_of(3000, 1200)]
    rehearsal = rehearse(some, concurrency=concurrency, limits={"p": limits}, empty_at=600)
    needs = Needs(requests_per_minute=1, input_tokens_per_minute=100, output_tokens_per_minute=187.5)
    estimate = extrapolated(
        3000, rehearsal, concurrency=concurrency, latency=7.25, limit=tightest({"p": limits}, {"p": needs})
    )
    assert estimate == pytest.approx(truth, rel=0.05)
