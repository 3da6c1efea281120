"""An engine's part in a budget: the pools that share their limits, and the one task that reports for all of them."""

import math
from collections.abc import Callable, Hashable
from typing import Protocol

import anyio

from ..admission import Limits
from ..admission.demand import Demand
from ..admission.pool import Pool
from ..telemetry import warn
from .budget import Budget, CarrierFailed, ImmediateBudget, account_of
from .membership import Membership
from .messages import Grant, Report
from .share import SharedPool
from .stats import BudgetStats

__all__ = ["Sharing"]

_PATIENCE = 1.0  # seconds for an exchange
_AT_FIRST = 10.0  # seconds for the first one, for which a carrier may have to start something
_FAREWELL = 1.0  # seconds to leave


class Demands(Protocol):
    """What is known of the requests that wait."""

    @property
    def pools(self) -> tuple[Pool, ...]: ...

    def demand(self, pool: Pool, now: float) -> Demand: ...

    def admit(self) -> None: ...


class Sharing:
    """The part of one engine in `budget`. `clock` gives seconds."""

    def __init__(self, budget: Budget, clock: Callable[[], float], demands: Callable[[], Demands]) -> None:
        self._budget = budget
        self._clock = clock
        self._demands = demands
        self._members: list[Membership] = []
        self._woken = anyio.Event()
        self._told = False

    def make_pool(
        self,
        credentials: Hashable,
        name: str,
        ceiling: int,
        limits: Limits,
        now: float,
        /,
        *,
        fixed: bool,
        fast: bool,
    ) -> Pool:
        """The pool of a customer, which shares its limits; one of its own when nobody can know whose they are. It joins
        at once if that takes no waiting."""
        budget = self._budget
        account = account_of(credentials, name, budget.name)
        if account is None:
            return Pool(name, ceiling, limits, now, fixed=fixed, fast=fast)
        pool = SharedPool(
            name,
            ceiling,
            limits,
            now,
            fixed=fixed,
            fast=fast,
            weight=budget.weight,
            priority=budget.priority,
            clock=self._clock,
            wake=self._wake,
        )
        member = Membership(pool, account)
        self._members.append(member)
        report = member.report(Demand(), now)
        try:
            grant = self._exchange_now(account, report)
        except Exception as exc:
            self._fail(member, report, exc)
        else:
            if grant is None:
                pool.notes.urge()
            else:
                member.granted(report, grant, now)
        return pool

    def _wake(self) -> None:
        self._woken.set()

    def _exchange_now(self, account: str, report: Report) -> Grant | None:
        return self._budget.exchange_now(account, report) if isinstance(self._budget, ImmediateBudget) else None

    def _fail(self, member: Membership, report: Report, exc: Exception) -> None:
        """A carrier's failure is told once, and stops nothing."""
        member.failed(report, self._clock())
        if not self._told:
            self._told = True
            # What others' libraries say may hold a password.
            why = str(exc) if isinstance(exc, CarrierFailed) else type(exc).__name__
            warn("budget.out_of_reach", carrier=type(self._budget).__name__, why=why)

    async def run(self) -> None:
        """Reports whenever it is due. Cancelled, it leaves what was granted as it is."""
        while True:
            self._woken = woken = anyio.Event()
            now = self._clock()
            for member in [one for one in self._members if one.due(now) <= now]:
                await self._exchange(member)
                self._demands().admit()
            self._drop_forgotten()
            now = self._clock()
            due = min((one.due(now) for one in self._members), default=math.inf)
            with anyio.move_on_after(max(0.0, due - now)):
                await woken.wait()

    def _drop_forgotten(self) -> None:
        """Keeps nothing of pools that are forgotten, once they have left the ledger."""
        if any(one.pool.grant is None for one in self._members):
            known = set(self._demands().pools)
            self._members = [one for one in self._members if one.pool.grant is not None or one.pool in known]

    async def _exchange(self, member: Membership, *, leaving: bool = False) -> None:
        now = self._clock()
        report = member.report(self._demands().demand(member.pool, now), now, leaving=leaving)
        try:
            grant = self._exchange_now(member.account, report)
            if grant is None:
                with anyio.fail_after(_AT_FIRST if member.is_new else _PATIENCE):
                    grant = await self._budget.exchange(member.account, report)
            member.granted(report, grant, self._clock())
        except Exception as exc:
            self._fail(member, report, exc)

    async def leave(self) -> None:
        """Gives back what was granted, as far as that can be done within a second, whether it is cancelled or not."""
        with anyio.move_on_after(_FAREWELL, shield=True):
            for member in self._members:
                if member.pool.grant is not None and not member.alone:
                    await self._exchange(member, leaving=True)
        with anyio.move_on_after(_FAREWELL, shield=True):
            try:
                await self._budget.aclose()
            except Exception as exc:
                warn("budget.not_closed", carrier=type(self._budget).__name__, why=type(exc).__name__)

    def stats(self) -> BudgetStats:
        """The engine's part at this moment."""
        now = self._clock()
        granted = [(one.pool.grant, one.pool.granted_at) for one in self._members if one.pool.grant is not None]
        largest = max((grant.participants for grant, _ in granted), default=1)
        return BudgetStats(
            participants=largest,
            share=min((grant.share for grant, _ in granted), default=1.0),
            age=max((now - at for _, at in granted), default=0.0),
            alone=any(one.alone for one in self._members),
            on_host=self._budget.on_host,
        )
