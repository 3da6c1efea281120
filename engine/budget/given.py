"""The budget that an engine is given, in words or as an object."""

from ...actors.stream import as_given
from .budget import Budget

__all__ = ["budget_of"]


def budget_of(given: object) -> Budget | None:
    """The budget that is meant; None when none is. Raises `TypeError` for what is none, and `ValueError` for words that
    mean none."""
    if given is None or isinstance(given, Budget):
        return given
    if not isinstance(given, str):
        raise TypeError(f'budget is "host", a HostBudget(...) or None, not {as_given(given)}')
    if given == "host":
        from .host import HostBudget

        return HostBudget()
    raise ValueError(f'budget is "host", not {as_given(given)}')
