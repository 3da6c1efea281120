"""Who may run, and when: decisions only; the engine acts on them.

A request that waits is a ticket in a lane, not a task. It may be held back by the engine's own cap, by its group's, by
its pool's limits, by the budget for retries, by the spend cap, or by another request that is about to write the prompt
prefix they share. `admit` looks at the first ticket of each lane in turn; `due` is when to look again if nothing else
happens.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import count

from ...actors.message import Usage
from ...actors.stream import ErrorInfo
from ..prices import Prices
from .demand import Demand
from .lanes import GroupState, Lane, Lanes
from .model_groups import ModelGroups, limits_by_pool, model_group, pool_name
from .pool import MakePool, Pool, pool_of_its_own
from .reservation import Reservation
from .retry_budget import RetryBudget
from .settings import Group, Limits, Reason
from .spend_cap import SpendCap
from .throttle import Block
from .ticket import Ticket

__all__ = ["Admission", "EngineBusy"]

_LEAST_RETRIES = 10.0
_MANY_GROUPS = 1000
_ANY: Block = ("concurrency", None)
_CACHE: Block = ("cache", None)


class EngineBusy(RuntimeError):
    """The queue is full: `max_queued` requests are waiting already."""


class Admission:
    """Orders the requests that wait, and keeps the accounts of those that run. `clock` gives seconds; `woken` is called
    when `due` has moved to an earlier moment."""

    def __init__(
        self,
        max_concurrency: int,
        *,
        clock: Callable[[], float],
        woken: Callable[[], None],
        max_queued: int | None = None,
        limits: Mapping[str, Limits] | Limits | None = None,
        groups: Mapping[str, Group] | None = None,
        spend_cap: float | None = None,
        prices: Prices | None = None,
        make_pool: MakePool = pool_of_its_own,
        shared_cap: SpendCap | None = None,
    ) -> None:
        self._make_pool = make_pool
        self._max_concurrency = max_concurrency
        self._max_queued = max_queued
        self._clock = clock
        self._woken = woken
        self._limits = limits if isinstance(limits, Limits) else limits_by_pool(limits or {})
        self._prices = prices or Prices()
        self._pools: dict[tuple[Hashable, str], Pool] = {}
        self._told: dict[Hashable, ModelGroups] = {}
        self._groups = {name: GroupState(group) for name, group in (groups or {}).items()}
        self._named_groups = frozenset(self._groups)
        self._prune_at = len(self._groups) + _MANY_GROUPS
        self._no_group = GroupState(Group())
        self._lanes = Lanes()
        self._followers: dict[Reservation, list[Ticket]] = {}
        self._numbers = count()
        self._retries = RetryBudget(max(_LEAST_RETRIES, max_concurrency / 2), clock())
        self.spend_cap = SpendCap(spend_cap) if spend_cap is not None else None
        self._shared_cap = shared_cap
        self._shut: dict[Pool, Block] = {}  # when last looked at
        self._admitting = False
        self.running = 0
        self.waiting = 0
        self.due = math.inf
        """When a request may be admitted only because time has passed, in seconds on the clock."""

    def learn_groups(self, credentials: Hashable, groups: ModelGroups) -> None:
        """The API told the model groups of a customer and their limits. Headers correct them later."""
        self._told[credentials] = groups

    def pool(self, credentials: Hashable, model_name: str, *, own: str | None = None, fast: bool = False) -> Pool:
        """The pool for one set of credentials and a model's group, or one with a name of the caller's `own`; in fast
        mode or not."""
        told = self._told.get(credentials)
        group = own or (model_group(model_name) if told is None else told.group(model_name))
        name = pool_name(group, fast=fast)
        pool = self._pools.get((credentials, name))
        if pool is None:
            fixed = self._limits if isinstance(self._limits, Limits) else self._limits.get(name)
            learnt = None if told is None else told.limits.get(name)
            pool = self._pools[credentials, name] = self._make_pool(
                credentials,
                name,
                self._max_concurrency,
                fixed or learnt or Limits(),
                self._clock(),
                fixed=bool(fixed),
                fast=fast,
            )
        return pool

    def forget(self, credentials: Hashable) -> None:
        """Forgets what was learnt for credentials that nothing waits or runs for."""
        self._pools = {key: pool for key, pool in self._pools.items() if key[0] != credentials}

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools so far."""
        return tuple(self._pools.values())

    def demand(self, pool: Pool, now: float) -> Demand:
        """What would be sent to a pool now if nothing but the pool itself held it back."""
        waiting, free = 0, self._max_concurrency - self.running
        amounts: dict[Reason, float] = {}
        heads: dict[Reason, float] = {}
        for lane in self._lanes.of(pool) if free > 0 else ():
            if (head := lane.head()) is None:
                continue
            caps = self._caps(head)
            if self._held_back(lane, now, caps, self._estimated_cost(head) if caps else 0.0) is not None:
                continue
            waiting += len(lane)
            for reason, amount in pool.needs(head, now).items():
                amounts[reason] = amounts.get(reason, 0.0) + amount * len(lane)
                heads[reason] = max(heads.get(reason, 0.0), amount)
        return Demand(min(waiting, max(0, free)), {name: amount / waiting for name, amount in amounts.items()}, heads)

    def check_room(self) -> None:
        """Raises `EngineBusy` when one more request would be too many."""
        if self._max_queued is not None and self.waiting >= max(self._max_queued, 1 if self._has_slot() else 0):
            raise EngineBusy(f"{self.waiting} requests are waiting already, as many as max_queued allows")

    def _has_slot(self) -> bool:
        return self.running < self._max_concurrency

    # -- a ticket's way

    def enter(self, ticket: Ticket) -> None:
        """Lets a request wait for its turn, which may come at once."""
        ticket.state = "waiting"
        if ticket.number < 0:
            ticket.number = next(self._numbers)
        self.waiting += 1
        self._push(ticket)
        self.admit()

    def _push(self, ticket: Ticket) -> None:
        group = self._group(ticket)
        self._lanes.push(ticket, group)

    def _group(self, ticket: Ticket) -> GroupState:
        if ticket.group is None:
            return self._no_group
        group = self._groups.get(ticket.group)
        if group is None:
            if len(self._groups) >= self._prune_at:
                self._forget_groups()
            group = self._groups[ticket.group] = GroupState(Group())
        return group

    def _forget_groups(self) -> None:
        """Forgets the groups that do nothing and were not set up: a service may have a group for each of its users."""
        busy = {lane.group for lane in self._lanes}
        self._groups = {
            name: group
            for name, group in self._groups.items()
            if name in self._named_groups or group.running or group in busy
        }
        self._prune_at = 2 * len(self._groups) + _MANY_GROUPS

    def accepted(self, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """The API accepted the request; `headers` are the response's rate-limit headers."""
        self._retries.give_back()
        ticket.pool.accepted(ticket, headers, self._clock())
        self.admit()

    def refused(self, ticket: Ticket, info: ErrorInfo) -> None:
        """The API answered with an error, or could not be reached."""
        ticket.pool.refused(ticket, info, self._clock())

    def began(self, ticket: Ticket, usage: Usage) -> None:
        """The first event of the answer has come; `usage` is what it says of the input."""
        ticket.pool.began(ticket, usage, self._clock())
        self._requeue_followers(ticket)
        self.admit()  # less input than was set aside may make room

    def leave(
        self, ticket: Ticket, usage: Usage | None = None, *, whole: bool = False, overloaded: bool = False
    ) -> None:
        """The request has ended, waits no more, or is to be tried again later. Leaving a second time does nothing.

        `usage` is what it used while it ran. `whole` says that its answer came to its end, `overloaded` that the API
        broke it off because it was overloaded.
        """
        if ticket.state == "running":
            usage = usage or Usage()
            self.running -= 1
            self._group(ticket).running -= 1
            if overloaded and ticket.reserved:  # who was refused has nothing set aside any more, and counts already
                ticket.pool.overloaded()
            ticket.pool.leave(ticket, usage, whole=whole, now=self._clock())
            cost = 0.0 if not self._caps(ticket) else self._prices.cost(ticket.model_name, usage) or 0.0
            for cap in self._caps(ticket):
                cap.settle(ticket.cost, cost)
        elif ticket.state == "waiting":
            self.waiting -= 1  # its entry stays in the lane, and is skipped later
            ticket.forget()
        ticket.state = "done"
        self._requeue_followers(ticket)
        self.admit()

    def _requeue_followers(self, ticket: Ticket) -> None:
        for follower in self._followers.pop(ticket, ()):
            if follower.state == "waiting":
                self._push(follower)

    def _requeue_stalled(self, now: float) -> float:
        """Frees the requests that have waited too long for another to write the cache. Returns when to look again."""
        due = math.inf
        for leader in list(self._followers):
            if leader.led_until > now:
                due = min(due, leader.led_until)
            else:
                for follower in self._followers.pop(leader):
                    if follower.state == "waiting":
                        self._push(follower)
        return due

    # -- deciding

    def admit(self) -> None:
        """Admits all requests that may go now."""
        if self._admitting:
            return  # called from within the loop below, which goes on
        if not self.waiting:
            self.due = math.inf
            return
        self._admitting = True
        try:
            due = math.inf
            while self.waiting and self._has_slot():
                ticket, due = self._next(self._clock())
                if ticket is None:
                    break
                due = math.inf  # until the next look: when nobody waits any more, time changes nothing
        finally:
            self._admitting = False
        earlier, self.due = due < self.due, due
        if earlier:
            self._woken()

    def _next(self, now: float) -> tuple[Ticket | None, float]:
        """Sends a ticket, turns it away, or lets it follow another. Returns it; or None, and when to look again."""
        due = self._requeue_stalled(now)
        self._shut = {pool: block for pool in self._lanes.pools if (block := pool.shut(now)) is not None}
        due = min((due, *(until for _, until in self._shut.values() if until is not None)))
        open_pools = [pool for pool in self._lanes.pools if pool not in self._shut]
        blocked: dict[Pool, Block] = {}
        for lane, ticket in self._lanes.in_order(open_pools):
            if (leader := ticket.pool.prefixes.leader_of(ticket, now)) is not None:
                lane.pop()
                self._followers.setdefault(leader, []).append(ticket)
                return ticket, now
            caps = self._caps(ticket)
            cost = self._estimated_cost(ticket) if caps else 0.0
            if (cap := next((cap for cap in caps if cap.reached_by(cost)), None)) is not None:
                lane.pop()
                self._turn_away(ticket, cap, cost)
                return ticket, now
            lane.block = block = (
                self._held_back(lane, now, caps, cost) or blocked.get(ticket.pool) or ticket.pool.blocked(ticket, now)
            )
            if block is None:
                lane.pop()
                self._send(lane, ticket, now, caps, cost)
                return ticket, now
            reason, until = block
            if until is not None:
                due = min(due, until)
            if reason not in ("group", "spend_cap", "retry_budget"):
                # The tickets behind it in this pool wait too: small requests must not take what a big one waits for.
                blocked[ticket.pool] = block
        return None, due

    def _held_back(self, lane: Lane, now: float, caps: tuple[SpendCap, ...], cost: float) -> Block | None:
        """What holds this lane back, apart from its pool."""
        if lane.group.full:
            return "group", None
        if not all(cap.room_for(cost) for cap in caps):
            return "spend_cap", None
        if lane.retries and (wait := self._retries.wait(now)) > 0:
            return "retry_budget", now + wait
        return None

    def _send(self, lane: Lane, ticket: Ticket, now: float, caps: tuple[SpendCap, ...], cost: float) -> None:
        ticket.state = "running"
        ticket.cost = cost
        self.waiting -= 1
        self.running += 1
        lane.group.running += 1
        self._lanes.took(lane.group)
        if lane.retries:
            self._retries.take()
        for cap in caps:
            cap.reserve(cost)
        ticket.pool.send(ticket, now)
        ticket.admitted()

    def _turn_away(self, ticket: Ticket, cap: SpendCap, cost: float) -> None:
        ticket.state = "done"
        self.waiting -= 1
        whose = ""
        if cap is ticket.cap:
            whose = " of these credentials"
        elif cap is self._shared_cap:
            whose = " of the budget"
        elif cap is not self.spend_cap:
            whose = f" of the group {ticket.group!r}"
        ticket.turned_away(
            f"the spend cap{whose} is reached: ${cap.spent:.4f} of ${cap.dollars:g} is spent, and one more may cost"
            f" ${cost:.4f}; this request was not run"
        )

    # -- dollars

    def _caps(self, ticket: Ticket) -> tuple[SpendCap, ...]:
        group = self._group(ticket).cap
        return tuple(cap for cap in (self.spend_cap, self._shared_cap, group, ticket.cap) if cap is not None)

    def expected_output(self, ticket: Ticket) -> float:
        """About how many output tokens its answer will have, by those of requests like it."""
        return ticket.pool.estimates(ticket.group, ticket.model_name).output(ticket.max_tokens)

    def check_price(self, model_name: str, group: str | None, own: SpendCap | None = None) -> None:
        """Raises `ValueError` when a spend cap applies and the model's price is unknown. `own` is a cap of the
        request's credentials."""
        state = self._groups.get(group) if group is not None else None
        caps = self.spend_cap, self._shared_cap, own, state and state.cap
        if any(cap is not None for cap in caps) and self._prices.price(model_name) is None:
            raise ValueError(
                f"there is a spend cap, and no price is known for {model_name!r}: give one in prices=, or with --price"
            )

    def _estimated_cost(self, ticket: Ticket) -> float:
        estimates = ticket.pool.estimates(ticket.group, ticket.model_name)
        usage = Usage(
            input_tokens=round(estimates.input(ticket.prompt.tokens)),
            output_tokens=round(estimates.output(ticket.max_tokens)),
        )
        return self._prices.cost(ticket.model_name, usage) or 0.0

    def share_retries(self, part: float) -> None:
        """Others share the limits: only this part of the budget for retries is ours, from 0 to 1."""
        self._retries.share(part, self._clock())

    # -- for people

    def waits(self) -> Iterator[tuple[Ticket, Block]]:
        """Every ticket that waits, and what it waits for: to be read before anything else happens."""
        full: Block | None = None if self._has_slot() else _ANY
        for lane in self._lanes:
            for ticket in lane:
                yield ticket, full or self._shut.get(lane.pool) or lane.block or _ANY
        for followers in self._followers.values():
            for ticket in followers:
                if ticket.state == "waiting":
                    yield ticket, _CACHE
