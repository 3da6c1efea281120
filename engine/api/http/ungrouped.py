"""One failure where nurseries and task groups raise several.

A cancellation comes out of trio's nurseries as a group of `trio.Cancelled`, one for each task, with the `OSError`s of
those that had failed already beside them; a failure in a task group is in a group of one. Whoever waits for bytes needs
to know one thing: was it cancelled, or did it fail?
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

import anyio

__all__ = ["one_of", "ungrouped"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


async def ungrouped(work: Callable[[*_Ts], Awaitable[_T]], *args: *_Ts) -> _T:
    """Calls and awaits `work`. Raises what it raises, but for a group the one exception in it that counts."""
    try:
        return await work(*args)
    except BaseExceptionGroup as exc:
        failure = one_of(exc)
    # Not raised within `except`: the group would be its context, and know it: both would wait for the collector.
    try:
        raise failure
    finally:
        del failure


def one_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The exception in a group that counts: an interrupt; else a cancellation, whatever failed beside it; else the
    first that is no `OSError`; else one `OSError` that says what all say."""
    leaves = _leaves(group)
    cancelled = anyio.get_cancelled_exc_class()
    cancellation: BaseException | None = None
    for leaf in leaves:
        if isinstance(leaf, cancelled):
            cancellation = cancellation or leaf
        elif not isinstance(leaf, Exception):
            return leaf
    if cancellation is not None:
        return cancellation
    for leaf in leaves:
        if not isinstance(leaf, OSError):
            return leaf
    if len(leaves) == 1:
        return leaves[0]
    return OSError("; ".join(dict.fromkeys(str(leaf) for leaf in leaves)))


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    leaves: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        exc = rest.pop(0)
        if isinstance(exc, BaseExceptionGroup):
            rest[:0] = exc.exceptions  # pyright: ignore[reportUnknownMemberType]
        else:
            leaves.append(exc)
    return leaves
