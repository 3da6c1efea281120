"""One exception instead of the groups that nurseries and task groups raise.

trio's nurseries raise a cancellation as a group of `trio.Cancelled`, one for each task, beside the `OSError`s of tasks
that had failed before. A task group wraps even a single failure in a group. A caller that waits for bytes has one
question: was it cancelled, or did it fail?
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, TypeVarTuple

import anyio

__all__ = ["one_of", "ungrouped"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


async def ungrouped(work: Callable[[*_Ts], Awaitable[_T]], *args: *_Ts) -> _T:
    """Calls and awaits `work`. Raises what it raises, but instead of a group the one exception that `one_of` picks."""
    try:
        return await work(*args)
    except BaseExceptionGroup as exc:
        failure = one_of(exc)
    # Raised outside of `except`: there its context would be the group that holds it, a reference cycle.
    try:
        raise failure
    finally:
        del failure


def one_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The exception in a group that matters most: one like `KeyboardInterrupt`; else a cancellation; else the first
    that is no `OSError`; else one `OSError` with the words of all."""
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
