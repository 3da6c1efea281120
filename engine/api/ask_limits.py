"""Asking the API for an organization's rate limits: which models share one, and how high each is.

The Admin API tells them (`GET /v1/organizations/rate_limits`) to an admin key, which is another key than the one that
creates messages. An ordinary key is never tried.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import attrs

if TYPE_CHECKING:
    from .clients import AnthropicClient

__all__ = ["GroupLimits", "LimitsError", "ask_limits"]

_SECONDS = 10.0  # for each step of a try
_TRIES = 3
_SECONDS_IN_ALL = 30.0  # retries, their pauses and further pages included
_KINDS = {
    "requests_per_minute": "requests_per_minute",
    "input_tokens_per_minute": "input_tokens_per_minute",
    "input_tokens_per_minute_cache_aware": "input_tokens_per_minute",
    "output_tokens_per_minute": "output_tokens_per_minute",
}


class LimitsError(RuntimeError):
    """The API did not tell the limits that it was asked for."""


@attrs.frozen
class GroupLimits:
    """A model group of an organization, and its limits."""

    name: str
    models: tuple[str, ...]
    """The names that ask for its models, aliases among them."""
    limits: Mapping[str, float]
    """By `requests_per_minute`, `input_tokens_per_minute` and `output_tokens_per_minute`; what is not told is not in
    it."""


async def ask_limits(client: "AnthropicClient", admin_key: str) -> list[GroupLimits]:
    """The limits of the organization that the admin key belongs to, asked at the client's base URL.

    Takes at most 30 seconds. Raises `LimitsError` when they can't be had. A cancellation leaves nothing behind.
    """
    import anthropic

    from .failures import sending_failed

    if not isinstance(client, anthropic.AsyncAnthropic):
        raise LimitsError(f'limits="ask" works with the first-party API alone, not with {type(client).__name__}')
    admin = client.with_options(api_key=admin_key, max_retries=_TRIES - 1, timeout=_SECONDS)
    # Whatever else the client sends to prove who it is must not go with the admin key.
    headers: dict[str, str | anthropic.Omit] = {"x-api-key": admin_key, "authorization": anthropic.Omit()}
    try:
        with anyio.fail_after(_SECONDS_IN_ALL):
            entries = admin.organization.rate_limits.list(group_type="model_group", extra_headers=headers)
            return [_read(entry) async for entry in entries]
    except Exception as exc:
        info = sending_failed(exc, None)
        status = f"{info.status} " if info.status else ""
        raise LimitsError(
            f"the limits could not be asked for: {status}{info.type}: {info.message}. Give an admin key of the "
            'organization, or leave limits="ask" out: limits are then learnt from the headers'
        ) from None


def _read(entry: Any) -> GroupLimits:
    # Where both kinds of input limit are told, the one that counts uncached tokens holds.
    known = [one for one in entry.limits if one.type in _KINDS and _is_limit(one.value)]
    told = {_KINDS[one.type]: one.value for one in sorted(known, key=lambda one: len(one.type))}
    name: object = entry.group.display_name
    if not isinstance(name, str):
        raise TypeError("a model group has no name")
    return GroupLimits(name, tuple(model for model in entry.models or () if isinstance(model, str)), told)


def _is_limit(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 < value < math.inf
