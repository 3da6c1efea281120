"""Which models share one rate limit.

The API counts requests and tokens by model group: the models of one line share what the table says, whatever name asks
for them, an alias or a dated one. Traffic in fast mode (`speed: "fast"`) has limits of its own.

Source: platform.claude.com/docs/en/api/rate-limits, as it stood on 17 October 2026.
"""

import re
from collections.abc import Mapping

import attrs

from .settings import Limits

__all__ = ["ModelGroups", "limits_by_pool", "model_group", "pool_name"]

_GROUPS = {
    "claude-fable-5.x": ("claude-fable-5", "claude-fable-5-1", "claude-fable-5-2"),
    "claude-opus-4.x": ("claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8"),
    "claude-sonnet-4.x": ("claude-sonnet-4-5", "claude-sonnet-4-6"),
}
_GROUP_OF = {model: group for group, models in _GROUPS.items() for model in models}
_RELEASE = re.compile(r"(?:[-@]\d{8}|-latest)\Z")  # as in claude-haiku-4-5-20251001; Google Cloud writes @20251001
_FAST = " (fast)"


def model_group(model_name: str) -> str:
    """The name of the group whose limits a model counts against: the model's own, without its date, unless it shares
    them with others. Amazon Bedrock's names (`anthropic.claude-…`) are groups of their own."""
    if not model_name.startswith("claude-"):
        return model_name
    base = _RELEASE.sub("", model_name)
    return _GROUP_OF.get(base, base)


@attrs.frozen
class ModelGroups:
    """The model groups of one customer, as the API told them."""

    names: Mapping[str, str]
    """The group's name, by the names of its models."""
    limits: Mapping[str, Limits]
    """By the group's name."""

    def group(self, model_name: str) -> str:
        """The name of a model's group."""
        return self.names.get(model_name) or model_group(model_name)


def pool_name(group: str, *, fast: bool) -> str:
    """What the rate-limit pool of a group is called."""
    return group + _FAST if fast else group


def limits_by_pool(limits: Mapping[str, Limits]) -> dict[str, Limits]:
    """Limits set by hand, by the pool's name, from those given by a pool's or a model's name.

    What looks like a model's name may also be that of a pool of the caller's own: it stays in, beside its group's.

    Raises `ValueError` when two models that share one limit are given different ones.
    """
    found: dict[str, tuple[str, Limits]] = {}
    for name, limit in limits.items():
        pool = pool_name(model_group(name.removesuffix(_FAST)), fast=name.endswith(_FAST))
        other, before = found.setdefault(pool, (name, limit))
        if before != limit:
            raise ValueError(f"limits: {other!r} and {name!r} share one rate limit, that of {pool!r}, but differ")
    return {**limits, **{pool: limit for pool, (_, limit) in found.items()}}
