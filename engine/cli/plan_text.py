"""A plan as people read it: one figure a line, and in short for the end of a run."""

from collections.abc import Callable, Sequence

from ..admission import Limits
from ..plan import Estimate, RunPlan
from ..report.units import compact, cost, duration, shorten

__all__ = ["plan_lines", "rest_lines"]

_NAMES = {
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input tokens",
    "output_tokens_per_minute": "output tokens",
}
_MODEL = 60
_INPUT_FROM = {
    "measured": "by the size of the text; --count-tokens asks the API",
    "counted": "by the API's count of a sample",
    "answers": "as the API counted for the answers there are",
}
_LIMITS_FROM = {"given": "as given", "learnt": "as an earlier run learnt", "asked": "as the API told"}
BATCHES = "half the price; most batches end within an hour, says the API, and all within 24 hours"


def plan_lines(plan: RunPlan, *, source: str, output: str | None) -> list[str]:
    """The whole plan."""
    lines = [_line("to run", f"{plan.requests:,} requests of {source}{_answered(plan, output)}")]
    if not plan.requests:
        return lines
    if len(plan.models) == 1:
        lines.append(_line("model", shorten(plan.models[0].model, _MODEL)))
    else:
        lines += [
            _line(
                "model" if not number else "",
                f"{shorten(one.model, _MODEL)}: {one.requests:,} requests"
                + ("" if one.dollars is None else f", {_dollars(one.dollars)}"),
            )
            for number, one in enumerate(plan.models)
        ]
    lines.append(_line("input", f"{_tokens(plan.input_tokens)}{_cached(plan)}  ({_INPUT_FROM[plan.input_from]})"))
    lines.append(_line("output", f"{_figure(plan.output_tokens, compact)} tokens  ({_rests_on(plan, output)})"))
    lines += _costs(plan)
    lines += [_line("time", _time(plan)), _line("limits", _limits(plan))]
    return lines + [_line("assumed" if not number else "", line) for number, line in enumerate(plan.assumptions)]


def rest_lines(plan: RunPlan) -> list[str]:
    """What is left of a run, in short; nothing when nothing is left."""
    if not plan.requests or plan.seconds is None:
        return []
    dollars, batches = plan.dollars, plan.batch_dollars
    costs = f"no price is known for {', '.join(plan.unpriced)}"
    if dollars is not None and batches is not None:
        costs = f"{_dollars(dollars)}, or {_dollars(batches)} by the Message Batches API"
    based = f"by {plan.answers:,} answers" if plan.answers else plan.assumptions[0] if plan.assumptions else ""
    lines = [
        _line("the rest", f"{plan.requests:,} requests, {costs}"),
        _line("", f"{_time(plan)}  ({based})"),
    ]
    if plan.caching is not None:
        lines.append(_line("", _caching(plan)))
    return lines


def _line(name: str, text: str) -> str:
    return f"{name:<18} {text}"


def _answered(plan: RunPlan, output: str | None) -> str:
    return f"; {plan.answered:,} more are answered in {output}" if plan.answered else ""


def _cached(plan: RunPlan) -> str:
    read = sum(one.cache_read_tokens for one in plan.models)
    return f", {_tokens(read)} of them read from the cache" if read else ""


def _rests_on(plan: RunPlan, output: str | None) -> str:
    if plan.answers:
        return f"by the first {plan.answers:,} answers in {output}; 95 % sure"
    return "assumed, see below: `run --limit 30` and then `plan -o RESULTS` tells more"


def _costs(plan: RunPlan) -> list[str]:
    dollars, batches, most = plan.dollars, plan.batch_dollars, plan.most_dollars
    if dollars is None or batches is None or most is None:
        return [_line("cost", f"unknown: {_unpriced(plan.unpriced)}")]
    lines = [
        _line("cost, live", f"{_dollars(dollars)}  (at most {cost(most)}, if every answer is as long as max_tokens)"),
        _line("cost, batches", f"{_dollars(batches)}  ({BATCHES})"),
    ]
    if plan.unpriced:
        lines.append(_line("", f"without those of an unknown price: {_unpriced(plan.unpriced)}"))
    if plan.caching is not None:
        lines.append(_line("caching", _caching(plan)))
    return lines


def _unpriced(names: Sequence[str]) -> str:
    first = shorten(names[0], _MODEL)
    all_names = ", ".join(shorten(name, _MODEL) for name in names)
    return f"no price is known for {all_names}: give it with --price {first}=IN,OUT"


def _caching(plan: RunPlan) -> str:
    saving = plan.caching
    assert saving is not None
    return (
        f"would save about {cost(saving.dollars)}: {saving.requests:,} requests could read {_tokens(saving.tokens)}"
        " that they share with others; mark the end of the shared part with cache_control"
    )


def _time(plan: RunPlan) -> str:
    assert plan.seconds is not None
    why = f"at most {plan.concurrency:,} at a time"
    if plan.limited_by in _NAMES:
        why = f"the limit of {_NAMES[plan.limited_by]} a minute holds it back"
    elif plan.limits_from is None:
        why += ", and no limits are known"
    return f"{_figure(plan.seconds, duration)}, {why}"


def _limits(plan: RunPlan) -> str:
    if plan.limits_from is None:
        return "none known: the time is by concurrency and pace alone; give --limits, or --ask-limits"
    told = [f"{pool}: {_each(limits)}" for pool, limits in plan.limits.items()]
    pieces = told if len(told) > 1 else [_each(limits) for limits in plan.limits.values()]
    return f"{'; '.join(pieces)} a minute, {_LIMITS_FROM[plan.limits_from]}"


def _each(limits: Limits) -> str:
    pieces: list[str] = []
    for reason, name in _NAMES.items():
        value = getattr(limits, reason)
        if value is not None:
            pieces.append(f"{value:,.0f} {name}")
    return ", ".join(pieces)


def _figure(figure: Estimate, shown: Callable[[float], str]) -> str:
    low, high = shown(figure.low), shown(figure.high)
    if figure.expected is None:
        return low if low == high else f"{low} to {high}"
    expected = shown(figure.expected)
    return expected if low == high else f"{expected} ({low} to {high})"


def _dollars(figure: Estimate) -> str:
    return _figure(figure, cost)


def _tokens(count: float) -> str:
    return f"{compact(count)} tokens"
