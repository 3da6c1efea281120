"""The pool of idle connections. It does no I/O and has no timer: connections that have been idle for too long are
aborted when one is taken or put back."""

from collections import defaultdict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

__all__ = ["IdlePool"]


class _Idle(Protocol):
    def is_open(self) -> bool: ...

    def abort(self) -> None: ...


_C = TypeVar("_C", bound=_Idle)


class IdlePool(Generic[_C]):
    """Keeps up to `size` idle connections, each for `expiry` seconds, and aborts the others. The last one put back is
    the first one taken, so that connections that are no longer needed expire."""

    def __init__(self, *, expiry: float, size: int) -> None:
        self._expiry = expiry
        self._size = size
        self._idle: defaultdict[Hashable, list[tuple[float, _C]]] = defaultdict(list)  # each with its end, oldest first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def counts(self) -> dict[Hashable, int]:
        """How many idle connections there are for each key."""
        return {key: len(idle) for key, idle in self._idle.items()}

    def take(self, key: Hashable, now: float) -> _C | None:
        """Takes an open connection for `key` out of the pool; None when there is none. `now` is in seconds."""
        self._drop_expired(now)
        idle = self._idle.get(key)
        while idle:
            _, connection = idle.pop()
            self._count -= 1
            if not idle:
                del self._idle[key]
            if connection.is_open():
                return connection
            connection.abort()
        return None

    def put(self, key: Hashable, connection: _C, now: float) -> None:
        """Keeps an idle connection, or aborts it when the pool is full. `now` is in seconds."""
        self._drop_expired(now)
        if self._count >= self._size or not connection.is_open():
            connection.abort()
            return
        self._idle[key].append((now + self._expiry, connection))
        self._count += 1

    def clear(self) -> None:
        """Aborts all connections in the pool."""
        for idle in self._idle.values():
            for _, connection in idle:
                connection.abort()
        self._idle.clear()
        self._count = 0

    def _drop_expired(self, now: float) -> None:
        for key, idle in list(self._idle.items()):
            while idle and idle[0][0] <= now:
                idle.pop(0)[1].abort()
                self._count -= 1
            if not idle:
                del self._idle[key]
