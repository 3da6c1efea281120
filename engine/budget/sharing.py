"""An engine's part in a budget: the pools that share their limits, and the one task that reports for all of them."""

import math
from collections.abc import Callable, Hashable
from typing import Protocol

import anyio

from ..admission import Limits
from ..admission.demand import Demand
from ..admission.pool import Pool
from ..telemetry import warn
from .budget import Budget, CarrierFailed, ImmediateBudget, account_of, purse_of
from .membership import Membership
from .messages import GrantT, Report, Told
from .share import SharedPool
from .shared_cap import SharedCap
from .stats import BudgetStats

__all__ = ["Sharing"]

_PATIENCE = 1.0  # seconds for an exchange
_FAREWELL = 1.0  # seconds to leave


class Demands(Protocol):
    """What is known of the requests that wait."""

    @property
    def pools(self) -> tuple[Pool, ...]: ...

    waiting: int

    def demand(self, pool: Pool, now: float) -> Demand: ...

    def admit(self) -> None: ...

    def share_retries(self, part: float) -> None: ...


class Sharing:
    """The part of one engine in `budget`. `clock` gives seconds."""

    def __init__(self, budget: Budget, clock: Callable[[], float], demands: Callable[[], Demands]) -> None:
        self._budget = budget
        self._clock = clock
        self._demands = demands
        self._members: list[Membership] = []
        self._woken = anyio.Event()
        self._told = False
        self._at_first: float = getattr(budget, "starts_within", _PATIENCE)
        self._part = 1.0
        self._purse = purse_of(budget.name)
        self.cap = self._shared_cap()
        """The spend cap of the budget; None when it has none."""

    def _shared_cap(self) -> SharedCap | None:
        budget = self._budget
        if budget.spend_cap is None or self._purse is None:
            return None
        cap = SharedCap(budget.spend_cap, weight=budget.weight, priority=budget.priority, wake=self._wake)
        try:
            allowed = self._exchange_now(self._purse, cap.report(0, self._clock()))
        except Exception as exc:
            cap.fail()
            self._tell(exc)
        else:
            if allowed is not None:
                cap.take(allowed)
        return cap

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

    def _exchange_now(self, account: str, report: Told[GrantT]) -> GrantT | None:
        return self._budget.exchange_now(account, report) if isinstance(self._budget, ImmediateBudget) else None

    def _fail(self, member: Membership, report: Report, exc: Exception) -> None:
        """A carrier's failure is told once, and stops nothing."""
        member.failed(report, self._clock())
        self._tell(exc)

    def _tell(self, exc: Exception) -> None:
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
                self._share_retries()
                self._demands().admit()
            if self.cap is not None and self.cap.due(now, self._demands().waiting) <= now:
                await self._exchange_dollars(self.cap)
                self._demands().admit()
            self._drop_forgotten()
            now = self._clock()
            due = min((one.due(now) for one in self._members), default=math.inf)
            if self.cap is not None:
                due = min(due, self.cap.due(now, self._demands().waiting))
            with anyio.move_on_after(max(0.0, due - now)):
                await woken.wait()

    def _share_retries(self) -> None:
        """An engine's part in all retries is its fair share of the limits, of several the largest."""
        part = max((one.pool.grant.share for one in self._members if one.pool.grant is not None), default=1.0)
        if part != self._part:
            self._part = part
            self._demands().share_retries(part)

    def _drop_forgotten(self) -> None:
        """Keeps nothing of pools that are forgotten, once they have left the ledger."""
        if any(one.pool.grant is None for one in self._members):
            known = set(self._demands().pools)
            self._members = [one for one in self._members if one.pool.grant is not None or one.pool in known]

    async def _exchange(self, member: Membership, *, leaving: bool = False) -> None:
        now = self._clock()
        report = member.report(self._demands().demand(member.pool, now), now, leaving=leaving)
        try:
            grant = await self._carry(member.account, report, self._at_first if member.is_new else _PATIENCE)
            member.granted(report, grant, self._clock())
        except Exception as exc:
            self._fail(member, report, exc)

    async def _exchange_dollars(self, cap: SharedCap, *, leaving: bool = False) -> None:
        assert self._purse is not None
        report = cap.report(self._demands().waiting, self._clock(), leaving=leaving)
        try:
            cap.take(await self._carry(self._purse, report, _PATIENCE))
        except Exception as exc:
            cap.fail()
            self._tell(exc)

    async def _carry(self, account: str, report: Told[GrantT], patience: float) -> GrantT:
        grant = self._exchange_now(account, report)
        if grant is None:
            with anyio.fail_after(patience):
                grant = await self._budget.exchange(account, report)
        return grant

    async def leave(self) -> None:
        """Gives back what was granted, as far as that can be done within a second, whether it is cancelled or not."""
        with anyio.move_on_after(_FAREWELL, shield=True):
            for member in self._members:
                if member.pool.grant is not None and not member.alone:
                    await self._exchange(member, leaving=True)
            if self.cap is not None and not self.cap.alone:
                await self._exchange_dollars(self.cap, leaving=True)
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
            alone=any(one.alone for one in self._members) or (self.cap is not None and self.cap.alone),
            on_host=self._budget.on_host,
            spent=None if self.cap is None else self.cap.spent,
            spend_cap=self._budget.spend_cap,
        )
