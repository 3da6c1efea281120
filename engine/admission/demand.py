"""What the requests that wait for one pool would take of its limits."""

from collections.abc import Mapping

import attrs

from .settings import Reason

__all__ = ["Demand"]


@attrs.frozen
class Demand:
    """The requests that only their pool holds back."""

    waiting: int = 0
    """How many could be sent at once."""
    amounts: Mapping[Reason, float] = attrs.field(factory=dict[Reason, float])
    """What one of them needs, on average."""
    heads: Mapping[Reason, float] = attrs.field(factory=dict[Reason, float])
    """The most that the first in a queue needs."""
