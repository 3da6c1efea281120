"""The ideal: what the service's buckets allow to whoever knows them.

An oracle asks the simulator's own service fifty times a second whether it would let the next request in, and
sends it if so, again and again until it would not, or until as many run as the engine may run. Asking costs nothing,
and a refusal by bad luck is asked again. The requests are those that the strategies send, in the same order, with the
answers and the waits that the simulator gives them at their first attempt; what an answer uses is taken from the
buckets when it is produced, as the simulator does. Only what is complete within the time counts.

The output bucket can be overdrawn: tokens are taken as they are produced, so that whoever sends 200 requests while a
single token is there gets 200 answers. A greedy oracle thus lives on waves, and may end in debt to the time after the
run. Where output is limited there is a second ideal, without debt: it pays for an answer when it sends the request.
"""

from .direct import Direct
from .outcome import Outcome
from .scenarios import Scenario

__all__ = ["run_ideal"]

_TICK = 0.02  # seconds


class _Oracle:
    def __init__(self, direct: Direct, concurrency: int, *, debt: bool) -> None:
        self._direct = direct
        self._concurrency = concurrency
        self._debt = debt
        self._running = 0
        self._next = direct.next()

    def ask(self) -> None:
        direct = self._direct
        while self._running < self._concurrency:
            if direct.send(self._next, self._done, prepaid=not self._debt) is not None:
                break
            direct.tally.answer(200, direct.now)
            self._running += 1
            self._next = direct.next()
        direct.at(direct.now + _TICK, self.ask)

    def _done(self) -> None:
        self._running -= 1
        self._direct.tally.complete(self._direct.now)


def run_ideal(
    scenario: Scenario, strategy: str, seconds: float, seed: int, *, concurrency: int, debt: bool = True
) -> Outcome:
    """What the oracle gets through in `seconds`, with at most `concurrency` running; see the module."""
    direct = Direct(scenario, seconds, seed)
    direct.at(0.0, _Oracle(direct, concurrency, debt=debt).ask)
    direct.run()
    return direct.tally.outcome(scenario.name, strategy)
