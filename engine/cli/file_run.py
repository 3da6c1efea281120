"""`manystream run`: a file of requests against the API, or against another server that speaks it."""

import math
from collections.abc import Sequence

from ...actors.stream import Recovery
from ..api.given import check_base_url, check_name
from ..input import InputError, InvalidRequestsError, RequestFile, RequestPipe
from ..input.invalid import Invalid
from ..prices import Price, Prices
from ..runs import OutputError
from ..runs.again import check_failures
from ..runs.stores import check_output
from ..runs.too_many import MaxFailures
from .environment import check_environment, checked
from .input_options import InputOptions
from .perform import Job, Status, perform
from .providers import model_by
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
    stream_events: str | None,
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
        known = dict(map(_price, prices))
        if spend_cap == math.inf:
            raise InputError("--spend-cap is a number of dollars, not inf: leave it out for no cap")
        _check_policy(retry_errored, retry_only, max_failures)
        check_output(source, output, overwrite=overwrite, stream_events=stream_events)
        requests = options.read(source, output, overwrite=overwrite)
        if spend_cap is not None:
            _check_prices(requests, model, Prices(known))
        served = model_by(provider, model or requests.model_name or _NO_MODEL, base_url=base_url)
    except InvalidRequestsError as exc:
        _tell_invalid(exc.invalid)
        return Status.UNUSABLE
    except (InputError, OutputError) as exc:
        fail(exc)
        return Status.UNUSABLE
    if requests.invalid.count:
        say(*requests.invalid.lines())
    if not quiet:
        say(*options.remarks(requests))
    job = Job(
        model=served,
        source=requests,
        output=output,
        concurrency=concurrency,
        limit=limit,
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
        recovery=recovery,
        spend_cap=spend_cap,
        quiet=quiet,
    )
    return perform(job, backend=backend)


def _tell_invalid(invalid: Invalid) -> None:
    for line in invalid.told:
        fail(line)
    if invalid.count > 1:
        shown = f", of which {len(invalid.told)} are shown" if invalid.count > len(invalid.told) else ""
        say(f"{invalid.count:,} requests are not valid{shown}: mend them, or leave them out with --skip-invalid")


def _price(text: str) -> tuple[str, Price]:
    """A model and its price. Raises `InputError`."""
    model, _, amounts = text.rpartition("=")
    try:
        dollars = [float(amount) for amount in amounts.split(",")]
        if not model or len(dollars) != 2:
            raise ValueError
        return model, Price(*dollars)
    except ValueError:
        raise InputError(
            f"--price {text!r} is not MODEL=IN,OUT, in dollars per million tokens, such as claude-opus-5-5=4,20"
        ) from None


def _check_policy(retry_errored: bool, retry_only: tuple[str, ...], max_failures: str | None) -> None:
    if retry_errored and retry_only:
        raise InputError("--retry-errored runs all errors again, --retry-only some of them: give one of the two")
    try:
        check_failures(frozenset(retry_only))
    except ValueError as exc:
        raise InputError(f"--retry-only: {exc}") from None
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
