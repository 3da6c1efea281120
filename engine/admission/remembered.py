"""What an object of admission has learnt, as plain data: to be kept elsewhere, and put into another one of its kind."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

__all__ = ["Remembered"]


_NUMBERS = frozenset({int, float, bool})


class Remembered:
    """Its attributes are numbers, lists of numbers, and objects of this kind. `_fixed_parts` names those that are no
    part of what was learnt."""

    _fixed_parts: ClassVar[frozenset[str]] = frozenset()

    def remember(self) -> dict[str, Any]:
        """What it has learnt."""
        return {
            name: value.remember() if isinstance(value, Remembered) else value
            for name, value in vars(self).items()
            if name not in self._fixed_parts
        }

    def recall(self, learnt: object) -> None:
        """Takes over what another one has learnt. Raises `ValueError` for what is not of this kind."""
        found, own, fixed = mapping(learnt), vars(self), self._fixed_parts
        for name, value in own.items():
            if name in fixed:
                continue
            if name not in found:
                raise ValueError(f"{type(self).__name__} has learnt nothing of {name.strip('_')}")
            if isinstance(value, Remembered):
                value.recall(found[name])
            else:
                kept = found[name]
                own[name] = kept if type(kept) in _NUMBERS else plain(kept)  # inline: this is done for each exchange


def mapping(value: object) -> Mapping[str, object]:
    """The value. Raises `ValueError` when it is no mapping."""
    if type(value) is not dict and not isinstance(value, Mapping):  # the second is slow, and this is called often
        raise ValueError(f"a {type(value).__name__} where a mapping has to be")
    return cast("Mapping[str, object]", value)


def plain(value: object) -> object:
    """The value. Raises `ValueError` when it is not a number, nothing, or a list of numbers."""
    if type(value) in _NUMBERS or value is None:
        return value
    if isinstance(value, list):
        numbers = cast("list[object]", value)
        if _NUMBERS.issuperset(map(type, numbers)):
            return numbers
    raise ValueError("something else where a number has to be")
