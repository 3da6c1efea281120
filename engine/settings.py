"""An engine's settings, checked when it is made: what is wrong would else fail late, in words that name no setting."""

import os
from collections.abc import Mapping
from typing import cast

from ..actors.stream import Deadlines, RetryPolicy, check_kind, check_number
from .admission import Group, Limits
from .api.given import check_key
from .api.model import AnthropicModel, MissingCredentialsError
from .prices import Price

__all__ = ["admin_key_for", "check_settings"]


def check_settings(
    model: object,
    *,
    max_concurrency: object,
    max_queued: object,
    limits: object,
    groups: object,
    deadlines: object,
    retry: object,
    spend_cap: object,
    prices: object,
    grace: object,
    keep_ended: object,
) -> None:
    """Raises `TypeError` for what is of another kind than it has to be, and `ValueError` for what makes no sense."""
    check_kind("model", model, AnthropicModel, 'an AnthropicModel, as in Engine(AnthropicModel("claude-…"))')
    check_number("max_concurrency is a whole number, at least 1", max_concurrency, least=1, whole=True)
    if max_queued is not None:
        check_number("max_queued is a whole number, at least 0, or None", max_queued, least=0, whole=True)
    if isinstance(limits, str):
        if limits != "ask":
            raise ValueError(f'limits is Limits(...), a mapping of them, or "ask", not {limits!r}')
    elif limits is not None and not isinstance(limits, Limits):
        _check_mapping("limits", limits, Limits, "Limits(requests_per_minute=…)")
    if groups is not None:
        _check_mapping("groups", groups, Group, "Group(max_concurrency=…)")
    if deadlines is not None:
        check_kind("deadlines", deadlines, Deadlines, "a Deadlines, as in Deadlines(total=30)")
    if retry is not None:
        check_kind("retry", retry, RetryPolicy, "a RetryPolicy, as in RetryPolicy(max_attempts=3)")
    if spend_cap is not None:
        check_number("spend_cap is a number of dollars above 0, or None", spend_cap, above=0)
    if prices is not None:
        _check_mapping("prices", prices, Price, "Price(input=…, output=…)")
    check_number("keep_ended is a finite number of seconds, 0 or more", keep_ended, least=0)
    check_number("grace is a number of seconds, 0 or more", grace, least=0, infinite=True)


def _check_mapping(name: str, value: object, kind: type[object], write: str) -> None:
    check_kind(name, value, Mapping, f'a mapping, as in {name}={{"name": {write}}}')
    for key, one in cast("Mapping[object, object]", value).items():
        check_kind(f"a key of {name}", key, str, "a name")
        check_kind(f"{name}[{key!r}]", one, kind, f"a {kind.__name__}, as in {write}")


def admin_key_for(limits: object, given: object) -> str | None:
    """The key to ask for limits with; None when nobody wants that."""
    if limits != "ask":
        if given is not None:
            raise TypeError('admin_key is for limits="ask"')
        return None
    if given is not None:
        return check_key("admin_key", given)
    key = os.environ.get("ANTHROPIC_ADMIN_KEY")
    if not key:
        raise MissingCredentialsError(
            'limits="ask" needs an admin key: set the environment variable ANTHROPIC_ADMIN_KEY, or pass admin_key='
        )
    return check_key("the environment variable ANTHROPIC_ADMIN_KEY", key)
