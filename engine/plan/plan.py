"""The plan of a run: what is left to do, what it will use and cost, and how long it will take.

It is made from the input, from what an earlier run left, and from limits that are given, learnt or asked for. Nothing
is sent.
"""

from collections.abc import Mapping, Sequence
from random import Random
from statistics import fmean
from typing import Any, Literal, cast

import attrs

from ...actors.message import EMPTY
from ..admission import Limits, Reason
from ..prices import BATCH_PRICE, Prices
from .bill import Bill, bills, marked
from .duration import Needs, extrapolated, part_of, rehearsed_count, tightest
from .inventory import Item
from .outlook import ENOUGH, LONG, PACE, SHORT, Outlook, assumed, by_pilot, refused_share
from .past import PilotAnswer, Results
from .rehearsal import Part, rehearse
from .service import ExpectedAnswer

__all__ = ["CacheSaving", "Estimate", "LimitsFrom", "ModelPlan", "RunPlan", "draw_up"]

LimitsFrom = Literal["given", "learnt", "asked"]
_WORTH_TELLING = 0.01  # of the input's price
_BINDS = 0.8  # of the time, at least, that the tightest limit alone would take


@attrs.frozen
class Estimate:
    """A figure that is not known exactly."""

    low: float
    high: float
    expected: float | None = None
    """None when nothing says where between the two it is."""

    def __add__(self, other: "Estimate") -> "Estimate":
        both = None not in (self.expected, other.expected)
        expected = (self.expected or 0.0) + (other.expected or 0.0) if both else None
        return Estimate(self.low + other.low, self.high + other.high, expected)

    def times(self, factor: float) -> "Estimate":
        """So many times the figure."""
        expected = None if self.expected is None else self.expected * factor
        return Estimate(self.low * factor, self.high * factor, expected)


_NOTHING = Estimate(0.0, 0.0, 0.0)


@attrs.frozen(kw_only=True)
class ModelPlan:
    """The requests to one model."""

    model: str
    requests: int
    input_tokens: int
    """All of them, whether cached or not."""
    cache_read_tokens: int
    """Of those, what is read from the prompt cache, by the requests' own `cache_control`."""
    cache_write_tokens: int
    output_tokens: Estimate
    dollars: Estimate | None
    """At the usual price; None when the model's price is unknown."""
    most_dollars: float | None
    """If every answer were as long as its `max_tokens` allows."""


@attrs.frozen(kw_only=True)
class CacheSaving:
    """What it would save to mark the prefixes of the prompts that requests share (`cache_control`)."""

    requests: int
    """Those that would read something from the cache."""
    tokens: int
    """What they would read, together."""
    dollars: float


@attrs.frozen(kw_only=True)
class RunPlan:
    """What is left of a run. A plan is an estimate; `assumptions` say what it rests on."""

    requests: int
    """Those without an answer."""
    answered: int
    """Those that have one already."""
    models: tuple[ModelPlan, ...]
    """The one with the most requests first."""
    input_from: Literal["measured", "counted", "answers"]
    """How the input tokens are known: by the size of the text, by the API's count of a sample, or by the answers."""
    answers: int
    """How many answers the estimate of the output rests on; 0 when its length is assumed."""
    caching: CacheSaving | None
    """None when there is nothing to save."""
    seconds: Estimate | None
    """How long it takes. None when nothing is left to do."""
    limited_by: Reason | None
    """What holds it back for most of the time: a limit per minute, or `concurrency`."""
    limits: Mapping[str, Limits]
    """The limits per minute that it was planned with, by the name of their pool."""
    limits_from: Literal["given", "learnt", "asked"] | None
    """Where they are from; None when none are known."""
    concurrency: int
    assumptions: tuple[str, ...]
    """What was assumed, a sentence each."""

    @property
    def input_tokens(self) -> int:
        """All input tokens."""
        return sum(model.input_tokens for model in self.models)

    @property
    def output_tokens(self) -> Estimate:
        """All output tokens."""
        return sum((model.output_tokens for model in self.models), _NOTHING)

    @property
    def dollars(self) -> Estimate | None:
        """What it costs at the usual prices, as far as these are known; None when none is."""
        known = [model.dollars for model in self.models if model.dollars is not None]
        return sum(known, _NOTHING) if known or not self.models else None

    @property
    def batch_dollars(self) -> Estimate | None:
        """What it costs by the Message Batches API, which takes half the price."""
        return None if self.dollars is None else self.dollars.times(BATCH_PRICE)

    @property
    def most_dollars(self) -> float | None:
        """What it costs at most, if every answer is as long as its `max_tokens` allows."""
        known = [model.most_dollars for model in self.models if model.most_dollars is not None]
        return sum(known) if known or not self.models else None

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The models whose price is unknown."""
        return tuple(sorted({model.model for model in self.models if model.dollars is None}))

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON data."""
        sums = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "dollars": self.dollars,
            "batch_dollars": self.batch_dollars,
            "most_dollars": self.most_dollars,
            "unpriced": self.unpriced,
        }
        return {name: _plain(value) for name, value in {**attrs.asdict(self, recurse=False), **sums}.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate | ModelPlan | CacheSaving | Limits):
        return {name: _plain(one) for name, one in attrs.asdict(value, recurse=False).items()}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in cast("Mapping[str, Any]", value).items()}
    return [_plain(one) for one in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


def draw_up(
    items: Sequence[Item],
    results: Results,
    *,
    prices: Prices,
    concurrency: int,
    max_attempts: int = 4,
    limits: Mapping[str, Limits] = EMPTY,
    limits_from: LimitsFrom | None = None,
    scales: Mapping[str, float] = EMPTY,
) -> RunPlan:
    """The plan for those of `items`, the requests of the input in their order, that have no answer in `results`.

    `limits` are by the pool's name. `scales` are the tokens that the API counts for each token that the engine
    measures, by the pool's name, where it was asked. Blocks: half a second for every thousand requests that are
    rehearsed, which are 2,000 at most unless the concurrency is higher than 300. Raises `RuntimeError` in a thread in
    which an event loop runs.
    """
    to_run = [item for item in items if not results.has(item)]
    pilot = results.pilot(items)
    pools = sorted({item.pool for item in to_run})
    outlooks = _outlooks(pilot, pools, scales)
    found = [bills(to_run, of_pools, prices) for of_pools in outlooks]
    times = [
        _duration(to_run, of_pools, of_models, pilot, limits, concurrency, max_attempts)
        for of_pools, of_models in zip(outlooks, found, strict=True)
    ]
    models = tuple(_model_plan(bill, outlooks) for bill in found[0])
    return RunPlan(
        requests=len(to_run),
        answered=len(items) - len(to_run),
        models=models,
        input_from="answers" if len(outlooks) == 1 else "counted" if scales else "measured",
        answers=len(pilot) if len(outlooks) == 1 else 0,
        caching=_saving(found[0]),
        seconds=_estimate([seconds for seconds, _ in times]) if to_run else None,
        limited_by=times[-1][1] if to_run else None,
        limits={pool: limit for pool, limit in limits.items() if pool in pools},
        limits_from=limits_from if any(pool in limits for pool in pools) else None,
        concurrency=concurrency,
        assumptions=tuple(_assumptions(pilot, outlooks, results, to_run)),
    )


def _outlooks(
    pilot: Sequence[PilotAnswer], pools: Sequence[str], scales: Mapping[str, float]
) -> list[Mapping[str, Outlook]]:
    """The outlook by pools; or two of them, between which the truth is assumed."""
    if len(pilot) >= ENOUGH:
        return [by_pilot(pilot, pools)]
    return [{pool: assumed(tokens, scale=scales.get(pool, 1.0)) for pool in pools} for tokens in (SHORT, LONG)]


def _model_plan(bill: Bill, outlooks: Sequence[Mapping[str, Outlook]]) -> ModelPlan:
    outputs = [bill.output(one[bill.pool]) for one in outlooks]
    dollars = [bill.output_dollars(one[bill.pool]) for one in outlooks]
    expected = len(outlooks) == 1
    priced = bill.price is not None

    def estimate(figures: Sequence[tuple[float, float, float]], more: float) -> Estimate:
        return Estimate(figures[0][0] + more, figures[-1][2] + more, figures[0][1] + more if expected else None)

    return ModelPlan(
        model=bill.model_name,
        requests=bill.requests,
        input_tokens=round(bill.input.tokens),
        cache_read_tokens=round(bill.input.read),
        cache_write_tokens=round(bill.input.written),
        output_tokens=estimate(outputs, 0.0),
        dollars=estimate(dollars, bill.input.dollars) if priced else None,
        most_dollars=bill.most_dollars() + bill.input.dollars if priced else None,
    )


def _saving(of_models: Sequence[Bill]) -> CacheSaving | None:
    worth = [bill for bill in of_models if bill.sharing and bill.cached.dollars < bill.input.dollars]
    dollars = sum(bill.input.dollars - bill.cached.dollars for bill in worth)
    if dollars <= _WORTH_TELLING * sum(bill.input.dollars for bill in of_models):
        return None
    return CacheSaving(
        requests=sum(bill.sharing for bill in worth),
        tokens=round(sum(bill.cached.read for bill in worth)),
        dollars=dollars,
    )


def _estimate(figures: Sequence[float]) -> Estimate:
    return Estimate(min(figures), max(figures), figures[0] if len(figures) == 1 else None)


# -- time


def _duration(
    items: Sequence[Item],
    outlooks: Mapping[str, Outlook],
    of_models: Sequence[Bill],
    pilot: Sequence[PilotAnswer],
    limits: Mapping[str, Limits],
    concurrency: int,
    max_attempts: int,
) -> tuple[float, Reason | None]:
    """How many seconds the requests take, and what holds them back."""
    if not items:
        return 0.0, None
    count = len(items)
    rehearsed = rehearsed_count(count, concurrency)
    tight = tightest(limits, _needs(of_models, outlooks, count))
    parts = _parts(items, part_of(count, rehearsed), outlooks)
    rehearsal = rehearse(
        parts,
        concurrency=concurrency,
        limits=limits,
        max_attempts=max_attempts,
        overload=refused_share(pilot),
        empty_at=rehearsed // 2 if rehearsed < count else None,
    )
    latency = fmean(part.answer.ttft + part.answer.seconds for part in parts)
    seconds = extrapolated(count, rehearsal, concurrency=concurrency, latency=latency, limit=tight)
    by_limit = 0.0 if tight is None else (count - tight.a_minute) / tight.a_minute * 60
    return seconds, tight.reason if tight is not None and by_limit >= _BINDS * seconds else "concurrency"


def _parts(items: Sequence[Item], numbers: Sequence[int], outlooks: Mapping[str, Outlook]) -> list[Part]:
    random = Random(0)
    courses = {pool: list(outlook.shuffled(random)) for pool, outlook in outlooks.items()}
    taken = dict.fromkeys(courses, 0)
    parts: list[Part] = []
    for number in numbers:
        item = items[number]
        outlook = outlooks[item.pool]
        turn = taken[item.pool] % len(courses[item.pool])
        if turn == 0:
            courses[item.pool] = list(outlook.shuffled(random))
        taken[item.pool] += 1
        course = courses[item.pool][turn].within(item.max_tokens)
        scale = outlook.scale
        parts.append(
            Part(
                model_name=item.model_name,
                prompt=item.prompt,
                max_tokens=item.max_tokens,
                answer=ExpectedAnswer(
                    pool=item.pool,
                    input_tokens=round(item.prompt.tokens * scale),
                    prefixes=tuple(
                        attrs.evolve(one, tokens=round(one.tokens * scale)) for one in marked(item, outlook)
                    ),
                    output_tokens=max(1, round(course.output_tokens)),
                    ttft=course.ttft,
                    seconds=course.seconds,
                ),
            )
        )
    return parts


def _needs(of_models: Sequence[Bill], outlooks: Mapping[str, Outlook], count: int) -> dict[str, Needs]:
    found: dict[str, Needs] = {}
    for bill in of_models:
        before = found.get(bill.pool, Needs())
        found[bill.pool] = Needs(
            requests_per_minute=before.requests_per_minute + bill.requests / count,
            input_tokens_per_minute=before.input_tokens_per_minute + (bill.input.tokens - bill.input.read) / count,
            output_tokens_per_minute=before.output_tokens_per_minute + bill.output(outlooks[bill.pool])[1] / count,
        )
    return found


# -- what it rests on


def _assumptions(
    pilot: Sequence[PilotAnswer], outlooks: Sequence[Mapping[str, Outlook]], results: Results, to_run: Sequence[Item]
) -> list[str]:
    if not to_run:
        return []
    lines: list[str] = []
    if len(outlooks) == 1:
        if missing := sorted({item.pool for item in to_run} - {one.item.pool for one in pilot}):
            lines.append(f"answers of {', '.join(missing)}, of which there are none yet, are like the others")
        if all(one.answer.seconds is None for one in pilot):
            lines.append(PACE)
        return lines
    lines.append(f"answers have {SHORT} to {LONG:,} tokens, or max_tokens if that is less; {PACE}")
    there = sum(answer.succeeded for answer in results.answers.values())
    if there >= ENOUGH:
        lines.append(
            f"the {there:,} answers in {results.name} tell nothing: those that end first are the short ones, and too"
            " few requests at the beginning of the input are answered"
        )
    return lines
