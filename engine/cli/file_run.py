"""`manystream run`: a file of requests against the API, or against another server that speaks it."""

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

from ...actors.stream import Recovery
from ..api.model import AnthropicModel
from ..prices import Prices
from ..runs import InputError, OutputError, RequestFile, read_requests
from ..runs.again import check_failures
from ..runs.stores import check_output
from ..runs.too_many import MaxFailures
from .perform import Job, Status, perform
from .telling import fail, say

__all__ = ["run_file"]

_NO_MODEL = "none"  # for a pipe, whose requests each name a model


def run_file(
    source: str,
    output: str,
    *,
    model: str | None,
    defaults: dict[str, Any],
    base_url: str | None,
    concurrency: int,
    limit: int | None,
    overwrite: bool,
    ordered: bool,
    retry_errored: bool,
    retry_only: tuple[str, ...],
    retry_stopped: tuple[str, ...],
    max_attempts: int,
    max_failures: str | None,
    skip_invalid: bool,
    stream_events: str | None,
    recovery: Recovery,
    spend_cap: float | None,
    quiet: bool,
    backend: str,
) -> Status:
    """Runs all requests of `source`; returns the exit status. `model` and `defaults` hold for requests that don't have
    their own."""
    try:
        if base_url is not None:
            _check_url(base_url)
        _check_policy(retry_errored, retry_only, max_failures)
        check_output(source, output, overwrite=overwrite, stream_events=stream_events)
        requests = read_requests(source, needs_model=model is None, skip_invalid=skip_invalid)
        if spend_cap is not None and isinstance(requests, RequestFile):
            _check_prices(requests, model)
    except (InputError, OutputError) as exc:
        fail(exc)
        return Status.UNUSABLE
    if requests.invalid.count:
        say(*requests.invalid.lines())
    name = model or requests.model_name or _NO_MODEL
    job = Job(
        model=AnthropicModel(name, api_key=_local_key(base_url), base_url=base_url, defaults=defaults),
        source=requests,
        output=output,
        concurrency=concurrency,
        limit=limit,
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


def _check_prices(requests: RequestFile, model: str | None) -> None:
    prices = Prices()
    for name in {str(request.params.get("model", model)) for request in requests}:
        if prices.price(name) is None:
            raise InputError(f"{requests.name}: no price is known for the model {name!r}; run it without --spend-cap")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"--base-url {url!r} is not a URL such as http://127.0.0.1:8765")


def _local_key(base_url: str | None) -> str | None:
    """A key for a server on this machine if the environment has none, since a simulator accepts any key.

    None for other servers: they get the environment's credentials, without which nothing is sent.
    """
    if base_url is None or os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return None
    host = urlsplit(base_url).hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return "local" if local else None
