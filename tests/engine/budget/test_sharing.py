"""Whole engines that share one budget: in memory, on virtual time."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Engine, HostBudget, Limits, StreamRequest, StreamResult
from manystream.engine.budget.budget import account_of, owner_of
from manystream.engine.budget.memory import MemoryLedgers
from manystream.engine.budget.messages import Grant, Report
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service import conditions as service

Main = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Runs a main function on virtual time."""

    def run(main: Main) -> None:
        backend, options = virtual_backends(settle=0.004)[request.param]
        anyio.run(main, backend=backend, backend_options=options)

    return run


def host(path: Path, **facts: Any) -> HostBudget:
    """A host's budget on the test's clock."""
    budget = HostBudget(path, **facts)
    budget._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
    return budget


class Broken:
    """A carrier that does not work, or does only at times."""

    name: str | None = None
    weight = 1.0
    priority = 0
    spend_cap: float | None = None
    on_host = False

    def __init__(self, carry: Callable[[str, Report], Awaitable[Grant]]) -> None:
        self._carry = carry

    async def exchange(self, account: str, report: Any) -> Any:
        return await self._carry(account, report)

    async def aclose(self) -> None:
        raise OSError("it is broken")


def simulated(**options: Any) -> Simulator:
    return Simulator(conditions=service.Conditions(**options), clock=anyio.current_time, time_to_first_token=0.5)


def prompts(count: int) -> Iterator[StreamRequest]:
    for number in range(count):
        yield StreamRequest({"messages": [{"role": "user", "content": f"Number {number}"}], "max_tokens": 60})


async def gather_in(
    budgets: list[Any], simulator: Simulator, each: int, **options: Any
) -> tuple[float, list[list[StreamResult]]]:
    """Runs so many requests in an engine for each budget; returns the seconds that it took, and the results."""
    found: list[list[StreamResult]] = [[] for _ in budgets]
    begun = anyio.current_time()

    async with AsyncExitStack() as stack:
        engines = [
            await stack.enter_async_context(engine_in_memory(simulator, budget=budget, **options)) for budget in budgets
        ]

        async def work(number: int, engine: Engine) -> None:
            found[number] = await engine.gather(prompts(each))

        async with anyio.create_task_group() as tasks:
            for number, engine in enumerate(engines):
                tasks.start_soon(work, number, engine)
        seconds = anyio.current_time() - begun
    return seconds, found


def test_four_engines_take_what_one_would(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        limits = service.ServiceLimits(requests_per_minute=120)
        alone, _ = await gather_in([None], simulated(limits=limits), 160)
        simulator = simulated(limits=limits)
        together, found = await gather_in([host(tmp_path / "b.db") for _ in range(4)], simulator, 40)
        assert together <= 1.05 * alone
        assert all(result.state == "complete" for results in found for result in results)
        assert Counter(request.status for request in simulator.requests) == {200: 160}

    run(main)


def test_engines_may_share_one_budget_object(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        budget = host(tmp_path / "b.db")
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=60))
        _, found = await gather_in([budget, budget], simulator, 40)
        assert all(result.state == "complete" for results in found for result in results)
        assert Counter(request.status for request in simulator.requests)[429] == 0

    run(main)


def test_what_stats_tell(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=60))
        heavy, light = host(tmp_path / "b.db", weight=3), host(tmp_path / "b.db")
        async with (
            engine_in_memory(simulator, budget=heavy) as first,
            engine_in_memory(simulator, budget=light) as second,
            engine_in_memory(simulator) as third,
        ):
            for engine in (first, second, third):
                for request in prompts(50):
                    engine.submit(request)
            await anyio.sleep(3)
            budget, other = first.stats().budget, second.stats().budget
            assert budget is not None
            assert other is not None
            assert third.stats().budget is None
            assert (budget.participants, budget.share, budget.alone) == (2, 0.75, False)
            assert (other.participants, other.share) == (2, 0.25)
            retries = [engine._admission._retries for engine in (first, second, third)]  # pyright: ignore[reportPrivateUsage]
            assert [one._per_second for one in retries] == [0.75, 0.25, 1.0]  # pyright: ignore[reportPrivateUsage]
            assert 0 <= budget.age <= 0.3
            [pool] = second.stats().pools
            assert pool.limits["requests_per_minute"].per_minute == 60
            for engine in (first, second, third):
                for actor in list(engine._supervisor or ()):  # pyright: ignore[reportPrivateUsage]
                    engine.request_cancel(actor, "test", None)

    run(main)


def test_limits_set_by_hand_are_shared_as_well(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        simulator = simulated()
        budgets = [host(tmp_path / "b.db") for _ in range(3)]
        seconds, _ = await gather_in(budgets, simulator, 40, limits=Limits(requests_per_minute=60))
        assert 55 <= seconds <= 66  # sixty at once, and sixty in a minute

    run(main)


def test_another_key_is_another_account_unless_a_name_says_otherwise() -> None:
    one, two = account_of(("url", "key"), "pool", None), account_of(("url", "other"), "pool", None)
    assert one != two
    assert account_of(("url", "key"), "pool", "us") == account_of(("url", "other"), "pool", "us") != one
    assert account_of(("url", "key"), "other pool", None) != one
    assert account_of(None, "pool", None) is None
    assert account_of(None, "pool", "us") == account_of(("url", "key"), "pool", "us")
    assert one is not None
    assert "key" not in one
    # Who does not keep the key finds the same account.
    assert account_of(owner_of(("url", "key")), "pool", None) == one
    assert account_of(owner_of(("url", "other")), "pool", "us") == account_of(None, "pool", "us")
    assert "key" not in repr(owner_of(("url", "key")))


@pytest.mark.parametrize("how", ["raises", "hangs", "nonsense"])
def test_a_carrier_that_fails_stops_no_stream_and_is_told_once(
    run: Callable[[Main], None], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def carry(account: str, report: Report) -> Grant:
        if how == "hangs":
            await anyio.sleep_forever()
        if how == "raises":
            raise RuntimeError("redis://user:secret@host is not there")
        nonsense: Any = "a grant"
        return nonsense

    async def main() -> None:
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=60))
        async with engine_in_memory(simulator, budget=Broken(carry)) as engine:
            results = await engine.gather(prompts(80))
            budget = engine.stats().budget
            assert budget is not None
            assert budget.alone
        assert [result.state for result in results] == ["complete"] * 80

    with caplog.at_level(logging.WARNING):
        run(main)
    told = [record.message for record in caplog.records if "budget.out_of_reach" in record.message]
    assert len(told) == 1
    assert "secret" not in caplog.text


def test_a_carrier_that_starts_something_is_waited_for(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        real = host(tmp_path / "b.db")

        async def carry(account: str, report: Report) -> Grant:
            await anyio.sleep(4)
            return await real.exchange(account, report)

        for seconds, alone in ((9.0, False), (1.0, True)):
            budget = Broken(carry)
            budget.starts_within = seconds  # pyright: ignore[reportAttributeAccessIssue]
            async with engine_in_memory(simulated(), budget=budget) as engine:
                engine.submit("Hello")
                await anyio.sleep(1.5)
                told = engine.stats().budget
                assert told is not None
                assert told.alone is alone
        await real.aclose()

    run(main)


@pytest.mark.parametrize("after", [2.5, *(pytest.param(later, marks=pytest.mark.slow) for later in (1.0, 4.0, 10.0))])
def test_engines_that_are_parted_go_on_with_what_they_hold(
    run: Callable[[Main], None], tmp_path: Path, after: float
) -> None:
    """And not each with a bucket of its own that is full: most of the real one may be used up by then."""

    async def main() -> None:
        real = [host(tmp_path / "b.db") for _ in range(2)]
        parts_at = anyio.current_time() + after

        async def carry(budget: HostBudget, account: str, report: Report) -> Grant:
            if parts_at <= anyio.current_time() < parts_at + 20:
                await anyio.sleep(0.9)
                raise ConnectionError
            await anyio.sleep(0.1)
            return await budget.exchange(account, report)

        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=240))
        seconds, _ = await gather_in([Broken(partial(carry, budget)) for budget in real], simulator, 160)
        assert Counter(request.status for request in simulator.requests) == {200: 320}
        assert seconds < 1.5 * 60 * (320 - 240) / 240
        for budget in real:
            await budget.aclose()

    run(main)


def test_a_carrier_that_comes_back_is_used_again(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        real, works = host(tmp_path / "b.db"), True

        async def carry(account: str, report: Report) -> Grant:
            if not works:
                raise ConnectionError
            await anyio.sleep(0.01)
            return await real.exchange(account, report)

        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=120))
        async with engine_in_memory(simulator, budget=Broken(carry)) as engine:
            handles = [engine.submit(request) for request in prompts(200)]
            await anyio.sleep(5)
            works = False
            await anyio.sleep(10)
            budget = engine.stats().budget
            assert budget is not None
            assert budget.alone
            works = True
            await anyio.sleep(3)
            budget = engine.stats().budget
            assert budget is not None
            assert not budget.alone
            assert [(await handle.wait()).state for handle in handles] == ["complete"] * 200
        await real.aclose()

    run(main)


def test_a_cancelled_engine_gives_back_what_it_had(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=60))
        with anyio.move_on_after(2):
            async with engine_in_memory(simulator, budget=host(tmp_path / "b.db")) as engine:
                await engine.gather(prompts(200))
        async with engine_in_memory(simulator, budget=host(tmp_path / "b.db")) as engine:
            handle = engine.submit("Alone?")
            await anyio.sleep(1.5)
            budget = engine.stats().budget
            assert budget is not None
            assert (budget.participants, budget.share) == (1, 1.0)
            await handle.wait()

    run(main)


def test_pools_that_are_forgotten_are_not_kept(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        async with engine_in_memory(simulated(), budget=host(tmp_path / "b.db")) as engine:
            await engine.submit("Hello").wait()
            sharing = engine._sharing  # pyright: ignore[reportPrivateUsage]
            assert sharing is not None
            engine.forget(engine.connection.credentials)
            await anyio.sleep(1)
            assert len(sharing._members) == 1  # pyright: ignore[reportPrivateUsage]
            await anyio.sleep(6)
            assert sharing._members == []  # pyright: ignore[reportPrivateUsage]
            assert (await engine.submit("Hello again").wait()).state == "complete"

    run(main)


def test_a_task_that_is_cancelled_twice_while_its_engine_leaves_leaves_nothing_open() -> None:
    # As asyncio does it: the second cancellation goes through a shield.
    async def main() -> None:
        leaving, closed = asyncio.Event(), False

        async def carry(account: str, report: Report) -> Grant:
            if report.leaving:
                leaving.set()
                await asyncio.sleep(0.2)
            raise ConnectionError

        class Closing(Broken):
            async def aclose(self) -> None:
                nonlocal closed
                closed = True

        real = MemoryLedgers(time.monotonic)
        budget = Closing(carry)

        async def exchange(account: str, report: Report) -> Grant:
            return await carry(account, report) if report.leaving else real.exchange(account, report)

        budget.exchange = exchange  # pyright: ignore[reportAttributeAccessIssue]
        simulator = Simulator()

        async def use() -> None:
            async with engine_in_memory(simulator, budget=budget) as engine:
                await engine.submit("Hello").wait()

        task = asyncio.create_task(use())
        await leaving.wait()
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed

    asyncio.run(main())
