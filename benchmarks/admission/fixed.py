"""Fixed concurrency: the official SDK's client behind a semaphore, with its own two retries.

Two hundred at once against a limit of two a second make 150,000 attempts in ten minutes, each 1.5 ms of processor time
in the SDK and the HTTP client. So the SDK's rules are followed here without them: a request that is refused is sent
again after what `retry-after` says, or else after half a second, then a whole one, each up to a quarter shorter; after
the second retry it is lost, and the next one takes its place. `run_sdk` does the same with the client itself; the tests
hold one against the other.
"""

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import httpx2

from .direct import Direct, Question
from .outcome import Outcome, Tally
from .scenarios import MODEL, Scenario

__all__ = ["run_fixed", "run_sdk"]

_RETRIES = 2


def run_fixed(concurrency: int, scenario: Scenario, strategy: str, seconds: float, seed: int) -> Outcome:
    """What gets through in `seconds` with `concurrency` requests at a time."""
    direct = Direct(scenario, seconds, seed)
    refused_by: Counter[str] = Counter()
    uniform = random.Random(seed).uniform

    def begin() -> None:
        attempt(direct.next())

    def attempt(question: Question) -> None:
        refusal = direct.send(question, done)
        direct.tally.answer(refusal.status if refusal else 200, direct.now)
        if refusal is None:
            return
        refused_by[str(refusal.refused_by)] += 1
        if question.attempts > _RETRIES:
            direct.tally.lost += 1
            begin()
            return
        wait = refusal.retry_after or 0.5 * 2 ** (question.attempts - 1) * uniform(0.75, 1.0)
        direct.at(direct.now + wait, partial(attempt, question))

    def done() -> None:
        direct.tally.complete(direct.now)
        begin()

    for _ in range(concurrency):
        direct.at(0.0, begin)
    direct.run()
    return direct.tally.outcome(scenario.name, strategy, refused_by)


async def run_sdk(
    concurrency: int, url: str, client: httpx2.AsyncClient, supply: Iterator[dict[str, Any]], tally: Tally
) -> None:
    """The same with the SDK's client itself: so many tasks share the supply, which is what a semaphore makes of it."""
    from anthropic import APIError, AsyncAnthropic

    anthropic = AsyncAnthropic(api_key="key", base_url=url, http_client=client)

    async def work() -> None:
        for params in supply:
            try:
                async with await anthropic.messages.create(model=MODEL, stream=True, **params) as stream:
                    async for _ in stream:
                        pass
            except APIError:
                tally.lost += 1
            else:
                tally.complete(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for _ in range(concurrency):
            tasks.start_soon(work)
