"""Faults by chance: how many answers misbehave, and in which way."""

from __future__ import annotations

import math
from random import Random
from typing import Any, TypeAlias

import attrs

from ..service import check_probability, is_number
from .script import Bytes, Cut, CutHow, Fail, Stall

__all__ = ["NO_FAULTS", "Chance", "Faults"]


def _check_status(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not is_number(value) or value not in range(400, 600):
        raise ValueError(f"{attribute.name} must be a status between 400 and 599, not {value!r}")


def _check_seconds(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be a number above 0, not {value!r}")


@attrs.frozen(kw_only=True)
class Faults:
    """The probability of each fault, from 0 to 1; an answer has one of them at most.

    Each comes at a random byte of the body, any of them being as likely: an answer that ends there in good order but
    is not whole (`end`), whose connection is closed there (`close`) or reset (`reset`), that breaks off with an event
    whose JSON is broken (`garbage`) or with an error event (`error`, which is that of `error_status`), and that falls
    silent (`stall`) for `stall_seconds`, or for good when that is None.

    Which answers these are depends on the seed and on the count of requests alone. A request that takes a step of the
    script does as the script says; it counts, too.
    """

    end: float = attrs.field(default=0.0, validator=check_probability)
    close: float = attrs.field(default=0.0, validator=check_probability)
    reset: float = attrs.field(default=0.0, validator=check_probability)
    garbage: float = attrs.field(default=0.0, validator=check_probability)
    error: float = attrs.field(default=0.0, validator=check_probability)
    stall: float = attrs.field(default=0.0, validator=check_probability)
    error_status: int = attrs.field(default=529, validator=_check_status)
    stall_seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(_check_seconds))

    def __attrs_post_init__(self) -> None:
        total = self.end + self.close + self.reset + self.garbage + self.error + self.stall
        if total > 1 + 1e-9:
            raise ValueError(f"the probabilities of all faults must not add up to more than 1, but make {total:g}")

    def draw(self, random: Random) -> Chance | None:
        """Returns the fault of the next answer; None when it has none."""
        draw, where = random.random(), random.random()
        faults: list[tuple[float, _Drawn]] = [
            (self.end, "end"),
            (self.close, "close"),
            (self.reset, "reset"),
            (self.garbage, "garbage"),
            (self.error, Fail(self.error_status)),
            (self.stall, None),
        ]
        for probability, how in faults:
            if draw < probability:
                return Chance(how, where, self.stall_seconds)
            draw -= probability
        return None


_Drawn: TypeAlias = CutHow | Fail | None


@attrs.frozen
class Chance:
    """A fault that was drawn, for a body whose size isn't known yet. `where` is a share of it, 0 to less than 1."""

    _how: _Drawn
    _where: float
    _stall_seconds: float | None

    def of(self, size: int) -> Cut | Stall:
        """Returns the fault for a body of this many bytes."""
        place = Bytes(int(self._where * size))
        return Stall(place, seconds=self._stall_seconds) if self._how is None else Cut(place, self._how)


NO_FAULTS = Faults()
