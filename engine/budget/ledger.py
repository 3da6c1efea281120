"""The ledger of a shared budget: who may use how much of one pool's limits. It does no I/O and has no clock.

Each participant has a lease: an amount that it may use at once, and a rate at which more comes, for a second at most.
What is free is the level of a limit's bucket less all that others may take on their leases. In an exchange a
participant tells what it used and what the API answered, gives its lease back, and is granted another: first by
priority, then in fair shares by weight, of what each needs. So what one does not need is lent to the others.

Some requests are larger than what a fair share gives in a second. Those who have such a one take turns: one at a time
saves, with the share of all of them, until it has enough. Nobody else's small requests wait for that.

A participant that is silent for three seconds is taken for dead. What it may have used counts as used.
"""

import math
from collections.abc import Mapping

from ..admission import Reason
from ..admission.bucket import Bucket, Mark
from ..admission.throttle import Throttle
from .messages import Event, Grant, Lease, OutOfDateError, Report, Use
from .sharing_out import Want, shared_out
from .state import Account, Participant, State

__all__ = ["LIMITS", "VALID", "exchange", "parted"]

LIMITS: tuple[Reason, ...] = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "pace")
"""What is shared as a bucket. The pace is one, too: a rate of requests, with no more than a second's worth at once."""
VALID = 1.0
"""For how many seconds a lease grows."""

_DEAD = 3.0  # seconds of silence
_FORGOTTEN = 600.0  # seconds after which nothing counts any more of what nobody has touched
_HORIZON = 0.5  # seconds over which a need is to be met
_RECENT = 5.0  # seconds over which it is remembered who took how much
_PROBE = 1.0  # seconds in which who may send the probe has to do so
_GRAIN = 0.25  # seconds
_MOST_NUMBERED = 64
_TOKENS = 1000  # the unit to which the headers round


def exchange(state: State | None, report: Report, now: float) -> tuple[State, Grant]:
    """Takes a participant's report in at `now`, in seconds on the ledger's clock. Returns what to keep, which may be
    the same object, and what the participant is granted.

    Raises `ValueError` for a state that is none, whatever is wrong with it: the ledger begins anew without it.
    Raises `OutOfDateError` for a report that comes after a later one; nothing has changed then.
    """
    if state is None or now - state.at > _FORGOTTEN:
        state = State(now)
    elif now < state.at - 1.0:
        # Another clock, such as that of a computer that was started again: nobody of before is still there.
        state = State(now)
    now = max(now, state.at)
    known = state.participants.get(report.participant)
    if known is not None and report.number < known.number:
        raise OutOfDateError
    return _Ledger(state, now, report).exchange()


def parted(report: Report, now: float) -> State:
    """The ledger of one who can't reach the others any more. Of the limits that it has (`report.fixed`) no more is left
    than what it still holds."""
    state, _ = exchange(None, report, now)
    for reason in report.fixed:
        bucket = state.buckets[reason]
        bucket["level"] = min(bucket["level"], report.uses[reason].held)
    return state


class _Ledger:
    """One exchange."""

    def __init__(self, state: State, now: float, report: Report) -> None:
        self._state = state
        self._now = now
        self._report = report
        self._others = {name: one for name, one in state.participants.items() if name != report.participant}
        self._claims: dict[Reason, tuple[float, float]] = {}
        self._bury()
        ceiling = report.ceiling + sum(one.ceiling for one in self._others.values())
        self._throttle = Throttle(ceiling, grain=_GRAIN)
        if state.throttle is not None:
            self._throttle.recall(state.throttle)
        self._buckets: dict[Reason, Bucket] = {reason: self._bucket(reason) for reason in LIMITS}

    def _bucket(self, reason: Reason) -> Bucket:
        bucket = Bucket(None, self._now, unit=1 if reason in ("requests_per_minute", "pace") else _TOKENS)
        if (kept := self._state.buckets.get(reason)) is not None:
            bucket.recall(kept)
        return bucket

    def exchange(self) -> tuple[State, Grant]:
        report, state, now = self._report, self._state, self._now
        for one in self._dead:
            self._write_off(one)
        me = state.participants.get(report.participant)
        if me is None:
            me = self._join()
        self._set_limits(me)
        self._count(me)
        self._learn(me)
        me.weight, me.priority, me.ceiling, me.number = report.weight, report.priority, report.ceiling, report.number
        me.running, me.wanted, me.at = report.running, min(report.wanted, report.ceiling), now
        if report.leaving:
            self._leave(me)
        grant = self._grant(me)
        state.at = now
        state.buckets = {reason: bucket.remember() for reason, bucket in self._buckets.items()}
        state.throttle = self._throttle.remember()
        return state, grant

    # -- coming and going

    def _join(self) -> Participant:
        """A participant of whom nothing is known: a new one, or one that was taken for dead. What it used before is
        counted already, or was used under another ledger; what runs is still to be settled."""
        report, now = self._report, self._now
        me = Participant(now, sent=report.sent, events=report.first_event)
        for reason, use in report.uses.items():
            me.accounts[reason] = Account(use.reserved, use.settled, use.used, saving_since=now)
            self._buckets[reason].reserve(use.reserved - use.settled, now)
        self._state.participants[report.participant] = me
        return me

    def _bury(self) -> None:
        """Takes those out of the books who have been silent for too long."""
        late = [name for name, one in self._others.items() if self._now - one.at > _DEAD]
        self._dead = [self._others.pop(name) for name in late]
        self._probe_died = self._state.prober in late
        for name in late:
            del self._state.participants[name]

    def _write_off(self, dead: Participant) -> None:
        for reason, account in dead.accounts.items():
            bucket = self._buckets[reason]
            lost = _claim(dead, account, self._now)
            bucket.wait(0.0, self._now)  # refills it
            bucket.reserve(lost, self._now)
            outstanding = lost + account.reserved - account.settled
            bucket.settle(outstanding, outstanding)
        if self._probe_died:
            self._probe_died = False
            self._state.prober = None
            if (number := self._throttle.window.probe) is not None:
                self._throttle.gone(number)

    def _leave(self, me: Participant) -> None:
        for reason, account in me.accounts.items():
            outstanding = account.reserved - account.settled
            self._buckets[reason].settle(outstanding, outstanding)
        del self._state.participants[self._report.participant]
        if self._state.prober == self._report.participant:
            self._state.prober = None

    # -- what a participant tells

    def _set_limits(self, me: Participant) -> None:
        """Limits that were set by hand come before those that are learnt; of several, the lowest."""
        me.fixed = dict(self._report.fixed)
        for reason, bucket in self._buckets.items():
            given = [one.fixed[reason] for one in (me, *self._others.values()) if reason in one.fixed]
            if given:
                bucket.limit_to(min(given), self._now, fixed=True)
            elif bucket.limit is not None:
                bucket.limit_to(bucket.limit, self._now, fixed=False)
            elif (told := self._report.told.get(reason)) is not None:
                bucket.limit_to(told, self._now, fixed=False)

    def _count(self, me: Participant) -> None:
        for reason, use in self._report.uses.items():
            account = me.accounts.setdefault(reason, Account(saving_since=self._now))
            bucket = self._buckets[reason]
            bucket.wait(0.0, self._now)  # refills it
            account.recent *= math.exp((me.at - self._now) / _RECENT)
            if use.reserved > account.reserved:
                bucket.reserve(use.reserved - account.reserved, self._now)
                account.saving_since = self._now
                account.recent += use.reserved - account.reserved
            bucket.settle(use.settled - account.settled, use.used - account.used)
            account.reserved, account.settled, account.used = use.reserved, use.settled, use.used
            account.need, account.backlog, account.head = use.need, use.backlog, use.head
            account.held = account.rate = 0.0

    def _learn(self, me: Participant) -> None:
        report, throttle, now = self._report, self._throttle, self._now
        for _ in range(report.sent - me.sent):
            number = throttle.sent(now)
            if not me.numbered or me.sent - me.numbered[-1][0] != number - me.numbered[-1][1]:
                me.numbered.append((me.sent, number))
            me.sent += 1
            me.sent_at = now
        del me.numbered[:-_MOST_NUMBERED]
        for reason, use in report.uses.items():
            if (seen := use.seen) is not None:
                bucket = self._buckets[reason]
                # At most what was ever reserved: it may have been counted under another ledger.
                counted = min(seen.counted, bucket.counted + bucket.outstanding)
                mark = Mark(now - seen.age, counted)
                bucket.observe(seen.limit, seen.remaining, mark, now, granted=self._claimed(reason))
        running = report.running + sum(one.running for one in self._others.values())
        for event in report.events[max(0, me.events - report.first_event) :]:
            self._take_in(event, me, running)
        me.events = max(me.events, report.first_event + len(report.events))
        window = throttle.window
        if report.pressed and not window.out:
            wanted = report.wanted + sum(one.wanted for one in self._others.values())
            if wanted >= int(window.size):
                window.full(int(window.size), now)

    def _take_in(self, event: Event, me: Participant, running: int) -> None:
        throttle, at = self._throttle, self._now - event.age
        if event.kind == "overloaded":
            throttle.overloaded()
        elif event.kind == "capped":
            assert event.reason is not None
            self._buckets[event.reason].cap(event.remaining + self._claimed(event.reason))
        elif event.kind == "contradicted":
            assert event.reason is not None
            self._buckets[event.reason].contradict(self._now)
        elif (number := _number(me, event.number)) is not None:
            sent = self._now - event.sent_age
            if event.kind == "answered":
                throttle.answered(number, sent, running, at)
            elif event.kind == "gone":
                throttle.gone(number)
            else:
                assert event.refusal is not None
                throttle.refused(number, sent, event.refusal, at)

    # -- what it is granted

    def _grant(self, me: Participant) -> Grant:
        throttle, now = self._throttle, self._now
        self._follow_pace()
        alive = self._state.participants
        together = sum(one.weight for one in alive.values())
        return Grant(
            participants=max(1, len(alive)),
            leases={reason: self._lease(reason, bucket, me) for reason, bucket in self._buckets.items()},
            slots=self._slots(me),
            size=throttle.size,
            share=me.weight / together if together else 1.0,
            out=throttle.out,
            probe=self._probe(),
            pause=max(0.0, throttle.paused_until - now),
            events=me.events,
        )

    def _follow_pace(self) -> None:
        """Makes the bucket of the pace what the pace is now."""
        pace, bucket = self._throttle.pace, self._buckets["pace"]
        rate = pace.rate(self._now)
        if rate is None:
            self._buckets["pace"] = Bucket(None, self._now)
            return
        changed = bucket.limit is None or pace.changed_at > self._state.at
        bucket.limit_to(rate * 60, self._now, fixed=True, burst=max(1.0, rate) / (rate * 60))
        if changed:
            bucket.level = min(bucket.level, 0.0)  # what it allowed is used up

    def _lease(self, reason: Reason, bucket: Bucket, me: Participant) -> Lease:
        if bucket.limit is None:
            return Lease(limit=None, capacity=math.inf, held=0.0, rate=0.0, counted=bucket.counted)
        bucket.wait(0.0, self._now)  # refills it
        account = me.accounts.setdefault(reason, Account(saving_since=self._now))
        use, own = self._report.uses.get(reason, Use()), self._report.participant
        capacity, refill, claimed = bucket.capacity, bucket.limit / 60, self._claimed(reason)
        level = max(bucket.level, 0.0)
        wants, waits = self._wants(reason, level, refill, capacity)
        kept = 0.0 if own in waits else min(max(use.held, 0.0), account.head, capacity)
        share = shared_out(level, wants).get(own, 0.0)
        if not waits and share > kept:
            share = min(share, self._stock(reason, level))
        held = min(max(share, kept), bucket.level - claimed)
        account.held = max(held, 0.0)
        rest = self._rest(reason, wants)
        growing = sum(
            one.accounts[reason].rate
            for one in self._others.values()
            if reason in one.accounts and self._now - one.at < VALID
        )
        rate = min(shared_out(refill, rest).get(own, 0.0), refill - growing)
        # All leases together never grow beyond what the bucket holds.
        room = capacity - account.held - self._claimed(reason, grown=True)
        account.rate = max(0.0, min(rate, room / VALID))
        return Lease(limit=bucket.limit, capacity=capacity, held=held, rate=account.rate, counted=bucket.counted)

    def _stock(self, reason: Reason, level: float) -> float:
        """The participant's part in what has gathered, if what each took of it lately counts, too: who asks first, or
        more often, gets no more of a full bucket than others who want as much."""
        taken: dict[str, float] = {}
        wants: dict[str, Want] = {}
        for name, one in self._state.participants.items():
            if (account := one.accounts.get(reason)) is not None:
                recent = account.recent
                taken[name] = recent = recent * math.exp((one.at - self._now) / _RECENT) if recent else 0.0
                wants[name] = Want(recent + account.backlog, one.weight, one.priority)
        own = self._report.participant
        return shared_out(level + sum(taken.values()), wants).get(own, 0.0) - taken.get(own, 0.0)

    def _wants(
        self, reason: Reason, level: float, refill: float, capacity: float
    ) -> tuple[dict[str, Want], frozenset[str]]:
        """What each could use of a limit; and who, for a request that is larger than its share, waits until another
        one has saved enough for its own."""
        alive = self._state.participants
        accounts: dict[str, Account] = {}
        wants: dict[str, Want] = {}
        for name, one in alive.items():
            account = one.accounts.get(reason)
            if account is not None and (account.need or account.head):
                accounts[name] = account
                wants[name] = Want(max(account.need, account.head), one.weight, one.priority)
        shares = shared_out(level + refill * VALID, wants)
        savers = [name for name, share in shares.items() if min(accounts[name].head, capacity) > share + 1e-9]
        if not savers:
            return wants, frozenset()
        heads = {name: min(accounts[name].head, capacity) for name in savers}
        savers.sort(key=lambda name: (-alive[name].priority, accounts[name].saving_since, name))
        weight, saved = sum(alive[name].weight for name in savers), 0.0
        waiting: set[str] = set()
        for name in savers:
            if saved > level:
                del wants[name]
                waiting.add(name)
                continue
            wants[name] = Want(heads[name], alive[name].weight if saved else weight, alive[name].priority)
            saved += heads[name]
        return wants, frozenset(waiting)

    def _rest(self, reason: Reason, wants: Mapping[str, Want]) -> dict[str, Want]:
        """What each will still need, a second, beside what it holds."""
        alive = self._state.participants
        return {
            name: Want(max(0.0, want.amount - alive[name].accounts[reason].held) / _HORIZON, want.weight, want.priority)
            for name, want in wants.items()
        }

    def _slots(self, me: Participant) -> int:
        """How many streams it may run. What is left over of whole shares goes to those who have sent nothing for the
        longest time, so that all have their turn when there are fewer slots than participants."""
        alive = self._state.participants
        size = max(1, int(self._throttle.size))
        shares = shared_out(size, {name: Want(one.wanted, one.weight, one.priority) for name, one in alive.items()})
        whole = {name: int(share + 1e-9) for name, share in shares.items()}
        left = min(size, round(sum(shares.values()))) - sum(whole.values())
        more = [name for name, share in shares.items() if share > whole[name] + 1e-9]
        more.sort(key=lambda name: (-alive[name].priority, alive[name].sent_at, name))
        for name in more[:left]:
            whole[name] += 1
        free = size - sum(max(one.slots, one.running) for one in self._others.values())
        me.slots = max(0, min(whole.get(self._report.participant, 0), free))
        return me.slots

    def _probe(self) -> bool:
        """Whether the participant may send the one request that finds out whether the service is open again."""
        state, window, me = self._state, self._throttle.window, self._report.participant
        if not window.out:
            state.prober = None
            return False
        if self._now < window.paused_until or window.full(0, self._now) or not self._report.waiting:
            return False
        if state.prober not in (None, me) and self._now < state.probe_until:
            return False
        state.prober, state.probe_until = me, self._now + _PROBE
        return True

    # -- the leases of the others

    def _claimed(self, reason: Reason, *, grown: bool = False) -> float:
        """What the others may take of a limit; or may once their leases have grown to the end."""
        found = self._claims.get(reason)
        if found is None:  # their leases are what they are during an exchange
            now, whole = 0.0, 0.0
            for one in self._others.values():
                if (account := one.accounts.get(reason)) is not None:
                    now += _claim(one, account, self._now)
                    whole += account.held + account.rate * VALID
            found = self._claims[reason] = now, whole
        return found[grown]


def _claim(one: Participant, account: Account, now: float) -> float:
    return account.held + account.rate * min(max(0.0, now - one.at), VALID)


def _number(one: Participant, own: int) -> int | None:
    """The ledger's number for a participant's request; None for one that it sent under another ledger."""
    for begin, number in reversed(one.numbered):
        if own >= begin:
            return number + own - begin
    return None
