"""`manystream run`: a file of requests against the API, or against another server that speaks it."""

import math
from collections.abc import Sequence

from ...actors.stream import Recovery
from ..api.given import check_base_url, check_name
from ..input import InputError, InvalidRequestsError, RequestFile, RequestPipe
from ..prices import Prices
from ..runs import OutputError
from ..runs.again import check_failures, check_stop_reasons
from ..runs.stores import check_output
from ..runs.too_many import MaxFailures
from .environment import check_environment, checked
from .given import limits_of, price_of, tell_invalid
from .input_options import InputOptions
from .perform import Job, Status, perform
from .plan import show_plan
from .providers import model_by
from .schema_option import Via, read_schema
from .sharing import budget_by
from .telling import fail, say

__all__ = ["run_file"]

_NO_MODEL = "none"  # for a pipe, whose requests each name a model


def run_file(
    source: str,
    output: str,
    *,
    options: InputOptions,
    provider: str,
    base_url: str | None,
    concurrency: int,
    limit: int | None,
    timeout: float | None,
    prices: Sequence[str],
    overwrite: bool,
    ordered: bool,
    retry_errored: bool,
    retry_only: tuple[str, ...],
    retry_stopped: tuple[str, ...],
    max_attempts: int,
    max_failures: str | None,
    limits: Sequence[str],
    budget: str | None,
    dry_run: bool,
    stream_events: str | None,
    schema: str | None,
    schema_via: Via | None,
    recovery: Recovery,
    spend_cap: float | None,
    quiet: bool,
    backend: str,
) -> Status:
    """Runs all requests of `source`; returns the exit status. `prices` are as the command line has them,
    MODEL=IN,OUT."""
    try:
        model = options.model_name
        if model is not None:
            checked(check_name, "--model", model)
        if base_url is not None:
            checked(check_base_url, "--base-url", base_url)
        check_environment(provider, base_url=base_url)
        served = None
        known = dict(map(price_of, prices))
        if spend_cap == math.inf:
            raise InputError("--spend-cap is a number of dollars, not inf: leave it out for no cap")
        _check_policy(retry_errored, retry_only, retry_stopped, max_failures)
        given = limits_of(limits)
        shared = budget_by(budget, base_url=base_url)
        check_output(source, output, overwrite=overwrite, stream_events=stream_events)
        wanted = read_schema(schema, schema_via)
        requests = options.read(source, output, overwrite=overwrite)
        if spend_cap is not None:
            _check_prices(requests, model, Prices(known))
        if not dry_run:
            served = model_by(provider, model or requests.model_name or _NO_MODEL, base_url=base_url)
    except InvalidRequestsError as exc:
        tell_invalid(exc.invalid)
        return Status.UNUSABLE
    except (InputError, OutputError) as exc:
        fail(exc)
        return Status.UNUSABLE
    if requests.invalid.count:
        say(*requests.invalid.lines())
    if not quiet:
        say(*options.remarks(requests))
    if served is None:
        return show_plan(
            requests,
            output,
            model_name=model,
            concurrency=concurrency,
            limit=limit,
            limits=given,
            prices=known,
            schema=wanted,
            anew=overwrite,
        )
    job = Job(
        model=served,
        source=requests,
        output=output,
        concurrency=concurrency,
        limit=limit,
        limits=given,
        budget=shared,
        timeout=timeout,
        prices=known,
        overwrite=overwrite,
        ordered=ordered,
        retry_errored=retry_errored,
        retry_only=retry_only,
        retry_stopped=retry_stopped,
        max_attempts=max_attempts,
        max_failures=max_failures,
        stream_events=stream_events,
        schema=wanted,
        recovery=recovery,
        spend_cap=spend_cap,
        quiet=quiet,
    )
    return perform(job, backend=backend)


def _check_policy(
    retry_errored: bool, retry_only: tuple[str, ...], retry_stopped: tuple[str, ...], max_failures: str | None
) -> None:
    if retry_errored and retry_only:
        raise InputError("--retry-errored runs all errors again, --retry-only some of them: give one of the two")
    for option, names, check in (
        ("--retry-only", retry_only, check_failures),
        ("--retry-stopped", retry_stopped, check_stop_reasons),
    ):
        try:
            check(frozenset(names))
        except ValueError as exc:
            raise InputError(f"{option}: {exc}") from None
    try:
        if max_failures is not None:
            MaxFailures.of(max_failures)
    except ValueError as exc:
        raise InputError(f"--max-failures is {exc}") from None


def _check_prices(requests: RequestFile | RequestPipe, model: str | None, prices: Prices) -> None:
    def check(where: str, name: str) -> None:
        if prices.price(name) is None:
            raise InputError(
                f"{where}: no price is known for the model {name!r}: give it with --price {name}=IN,OUT, or run"
                " without --spend-cap"
            )

    if model is not None:
        check(requests.name, model)
    elif isinstance(requests, RequestFile):
        for name in {str(request.params.get("model")) for request in requests}:
            check(requests.name, name)
    else:
        requests.check = lambda where, request: check(where, str(request.params.get("model")))
