"""A hub's settings, checked where they are given."""

from typing import Literal

import attrs

from ...actors.stream import kind, number
from .encoders import Shown

__all__ = ["MAX_KEPT", "HubSettings"]

MAX_KEPT = 64 * 1024 * 1024


_seconds = number("{} is a number of seconds, 0 or more", least=0)
_some_seconds = number("{} is a number of seconds above 0", above=0)


@attrs.frozen(kw_only=True)
class HubSettings:
    """See `StreamHub`."""

    retention: float = attrs.field(default=300.0, validator=_seconds)
    keepalive: float = attrs.field(default=15.0, validator=_some_seconds)
    pace: float = attrs.field(default=0.0, validator=_seconds)
    linger: float | None = attrs.field(
        default=None, validator=number("{} is a number of seconds, 0 or more, or None", least=0, optional=True)
    )
    send_timeout: float = attrs.field(default=60.0, validator=_some_seconds)
    grace: float = attrs.field(default=5.0, validator=_seconds)
    max_kept: int = attrs.field(
        default=MAX_KEPT, validator=number("{} is a whole number of characters, 0 or more", least=0, whole=True)
    )
    deliver: Literal["at-once", "logged"] = attrs.field(
        default="at-once", validator=attrs.validators.in_(("at-once", "logged"))
    )
    lease: float = attrs.field(default=10.0, validator=_some_seconds)
    takeover: Literal["interrupted", "continue"] = attrs.field(
        default="interrupted", validator=attrs.validators.in_(("interrupted", "continue"))
    )
    keep_request: bool = attrs.field(default=False, validator=kind(bool, "True or False"))
    shown: Shown = attrs.field(default=Shown(), validator=kind(Shown, "a Shown, as in Shown(thinking=False)"))
