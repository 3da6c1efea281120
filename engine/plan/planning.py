"""From an input to its plan: the requests are read, what an earlier run left is read, and the plan is drawn up."""

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import attrs

from ...actors.message import EMPTY
from ...actors.stream import OutputLike, RequestLike, StreamRequest, check_kind, check_number, check_path
from ..admission import Limits
from ..admission.model_groups import limits_by_pool, model_group
from ..api.model import AnthropicModel
from ..input import Columns, InputError, Numbered, RequestFile, RequestPipe
from ..input.given import check_source, requests_in
from ..input.reading import Reading
from ..input.template import Template
from ..prices import Price, Prices
from ..runs import Source
from ..runs.arguments import check_flags, check_taken
from ..runs.seeds import settled_order
from ..runs.wanted import with_schema
from .inventory import Item, Sample, take_stock
from .past import Results, read_past
from .plan import LimitsFrom, RunPlan, draw_up

__all__ = ["Stock", "plan_run", "stock_of"]

_NO_RESULTS = Results("", exist=False)


def plan_run(
    model: AnthropicModel,
    source: Source[Any],
    output: str | os.PathLike[str] | None = None,
    *,
    max_concurrency: int = 100,
    limits: Limits | Mapping[str, Limits] | None = None,
    prices: Mapping[str, Price] | None = None,
    limit: int | None = None,
    skip_invalid: bool = False,
    template: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
    epochs: int = 1,
    sample: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    schema: OutputLike[Any] | None = None,
) -> RunPlan:
    """What a run of `source` will use and cost, and how long it will take: `open_run` with the same arguments, through
    an engine of this `model`. Nothing is sent or written.

    What is answered in `output` is not planned again. The answers there say how long answers are and how fast they
    come; its journal says which limits the run learnt. Without them the plan is a range. `limits` are per minute: for
    all pools, or by the name of a pool or of a model in it. `limit` plans only the first requests, so many of them.

    Blocks, for some seconds when there are many requests: in asynchronous code, call it by
    `anyio.to_thread.run_sync`. Raises `InputError` for a file that `open_run` would not take, `PlanError` for results
    that can't be read, `TypeError` and `ValueError` for arguments that make no sense.
    """
    check_kind("model", model, AnthropicModel, 'a model, as in AnthropicModel("claude-opus-5-5")')
    if output is not None:
        check_path("output", output, "the path of a results file, or None")
    if limits is not None:
        check_kind("limits", limits, (Limits, Mapping), "Limits(requests_per_minute=…), by pool or for all")
    check_number("max_concurrency is at least 1", max_concurrency, least=1, whole=True)
    check_flags(skip_invalid=skip_invalid, shuffle=shuffle)
    check_source(source)
    check_taken(limit=limit, seed=seed)
    requests = requests_in(
        source,
        Reading(template=Template.of(template), columns=columns or Columns(), epochs=epochs),
        lambda: settled_order(output or "-", sample=sample, shuffle=shuffle, seed=seed, overwrite=False),
        skip_invalid=skip_invalid,
    )
    if schema is not None:
        from ..output import typed_output  # the machinery of types is for those who use it

        typed_output(schema)
    if isinstance(requests, AsyncIterable) and not isinstance(requests, RequestPipe):
        raise TypeError("a plan reads its source at once, not asynchronously: give a list, or a file")
    stock = stock_of(model, requests, limit=limit, schema=schema)
    results = _NO_RESULTS if output is None else read_past(os.fspath(output))
    return stock.plan(results, prices=Prices(prices), concurrency=max_concurrency, limits=limits)


@attrs.frozen
class Stock:
    """The requests of an input, ready to be planned."""

    items: list[Item] = attrs.field(repr=False)
    samples: list[Sample] = attrs.field(repr=False)
    """Some of them, if they were asked for."""

    def plan(
        self,
        results: Results,
        *,
        prices: Prices,
        concurrency: int,
        max_attempts: int = 4,
        limits: Limits | Mapping[str, Limits] | None = None,
        limits_from: LimitsFrom = "given",
        scales: Mapping[str, float] = EMPTY,
    ) -> RunPlan:
        """The plan for those without an answer. Without `limits` those count that the run learnt. Raises `PlanError`
        when the answers were given to other requests."""
        results.check(self.items)
        if not limits:
            by_pool, limits_from = results.limits, "learnt"
        elif isinstance(limits, Limits):
            by_pool = dict.fromkeys({item.pool for item in self.items}, limits)
        else:
            by_pool = limits_by_pool(limits)
        return draw_up(
            self.items,
            results,
            prices=prices,
            concurrency=concurrency,
            max_attempts=max_attempts,
            limits=by_pool,
            limits_from=limits_from,
            scales=scales,
        )


def stock_of(
    model: AnthropicModel,
    source: RequestFile | RequestPipe | Iterable[RequestLike | Numbered],
    *,
    limit: int | None = None,
    samples: int = 0,
    schema: OutputLike[Any] | None = None,
    group: Callable[[str], str] = model_group,
) -> Stock:
    """The requests of `source`, as a run through an engine of this `model` would send them. `samples` of them are kept
    whole. `schema` is what the run asks for. `group` gives the name of a model's group. Raises `InputError`; blocks."""
    if isinstance(source, RequestPipe):
        raise InputError(
            f"{source.name}: a pipe can be read once only, so that nothing would be left to run: name a file"
        )
    count = min(len(source), limit or len(source)) if isinstance(source, RequestFile) else samples
    requests = (with_schema(_request(given), schema) for given in source)

    def own(request: StreamRequest) -> AnthropicModel:
        return request.model if isinstance(request.model, AnthropicModel) else model

    items, kept = take_stock(
        (own(request).with_longest_answer(request) for request in islice(requests, limit)),
        lambda request: own(request).params_for(request),
        group=lambda request, name: own(request).limits_pool or group(name),
        samples=samples,
        count=count,
    )
    return Stock(items, kept)


def _request(given: RequestLike | Numbered) -> StreamRequest:
    if isinstance(given, Numbered):
        return given.request
    return given if isinstance(given, StreamRequest) else StreamRequest(given)
