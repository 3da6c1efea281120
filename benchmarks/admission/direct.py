"""The simulator's service without any wire: requests are let in or refused, answers take their time, nothing is sent.

What a strategy does by itself can be told a hundred times faster here than over a transport. The service, its
conditions and the answers with their waits are the simulator's own; the clock moves from one action to the next.
"""

import heapq
from collections.abc import Callable
from typing import Any

import msgspec

from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.account import Service
from manystream.engine.simulator.service.errors import RefusalError
from manystream.engine.simulator.service.steps import Request, Send, Wait

from .outcome import Tally
from .scenarios import MODEL, TIME_TO_FIRST_TOKEN, TOKENS_PER_SECOND, Scenario

__all__ = ["Direct", "Question"]

_HEADERS = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


class Question:
    """A request, and what becomes of it."""

    def __init__(self, number: int, body: dict[str, Any]) -> None:
        self.number = number
        self.body = body
        self.attempts = 0


class Direct:
    """A service, its clock, and the supply of requests for it."""

    def __init__(self, scenario: Scenario, seconds: float, seed: int) -> None:
        self.now = 0.0
        self.tally = Tally(seconds)
        self._scenario = scenario
        self._seconds = seconds
        self._seed = seed
        self._service = Service(scenario.make_conditions(seconds), lambda: self.now)
        # Lets everybody in: it only knows what is said, and how long that takes.
        pace = Tempo(TIME_TO_FIRST_TOKEN, TOKENS_PER_SECOND)
        self._answers = Responder(Script(), pace, seed=seed, clock=lambda: 0.0)
        self._numbers = 0
        self._order = 0
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []

    def next(self) -> Question:
        """The next request."""
        params = self._scenario.params(self._numbers, self._seed)
        self._numbers += 1
        return Question(self._numbers, {"model": MODEL, "stream": True, **params})

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """Acts at that moment."""
        self._order += 1
        heapq.heappush(self._agenda, (moment, self._order, action))

    def run(self) -> None:
        """Acts until the time is over."""
        while self._agenda and self._agenda[0][0] < self._seconds:
            self.now, _, action = heapq.heappop(self._agenda)
            action()

    def send(self, question: Question, done: Callable[[], object], *, prepaid: bool = False) -> RefusalError | None:
        """Sends a request; `done` is called when its answer is whole. Returns the refusal if it is not let in.

        `prepaid` takes the whole answer from the output limit now, instead of each token when it is produced.
        """
        question.attempts += 1
        try:
            account = self._service.check(question.body, f"{question.number} {question.attempts}", self.now)
        except RefusalError as refusal:
            return refusal
        account.let_in(self.now)
        content = msgspec.json.encode(question.body)
        moment = self.now
        for step in self._answers.respond(Request("POST", "/v1/messages", _HEADERS, content)).steps:
            if isinstance(step, Wait):
                moment += step.seconds
            elif isinstance(step, Send):
                if prepaid:
                    account.performed(step)
                else:
                    self.at(moment, lambda step=step: account.performed(step))
        self.at(moment, done)
        return None
