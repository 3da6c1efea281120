"""Callers: whose requests a gateway runs, told apart by their keys without keeping them.

A caller has limits and a spend cap of their own. When there are too many, those are forgotten who ask nothing and have
spent nothing under a cap.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from hashlib import blake2b

import attrs

from ..admission.spend_cap import SpendCap

__all__ = ["Caller", "Callers"]

_MANY = 1_000


@attrs.define(eq=False)
class Caller:
    """Whoever brings a key, or none."""

    name: str
    """A hash of the key: the same as long as the process lives, and of no use elsewhere."""
    cap: SpendCap | None
    credentials: Hashable
    """What its limits are counted by: for the same key the same in every process, if that is known."""
    running: int = 0
    """Requests that wait or run."""


class Callers:
    """The callers of late. `spend_cap` is in dollars, for each of them; `forget` is told whose limits are to be
    forgotten, and `counted_by` tells by a key whose they are."""

    def __init__(
        self,
        spend_cap: float | None,
        forget: Callable[[Hashable], None],
        *,
        counted_by: Callable[[str], Hashable] | None = None,
        many: int = _MANY,
    ) -> None:
        self._spend_cap = spend_cap
        self._counted_by = counted_by
        self._forget = forget
        self._many = many
        self._secret = secrets.token_bytes(16)
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def __iter__(self) -> Iterator[Caller]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def enter(self, key: str | None) -> Caller:
        """The caller with this key, who has one more request now."""
        name = blake2b((key or "").encode("latin-1", "replace"), key=self._secret, digest_size=8).hexdigest()
        caller = self._known.get(name)
        if caller is None:
            cap = None if self._spend_cap is None else SpendCap(self._spend_cap)
            credentials = name if key is None or self._counted_by is None else self._counted_by(key)
            caller = self._known[name] = Caller(name, cap, credentials)
        self._known.move_to_end(name)
        caller.running += 1
        self._forget_idle()
        return caller

    def leave(self, caller: Caller) -> None:
        """One of the caller's requests is over."""
        caller.running -= 1
        self._forget_idle()

    def _forget_idle(self) -> None:
        surplus = len(self._known) - self._many
        if surplus <= 0:
            return
        # Who has spent is kept: a cap holds as long as the gateway runs.
        idle = [one for one in self._known.values() if not one.running and (one.cap is None or not one.cap.spent)]
        for caller in idle[:surplus]:
            del self._known[caller.name]
            self._forget(caller.credentials)
