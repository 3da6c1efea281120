"""The budget that an engine is given, in words or as an object."""

from ...actors.stream import as_given
from .budget import Budget

__all__ = ["budget_of"]


def budget_of(given: object) -> Budget | None:
    """The budget that is meant; None when none is. Raises `TypeError` for what is none, `ValueError` for words that
    mean none, and `ImportError` when a package is missing that it needs."""
    if given is None or isinstance(given, Budget):
        return given
    if not isinstance(given, str):
        raise TypeError(f'budget is "host", "ray", a URL redis://…, a HostBudget(...) or None, not {as_given(given)}')
    if given == "host":
        from .host import HostBudget

        return HostBudget()
    if given == "ray":
        from .ray import RayBudget

        return RayBudget()
    if given.partition("://")[0] in ("redis", "rediss", "unix"):
        from .redis import RedisBudget

        return RedisBudget(given)
    raise ValueError(f'budget is "host", "ray" or a URL redis://…, not {as_given(given)}')
