"""`manystream plan`, and `run --dry-run`: what a run will cost and how long it will take, before it runs."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
import attrs

from ...actors import OutputSpec
from ..admission import Limits
from ..admission.model_groups import ModelGroups, model_group
from ..api.ask_limits import LimitsError, ask_limits
from ..api.count_tokens import CountError, count_tokens
from ..api.given import check_base_url, check_key, check_name
from ..api.model import AnthropicModel, MissingCredentialsError
from ..input import InputError, InvalidRequestsError, RequestFile, RequestPipe
from ..plan import PlanError, RunPlan, read_past, stock_of
from ..plan.past import Results
from ..plan.plan import LimitsFrom
from ..prices import Price, Prices
from ..report.units import printable
from .environment import check_environment, checked
from .given import limits_of, price_of, tell_invalid
from .input_options import InputOptions
from .perform import Status
from .plan_text import plan_lines
from .providers import model_by
from .schema_option import Via, read_schema
from .telling import fail, say

__all__ = ["Asked", "plan_file", "show_plan"]

_SAMPLES = 40  # requests whose tokens the API is asked to count
_NO_MODEL = "none"


@attrs.frozen(kw_only=True)
class Asked:
    """What is asked of the API before the plan is drawn up."""

    limits: bool = False
    tokens: bool = False


def plan_file(
    source: str,
    output: str | None,
    *,
    options: InputOptions,
    provider: str,
    base_url: str | None,
    concurrency: int,
    limit: int | None,
    limits: Sequence[str],
    asked: Asked,
    prices: Sequence[str],
    schema: str | None,
    schema_via: Via | None,
    as_json: bool,
) -> Status:
    """Shows the plan for the requests of `source`; returns the exit status. The arguments are as the command line has
    them."""
    try:
        model = options.model_name
        if model is not None:
            checked(check_name, "--model", model)
        if base_url is not None:
            checked(check_base_url, "--base-url", base_url)
        known = dict(map(price_of, prices))
        given = limits_of(limits)
        wanted = read_schema(schema, schema_via)
        requests = options.read(source, output, overwrite=False)
    except InvalidRequestsError as exc:
        tell_invalid(exc.invalid)
        return Status.UNUSABLE
    except InputError as exc:
        fail(exc)
        return Status.UNUSABLE
    if requests.invalid.count:
        say(*requests.invalid.lines())
    say(*options.remarks(requests))
    return show_plan(
        requests,
        output,
        model_name=model,
        provider=provider,
        base_url=base_url,
        concurrency=concurrency,
        limit=limit,
        limits=given,
        asked=asked,
        prices=known,
        schema=wanted,
        as_json=as_json,
    )


def show_plan(
    requests: RequestFile | RequestPipe,
    output: str | None,
    *,
    model_name: str | None,
    concurrency: int,
    limit: int | None,
    limits: Limits | Mapping[str, Limits] | None,
    prices: Mapping[str, Price],
    provider: str = "anthropic",
    base_url: str | None = None,
    asked: Asked | None = None,
    schema: OutputSpec[Any] | None = None,
    as_json: bool = False,
    anew: bool = False,
) -> Status:
    """Shows the plan for these requests on standard output; returns the exit status. With `anew` what is in `output`
    will be replaced, and counts for nothing."""
    asked = asked or Asked()
    try:
        name = model_name or requests.model_name or _NO_MODEL
        results = Results("", exist=False) if output in (None, "-") or anew else read_past(output)
        if not asked.limits and not asked.tokens:
            served = AnthropicModel(name)
            groups = None
        else:
            check_environment(provider, base_url=base_url)
            served = model_by(provider, name, base_url=base_url)
            groups = anyio.run(_ask_limits, served) if asked.limits else None
        by_limits: tuple[Limits | Mapping[str, Limits] | None, LimitsFrom] = limits, "given"
        if groups is not None and not isinstance(limits, Limits):
            by_hand = {groups.group(name): limit for name, limit in (limits or {}).items()}
            by_limits = {**groups.limits, **by_hand}, "asked"
        stock = stock_of(
            served,
            requests,
            limit=limit,
            samples=_SAMPLES if asked.tokens else 0,
            schema=schema,
            group=model_group if groups is None else groups.group,
        )
        scales: dict[str, float] = {}
        if asked.tokens:
            counts = anyio.run(_count, served, [sample.params for sample in stock.samples])
            for pool in {sample.item.pool for sample in stock.samples}:
                pairs = [
                    (count, sample.item.prompt.tokens)
                    for count, sample in zip(counts, stock.samples, strict=True)
                    if sample.item.pool == pool
                ]
                scales[pool] = sum(count for count, _ in pairs) / max(1, sum(size for _, size in pairs))
        plan = stock.plan(
            results,
            prices=Prices(prices),
            concurrency=concurrency,
            limits=by_limits[0],
            limits_from=by_limits[1],
            scales=scales,
        )
    except MissingCredentialsError as exc:
        fail(exc if exc.__cause__ else "no API key: set the environment variable ANTHROPIC_API_KEY")
        return Status.UNUSABLE
    except (InputError, PlanError, LimitsError, CountError, ValueError) as exc:
        fail(exc)
        return Status.UNUSABLE
    shown = output if results.exist else None
    _print(plan, source=requests.name, output=shown, as_json=as_json)
    if output not in (None, "-") and not results.exist and not as_json and not anew:
        say(f"{output}: there are no results yet, so that nothing is known of the answers")
    return Status.SUCCEEDED


def _print(plan: RunPlan, *, source: str, output: str | None, as_json: bool) -> None:
    lines = [json.dumps(plan.to_dict(), indent=2, allow_nan=False)]
    if not as_json:
        lines = [printable(line) for line in plan_lines(plan, source=source, output=output)]
    with suppress(BrokenPipeError):
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


async def _ask_limits(model: AnthropicModel) -> ModelGroups:
    key = os.environ.get("ANTHROPIC_ADMIN_KEY")
    if not key:
        raise LimitsError("--ask-limits needs an admin key: set the environment variable ANTHROPIC_ADMIN_KEY")
    check_key("the environment variable ANTHROPIC_ADMIN_KEY", key)
    connection = model.connect()
    try:
        told = await ask_limits(connection.client, key)
    finally:
        await connection.aclose()
    names = {name: group.name for group in told for name in group.models}
    return ModelGroups(names, {group.name: Limits(**group.limits) for group in told})


async def _count(model: AnthropicModel, prompts: Sequence[Mapping[str, Any]]) -> list[int]:
    connection = model.connect()
    try:
        return await count_tokens(connection.client, prompts)
    finally:
        await connection.aclose()
