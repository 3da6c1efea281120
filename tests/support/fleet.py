"""Many engines' admissions that share one budget, against one service with limits: without an event loop, on a clock
that the test moves."""

from collections.abc import Callable
from functools import partial
from itertools import count

import attrs

from manystream import ErrorInfo
from manystream.actors import Usage
from manystream.engine.admission import Admission, Limits, Ticket
from manystream.engine.admission.prompt import Prompt
from manystream.engine.budget.membership import Membership
from manystream.engine.budget.memory import MemoryLedgers
from manystream.engine.budget.share import SharedPool

__all__ = ["Fleet", "Member", "Service"]

_STEP = 0.0125  # seconds
_HEAD = 0.1  # seconds from a request to the head of its answer


class Limit:
    """A limit as the service keeps it."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.per_minute, self.capacity = per_minute, per_minute * burst
        self.level, self.since = self.capacity, 0.0

    def left(self, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self.since) * self.per_minute / 60)
        self.since = now
        return self.level


class Service:
    """Takes requests as far as its limits and its `slots` go. `burst` is the most a bucket holds, in minutes' worth."""

    def __init__(
        self,
        *,
        requests: float | None = None,
        input_tokens: float | None = None,
        slots: float = float("inf"),
        burst: float = 1.0,
        headers: bool = True,
    ) -> None:
        given = {"requests": requests, "input-tokens": input_tokens}
        self.limits = {name: Limit(limit, burst) for name, limit in given.items() if limit is not None}
        self.headers = headers
        self.slots = slots
        self.running = 0
        self.down = False
        self.took = self.refused = 0

    def told(self, now: float) -> dict[str, str]:
        """The headers of an answer."""
        found: dict[str, str] = {}
        for name, limit in self.limits.items() if self.headers else ():
            found[f"anthropic-ratelimit-{name}-limit"] = str(limit.per_minute)
            found[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, int(limit.left(now))))
        return found

    def ask(self, tokens: float, now: float) -> ErrorInfo | None:
        """Takes a request on, or says why not."""
        amounts = {"requests": 1.0, "input-tokens": tokens}
        full = self.running >= self.slots or self.down
        # A request larger than the bucket passes when that is full.
        if full or any(limit.left(now) < min(amounts[name], limit.capacity) for name, limit in self.limits.items()):
            self.refused += 1
            kind, status = ("overloaded_error", 529) if full else ("rate_limit_error", 429)
            return ErrorInfo(kind, "no", status, retryable=True, rate_limits={} if full else self.told(now))
        for name, limit in self.limits.items():
            limit.level -= amounts[name]
        self.took += 1
        self.running += 1
        return None


@attrs.define(eq=False)
class _Running:
    ticket: Ticket
    tokens: int
    answered_at: float
    ends_at: float
    headers: dict[str, str]
    answered: bool = False


class Member:
    """An engine of the fleet."""

    def __init__(self, fleet: "Fleet", *, weight: float, priority: int, seconds: float, ceiling: int) -> None:
        self._fleet = fleet
        self._seconds = seconds
        self.running: list[_Running] = []
        self._admitted: list[Ticket] = []
        self._numbers = count()
        self.done = 0
        self.done_at = 0.0
        self.began_at: list[float] = []
        self.stopped_until = 0.0
        self.membership: Membership | None = None

        def make_pool(
            credentials: object, name: str, most: int, limits: Limits, now: float, /, **facts: bool
        ) -> SharedPool:
            pool = SharedPool(
                name,
                most,
                limits,
                now,
                fixed=facts["fixed"],
                fast=facts["fast"],
                weight=weight,
                priority=priority,
                clock=lambda: fleet.now,
                wake=lambda: None,
            )
            self.membership = Membership(pool, "account")
            self.exchange()
            return pool

        self.admission = Admission(
            ceiling, clock=lambda: fleet.now, woken=lambda: None, limits=fleet.limits, make_pool=make_pool
        )

    def enter(self, requests: int, *, tokens: int = 10) -> None:
        pool = self.admission.pool("p", "p")
        for _ in range(requests):
            self._enter(tokens, pool)

    def _enter(self, tokens: int, pool: object, attempt: int = 1) -> None:
        assert isinstance(pool, SharedPool)
        ticket = Ticket(
            prompt=Prompt(tokens), custom_id=str(next(self._numbers)), pool=pool, model_name="m", max_tokens=10
        )
        ticket.admitted = partial(self._admitted.append, ticket)
        self.admission.enter(ticket)

    @property
    def waiting(self) -> int:
        return self.admission.waiting

    def exchange(self) -> None:
        membership, now = self.membership, self._fleet.now
        assert membership is not None
        # While the pool is made, admission does not know it yet.
        report = membership.report(self.admission.demand(membership.pool, now), now)
        if self._fleet.reachable():
            membership.granted(report, self._fleet.ledgers.exchange("account", report), now)
        else:
            membership.failed(report, now)
        self._fleet.exchanges += 1

    def step(self) -> None:
        """What is due at this moment."""
        now, service = self._fleet.now, self._fleet.service
        if now < self.stopped_until:
            return
        for one in list(self.running):
            if not one.answered and one.answered_at <= now:
                one.answered = True
                self.admission.accepted(one.ticket, one.headers)
                self.admission.began(one.ticket, Usage(input_tokens=one.tokens))
            if one.ends_at <= now:
                self.running.remove(one)
                service.running -= 1
                self.done += 1
                self.done_at = now
                self.admission.leave(one.ticket, Usage(input_tokens=one.tokens, output_tokens=10), whole=True)
        if self.membership is not None and self.membership.due(now) <= now:
            self.exchange()
        self.admission.admit()
        while self._admitted:
            self._send(self._admitted.pop(0), now)

    def _send(self, ticket: Ticket, now: float) -> None:
        tokens = ticket.prompt.tokens
        if (refusal := self._fleet.service.ask(tokens, now)) is None:
            self.began_at.append(now)
            headers = self._fleet.service.told(now)
            self.running.append(_Running(ticket, tokens, now + _HEAD, now + max(_HEAD, self._seconds), headers))
            return
        self.admission.refused(ticket, refusal)
        self.admission.leave(ticket)
        again = ticket.again()
        again.admitted = partial(self._admitted.append, again)
        self.admission.enter(again)


class Fleet:
    """Engines that share one budget. The ledger's clock is another than theirs."""

    def __init__(self, service: Service, *, limits: Limits | None = None, reachable: Callable[[], bool] = lambda: True):
        self.now = 0.0
        self.service = service
        self.limits = limits
        self.reachable = reachable
        self.ledgers = MemoryLedgers(lambda: self.now + 1e6)
        self.members: list[Member] = []
        self.exchanges = 0

    def join(self, *, weight: float = 1.0, priority: int = 0, seconds: float = 0.5, ceiling: int = 500) -> Member:
        member = Member(self, weight=weight, priority=priority, seconds=seconds, ceiling=ceiling)
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """Ends an engine at once. What it sent is taken by the service, and nobody hears of it."""
        self.members.remove(member)
        self.service.running -= len(member.running)

    def pass_time(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> float:
        """Lets time pass; returns when it stopped."""
        end = self.now + seconds
        while self.now < end and not until():
            self.now += _STEP
            for member in list(self.members):
                member.step()
        return self.now

    def finish(self, *, most: float = 600.0) -> float:
        """Lets time pass until everything is done; returns when that was."""
        return self.pass_time(most, until=lambda: not any(one.waiting or one.running for one in self.members))
