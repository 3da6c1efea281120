"""The limit on output tokens, which the API counts while they are produced: the engine takes what it allows, no less.

Whoever does not hold back has long sent too much by the time the API refuses, and finishes a burst sooner. What runs
then puts the API's bucket in debt, by a whole bucket and more, and everybody with that key is refused until it is paid.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

import pytest

from manystream.actors.message import Usage
from manystream.actors.stream import ErrorInfo
from manystream.engine.admission import Admission
from manystream.engine.admission.prompt import Prompt
from manystream.engine.admission.ticket import Ticket
from manystream.engine.simulator.service.conditions import ServiceLimits
from manystream.engine.simulator.service.errors import RefusalError
from manystream.engine.simulator.service.limits import RateLimits

MODEL = "claude-opus-5-5"
PER_MINUTE = 30_000
WAY = 0.2  # seconds to the service, and back
A_SECOND = 60  # output tokens of one stream
AT_ONCE = 10  # tokens that are counted together


class Service:
    """Admissions and the simulator's limits, on a clock of their own."""

    def __init__(self, engines: int, burst: float, seed: int) -> None:
        self.now = 0.0
        self.refused = self.tokens = self.done = 0
        self._random = Random(seed)
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._limits = RateLimits(ServiceLimits(output_tokens_per_minute=PER_MINUTE, burst_seconds=burst))
        self._engines = [Admission(200, clock=lambda: self.now, woken=lambda: None) for _ in range(engines)]

    def at(self, moment: float, happens: Callable[[], object]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), happens))

    def run(self, requests: int) -> float:
        """In how many seconds so many requests are done."""
        for number in range(requests):
            self._begin(self._engines[number % len(self._engines)])
        while self.done < requests:
            due = min(engine.due for engine in self._engines)
            if self._events and self._events[0][0] <= due:
                self.now, _, happens = heapq.heappop(self._events)
                happens()
            else:
                self.now = due
                for engine in self._engines:
                    engine.admit()
        return self.now

    def _begin(self, engine: Admission) -> None:
        most = self._random.randint(40, 160)
        tokens = self._random.randint(most // 2, most)
        pool = engine.pool("key", MODEL)

        def arrive() -> None:
            try:
                self._limits.check(MODEL, 10, self.now)
            except RefusalError as exc:
                self.refused += 1
                headers = dict(self._limits.headers(MODEL, self.now))
                info = ErrorInfo(
                    type="rate_limit_error",
                    message="",
                    status=429,
                    retry_after=float(exc.retry_after or 0),
                    rate_limits=headers,
                )
                self.at(self.now + WAY, lambda: back(info))
                return
            headers = dict(self._limits.headers(MODEL, self.now))
            self.at(self.now + WAY, lambda: engine.accepted(ticket, headers))
            for made in range(0, tokens, AT_ONCE):
                part = min(AT_ONCE, tokens - made)
                self.at(self.now + WAY + made / A_SECOND, lambda part=part: self._produced(part))
            self.at(self.now + 2 * WAY + tokens / A_SECOND, end)

        def back(info: ErrorInfo) -> None:
            engine.refused(ticket, info)
            engine.leave(ticket)
            self.at(self.now + (info.retry_after or 0.0), lambda: engine.enter(ticket))

        def end() -> None:
            self.done += 1
            engine.leave(ticket, Usage(input_tokens=10, output_tokens=tokens), whole=True)

        ticket = Ticket(
            pool=pool,
            model_name=MODEL,
            prompt=Prompt(10),
            max_tokens=most,
            admitted=lambda: self.at(self.now + WAY, arrive),
        )
        engine.enter(ticket)

    def _produced(self, tokens: int) -> None:
        self.tokens += tokens
        self._limits.produced(MODEL, tokens, self.now)


@pytest.mark.parametrize("burst", [60.0, 10.0])
def test_one_engine_takes_what_the_limit_allows(burst: float) -> None:
    service = Service(1, burst, seed=1)
    seconds = service.run(600)
    allowed = (service.tokens - PER_MINUTE * burst / 60) / (PER_MINUTE / 60)
    assert allowed - 1 <= seconds <= 1.03 * allowed + 3  # an answer takes up to three seconds
    assert service.refused <= 30
