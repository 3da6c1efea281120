"""The service's conditions: how much the simulated API takes, how fast that may grow, and when it has no room.

Plain settings, checked when they are made; each error names its setting. What is left at its default restricts
nothing. Rates are per minute, times in seconds, probabilities between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, cast, get_args

import attrs

from .checks import check_positive, check_probability, check_whole, is_number

__all__ = ["Cache", "Condition", "Conditions", "Overload", "Ramp", "ServiceLimits", "SpendKind", "SpendLimit"]

Condition: TypeAlias = Literal[
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "ramp",
    "spend",
    "overload",
    "batches.requests_per_minute",
    "batches.queued_requests",
]
"""What may refuse a request, by the names of the settings; those of `Batches` after `batches.`."""

SpendKind: TypeAlias = Literal["tier", "contract", "organization", "workspace", "user_profile"]

_SPEND_KINDS: tuple[SpendKind, ...] = get_args(SpendKind)


def _check_not_negative(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not isinstance(cast(object, value), int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{attribute.name} must be a whole number, 0 or more, not {value!r}")


def _check_growth(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not is_number(value) or not 1 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a number, 1 or more, not {value!r}")


def _check_flag(_: object, attribute: attrs.Attribute[bool], value: bool) -> None:
    if not isinstance(cast(object, value), bool):
        raise ValueError(f"{attribute.name} must be true or false, not {value!r}")


def _check_kind(_: object, attribute: attrs.Attribute[SpendKind], value: SpendKind) -> None:
    if value not in _SPEND_KINDS:
        raise ValueError(f"{attribute.name} must be one of {', '.join(_SPEND_KINDS)}, not {value!r}")


def _as_pairs(value: Any) -> Any:
    """Makes lists of lists, as JSON and TOML have them, tuples of tuples; what is neither is left for the check."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    parts = cast("Iterable[object]", value)
    return tuple(tuple(cast("list[object]", part)) if isinstance(part, list) else part for part in parts)


def _check_outages(
    _: object, attribute: attrs.Attribute[tuple[tuple[float, float], ...]], value: tuple[tuple[float, float], ...]
) -> None:
    if not isinstance(cast(object, value), tuple):
        raise ValueError(f"{attribute.name} must be a list of pairs (start, end), not {value!r}")
    for number, outage in enumerate(cast("tuple[object, ...]", value)):
        pair = cast("tuple[object, ...]", outage) if isinstance(outage, tuple) else ()
        if len(pair) != 2 or not all(map(is_number, pair)) or not 0 <= cast(float, pair[0]) < cast(float, pair[1]):
            raise ValueError(
                f"{attribute.name}[{number}] must be a pair (start, end) of seconds, 0 <= start < end, not {outage!r}"
            )


def _check_is(kind: type) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{attribute.name} must be a {kind.__name__}, not {value!r}")

    return check


@attrs.frozen(kw_only=True)
class ServiceLimits:
    """What an organisation may use of each model: token buckets that start full and refill evenly.

    A limit that is None is not enforced, and no header speaks of it. A bucket holds what refills in
    `burst_seconds`: 60 makes 60 requests a minute available at once, 1 makes them one a second.
    """

    requests_per_minute: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_whole))
    input_tokens_per_minute: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_whole))
    """Input that is not read from the prompt cache."""
    output_tokens_per_minute: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_whole))
    """Counted as they are produced; what a request may produce at most (`max_tokens`) doesn't count."""
    burst_seconds: float = attrs.field(default=60.0, validator=check_positive)
    headers: bool = attrs.field(default=True, validator=_check_flag)
    """Whether responses tell the limits in `anthropic-ratelimit-*`; some platforms don't."""


@attrs.frozen(kw_only=True)
class Ramp:
    """The acceleration limit: how fast an organisation's requests may become more.

    Allowed are `requests_per_minute` at first, available `burst_seconds` ahead. As long as at least half of it is
    used, the allowed rate grows by the factor `growth` a minute, and while less is used it falls likewise, never below
    where it began.
    """

    requests_per_minute: float = attrs.field(validator=check_positive)
    growth: float = attrs.field(default=2.0, validator=_check_growth)
    burst_seconds: float = attrs.field(default=10.0, validator=check_positive)


@attrs.frozen(kw_only=True)
class SpendLimit:
    """What may be spent before every further request is refused: so many output tokens, of all models.

    `kind` says whose limit it is, and by that what the refusal is:

    - `"tier"`: that of the organisation's tier (429, `enforced_spend_limit_reached`);
    - `"contract"`: that of its contract (429, `contract_spend_limit_reached`);
    - `"organization"`, `"workspace"`: one that the customer set for either (400, told by its message alone). It says
      when access resumes, which is when the next month begins (UTC), and then it does. The others refuse for good;
    - `"user_profile"`: that of each user profile alone (402, `linked_organization_spend_limit_reached`), by the header
      `anthropic-user-profile-id`. Requests without one have no limit.
    """

    output_tokens: int = attrs.field(validator=_check_not_negative)
    kind: SpendKind = attrs.field(default="tier", validator=_check_kind)


@attrs.frozen(kw_only=True)
class Overload:
    """When the service has no room: by chance, and in outages.

    A request is refused with `probability`, and without exception in `outages`, each a pair of its start and its end
    in seconds since the first request for a message. What was let in goes on to its end.
    """

    probability: float = attrs.field(default=0.0, validator=check_probability)
    outages: tuple[tuple[float, float], ...] = attrs.field(default=(), converter=_as_pairs, validator=_check_outages)


@attrs.frozen(kw_only=True)
class Cache:
    """The prompt cache: the shortest prefix it takes, and how long an entry lives after its last use."""

    minimum_tokens: int = attrs.field(default=1_024, validator=_check_not_negative)
    ttl: float = attrs.field(default=300.0, validator=check_positive)
    """Seconds. An entry whose `cache_control` asks for `"1h"` lives for an hour."""


@attrs.frozen(kw_only=True)
class Conditions:
    """All conditions of the service. The default refuses nothing, and caches as the API does."""

    limits: ServiceLimits = attrs.field(factory=ServiceLimits, validator=_check_is(ServiceLimits))
    ramp: Ramp | None = attrs.field(default=None, validator=attrs.validators.optional(_check_is(Ramp)))
    spend: SpendLimit | None = attrs.field(default=None, validator=attrs.validators.optional(_check_is(SpendLimit)))
    overload: Overload = attrs.field(factory=Overload, validator=_check_is(Overload))
    cache: Cache = attrs.field(factory=Cache, validator=_check_is(Cache))
