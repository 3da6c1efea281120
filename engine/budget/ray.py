"""The budget of a Ray cluster: the ledger in the memory of an actor, which all who need it find by its name.

The actor outlives the job that made it, as others may have joined meanwhile, and is started again when it dies. It then
begins with an empty ledger: within a second each engine has reported, and what the limits are is learnt again from the
next headers. It takes no core of the cluster.
"""

import time
from importlib import import_module
from threading import Lock
from typing import Any

import anyio.to_thread

from ...actors.stream import check_kind
from .budget import CarrierFailed
from .checks import check_shares
from .memory import MemoryLedgers
from .messages import GrantT, Told
from .state import FORMAT

__all__ = ["Ledgers", "RayBudget"]

_SECONDS = 0.9  # for the actor to answer
_STARTS = 8.0  # seconds for a process of the cluster to start, and to import this


class RayBudget:
    """One budget for all engines in a Ray cluster that use the same key, on any of its machines.

    `name`, `weight` and `priority` are as in `HostBudget`. `namespace` is Ray's: the actor with the ledger is one for
    each, whatever the namespace of the job. The actor is made when it is first needed, and stays as long as the
    cluster. It holds hashes of accounts, numbers and times.

    The process has to be in the cluster (`ray.init()`, or a worker's): none is started. It needs the extra `ray`.
    Raises `TypeError` and `ValueError` for settings that make no sense, and `ImportError` without Ray. It may be given
    to several engines, and pickled.
    """

    on_host = False
    starts_within = _STARTS + 1.0
    """How many seconds the first exchange may take."""
    spend_cap: float | None = None
    """None: what the memory of a process holds is no account of dollars."""

    def __init__(
        self, *, name: str | None = None, weight: float = 1.0, priority: int = 0, namespace: str = "manystream"
    ) -> None:
        check_shares(name, weight, priority)
        check_kind("namespace", namespace, str, "a text")
        if not namespace:
            raise ValueError("namespace is the name of one of Ray's namespaces; it is empty")
        try:
            self._ray: Any = import_module("ray")
        except ImportError:
            raise ImportError("a budget on Ray needs another package: pip install 'manystream[ray]'") from None
        self.name = name
        self.weight = weight
        self.priority = priority
        self._namespace = namespace
        self._lock = Lock()
        self._actor: Any = None

    def __repr__(self) -> str:
        return f"RayBudget(name={self.name!r}, namespace={self._namespace!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "weight": self.weight,
            "priority": self.priority,
            "namespace": self._namespace,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    async def exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        """Takes a report to the ledger. Cancelled, it may have been booked all the same, which does no harm."""
        # In a thread, since Ray's references can only be awaited on asyncio.
        return await anyio.to_thread.run_sync(self._exchange_now, account, report, abandon_on_cancel=True)

    def _exchange_now(self, account: str, report: Told[GrantT]) -> GrantT:
        if not self._ray.is_initialized():  # else Ray would start a cluster of its own
            raise CarrierFailed("Ray: this process is in no cluster; call ray.init() before")
        with self._lock:
            fresh = self._actor is None
            try:
                if fresh:
                    self._actor = self._found()
                answer = self._actor.exchange.remote(account, report)
            except Exception as exc:
                self._actor = None
                raise CarrierFailed(f"Ray: {type(exc).__name__}") from None
        try:
            grant: GrantT = self._ray.get(answer, timeout=_STARTS if fresh else _SECONDS)
        except Exception as exc:
            if not isinstance(exc, self._ray.exceptions.GetTimeoutError):
                self._actor = None  # it may be gone for good: the next time another is made
            raise CarrierFailed(f"Ray: {type(exc).__name__}") from None
        return grant

    def _found(self) -> Any:
        """The actor; it is made if there is none."""
        actor = self._ray.remote(Ledgers).options(
            name=f"manystream-budget-{FORMAT}",
            namespace=self._namespace,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            max_restarts=-1,
        )
        return actor.remote()

    async def aclose(self) -> None:
        """Lets go of the actor, which stays for others."""
        with self._lock:
            self._actor = None


class Ledgers:
    """What the actor is."""

    def __init__(self) -> None:
        self._ledgers = MemoryLedgers(time.monotonic)

    def exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        """Takes a report in, and grants a share."""
        return self._ledgers.exchange(account, report)
