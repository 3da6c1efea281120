"""Services that refuse by chance: how long the engine takes, beside the SDK's client on the same seeds.

Gateways and other people's platforms refuse a share of the requests whatever one does, and no header says so. Whoever
takes such a refusal for a limit slows down, and is refused as often as before. The SDK's client learns nothing, so it
cannot learn anything wrong: as long as there is no limit, its time is the one to be measured by.
"""

import random
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import attrs
import httpx2
from rich.table import Table
from rich.text import Text

from manystream import AnthropicModel, Engine, RetryPolicy, StreamRequest
from manystream.engine.simulator import Conditions, Simulator
from manystream.engine.simulator.service.conditions import ServiceLimits

from ..virtual import run_virtual
from .scenarios import MODEL

__all__ = ["FLAKY", "SEEDS", "STRATEGIES", "Flaky", "FlakyComparison", "Trial", "flaky_table", "run_trial"]

SEEDS = 10
_REQUESTS = 200
_AT_ONCE = 30
_SECONDS = 0.2  # that an answer takes
_RETRIES = 6
_GOAL = 1.3  # times the SDK's time
_URL = "http://simulated"
_ERRORS = {429: "rate_limit_error", 503: "api_error", 529: "overloaded_error"}

Refuses = Callable[[int, float, random.Random], bool]


def _by_chance(share: float) -> Refuses:
    return lambda number, now, chance: chance.random() < share


def _first(number: int, now: float, chance: random.Random) -> bool:
    return number == 0


def _in_bursts(number: int, now: float, chance: random.Random) -> bool:
    """Everything for a tenth of a second, every second but the first."""
    return now > 0.5 and (now + 0.5) % 1.0 < 0.1


@attrs.frozen(kw_only=True)
class Flaky:
    """A service without limits. `refuses` is asked for each request, by its number, the time and chance."""

    name: str
    title: str
    status: int
    refuses: Refuses
    retry_after: float | None = None
    requests: int = _REQUESTS


FLAKY: tuple[Flaky, ...] = (
    Flaky(
        name="429-wait",
        title="one in ten answered 429, retry-after 1",
        status=429,
        refuses=_by_chance(0.1),
        retry_after=1,
    ),
    Flaky(name="429", title="one in fifty answered 429", status=429, refuses=_by_chance(0.02)),
    Flaky(name="529", title="one in ten answered 529", status=529, refuses=_by_chance(0.1)),
    Flaky(name="first", title="the first one answered 429", status=429, refuses=_first),
    Flaky(name="429-often", title="three in ten answered 429", status=429, refuses=_by_chance(0.3)),
    Flaky(
        name="429-often-wait",
        title="three in ten answered 429, retry-after 1",
        status=429,
        refuses=_by_chance(0.3),
        retry_after=1,
    ),
    Flaky(name="529-often", title="three in ten answered 529", status=529, refuses=_by_chance(0.3)),
    Flaky(name="503", title="one in twenty answered 503", status=503, refuses=_by_chance(0.05)),
    Flaky(
        name="bursts",
        title="all answered 429 for 0.1 s of each second",
        status=429,
        refuses=_in_bursts,
        requests=600,
    ),
    Flaky(
        name="bursts-529",
        title="all answered 529 for 0.1 s of each second",
        status=529,
        refuses=_in_bursts,
        requests=600,
    ),
    Flaky(
        name="429-long",
        title="one in ten answered 429, 2,000 requests",
        status=429,
        refuses=_by_chance(0.1),
        requests=2000,
    ),
)


@attrs.frozen
class Trial:
    """What one way of sending made of one service with one seed."""

    flaky: str
    strategy: str
    seed: int
    seconds: float
    attempts: int
    lost: int


class _FlakyTransport(httpx2.AsyncBaseTransport):
    def __init__(self, flaky: Flaky, simulator: Simulator, seed: int) -> None:
        self._flaky = flaky
        self._inner = simulator.transport()
        self._chance = random.Random(f"{flaky.name} {seed}")
        self.attempts = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        number, self.attempts = self.attempts, self.attempts + 1
        flaky = self._flaky
        if not flaky.refuses(number, anyio.current_time(), self._chance):
            return await self._inner.handle_async_request(request)
        headers = {} if flaky.retry_after is None else {"retry-after": f"{flaky.retry_after:g}"}
        error = {"type": _ERRORS[flaky.status], "message": "refused by chance"}
        return httpx2.Response(flaky.status, headers=headers, json={"type": "error", "error": error}, request=request)


def run_trial(flaky: Flaky, strategy: str, seed: int) -> Trial:
    """Runs `strategy`, which is "sdk" or "adaptive", once."""
    random.seed(seed)  # the jitter of retries
    return run_virtual(partial(_run, flaky, strategy, seed))


async def _run(flaky: Flaky, strategy: str, seed: int) -> Trial:
    simulator = Simulator(
        seed=seed,
        time_to_first_token=_SECONDS,
        tokens_per_second=1e6,
        conditions=Conditions(limits=ServiceLimits(headers=False)),
        clock=anyio.current_time,
    )
    transport = _FlakyTransport(flaky, simulator, seed)
    supply: list[dict[str, Any]] = [
        {"max_tokens": 20, "messages": [{"role": "user", "content": f"Number {number}"}]}
        for number in range(flaky.requests)
    ]
    async with httpx2.AsyncClient(transport=transport) as client:
        lost = await _SENDS[strategy](client, supply)
    return Trial(flaky.name, strategy, seed, anyio.current_time(), transport.attempts, lost)


async def _run_sdk(client: httpx2.AsyncClient, supply: list[dict[str, Any]]) -> int:
    from anthropic import APIError, AsyncAnthropic

    anthropic = AsyncAnthropic(api_key="key", base_url=_URL, http_client=client, max_retries=_RETRIES)
    lost = 0
    waiting = iter(supply)

    async def work() -> None:
        nonlocal lost
        for params in waiting:
            try:
                async with await anthropic.messages.create(model=MODEL, stream=True, **params) as stream:
                    async for _ in stream:
                        pass
            except APIError:
                lost += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(_AT_ONCE):
            tasks.start_soon(work)
    return lost


async def _run_engine(client: httpx2.AsyncClient, supply: list[Any]) -> int:
    model = AnthropicModel(MODEL, api_key="key", base_url=_URL, http_client=client)
    async with Engine(model, max_concurrency=_AT_ONCE, retry=RetryPolicy(max_attempts=_RETRIES + 1)) as engine:
        results = await engine.gather(StreamRequest(params) for params in supply)
    return sum(result.state != "complete" for result in results)


_SENDS = {"sdk": _run_sdk, "adaptive": _run_engine}
STRATEGIES = tuple(_SENDS)


@attrs.frozen
class FlakyComparison:
    """One service, and the trials of both strategies on the same seeds."""

    flaky: Flaky
    trials: Mapping[str, list[Trial]]

    def seconds(self, strategy: str) -> float:
        """The median of the times that a strategy took."""
        return statistics.median(trial.seconds for trial in self.trials[strategy])

    @property
    def ratio(self) -> float:
        """The engine's time, divided by the SDK's."""
        return self.seconds("adaptive") / self.seconds("sdk")

    def as_json(self) -> dict[str, Any]:
        """All figures, as plain data."""
        trials = {strategy: [attrs.asdict(trial) for trial in trials] for strategy, trials in self.trials.items()}
        return {"service": self.flaky.name, "title": self.flaky.title, "ratio": self.ratio, "trials": trials}

    def verdict(self) -> tuple[bool, str]:
        """Whether the engine meets the goal, with the figures in a line."""
        return self.ratio <= _GOAL, f"{self.ratio:.2f} times the SDK's time (goal: {_GOAL:g} or less)"


def flaky_table(comparisons: list[FlakyComparison]) -> Table:
    """All services, one a row, with the medians of the seconds and the attempts."""
    title = f"services that refuse by chance: {_REQUESTS} requests of {_SECONDS:g} s, {_AT_ONCE} at once; medians"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("service")
    for name in ("sdk", "adaptive", "ratio", "sdk's attempts", "attempts", "sdk's lost", "lost"):
        table.add_column(name, justify="right")
    for comparison in comparisons:
        theirs, ours = comparison.trials["sdk"], comparison.trials["adaptive"]
        table.add_row(
            Text(f"{comparison.flaky.name}: {comparison.flaky.title}"),
            f"{comparison.seconds('sdk'):.2f} s",
            f"{comparison.seconds('adaptive'):.2f} s",
            f"{comparison.ratio:.2f}",
            *(f"{statistics.median(trial.attempts for trial in trials):.0f}" for trials in (theirs, ours)),
            *(f"{sum(trial.lost for trial in trials)}" for trials in (theirs, ours)),
        )
    return table
