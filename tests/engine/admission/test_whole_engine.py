"""A whole engine against a service with limits, outages and a prompt cache: in memory, on virtual time."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Engine, Group, Limits, Price, RetryPolicy, StreamRequest
from manystream.engine.simulator import Simulator, Stall
from manystream.engine.simulator.service import conditions as service

Main = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Runs a main function on virtual time."""

    def run(main: Main) -> None:
        backend, options = virtual_backends(settle=0.004)[request.param]  # the SDK asks for its platform in a thread
        anyio.run(main, backend=backend, backend_options=options)

    return run


def simulated(**options: Any) -> Simulator:
    """A service on virtual time, under these conditions."""
    return Simulator(
        conditions=service.Conditions(**options),
        clock=anyio.current_time,
        time_to_first_token=0.5,
    )


def prompts(count: int, **facts: Any) -> Iterator[StreamRequest]:
    for number in range(count):
        params: Any = {"messages": [{"role": "user", "content": f"Number {number}"}], "max_tokens": 60}
        yield StreamRequest(params, custom_id=str(number), **facts)


def statuses(simulator: Simulator) -> Counter[int | None]:
    return Counter(request.status for request in simulator.requests)


def test_a_tight_limit_is_used_to_the_full_and_hardly_ever_overstepped(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=60))
        async with engine_in_memory(simulator) as engine:
            begun = anyio.current_time()
            results = await engine.gather(prompts(120))
            minutes = (anyio.current_time() - begun) / 60
        assert [result.state for result in results] == ["complete"] * 120
        assert minutes < 1.15  # a full bucket, and another minute's worth
        assert statuses(simulator)[429] <= 6

    run(main)


def test_an_outage_loses_nothing_and_meets_no_storm(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated(overload=service.Overload(outages=((2.0, 62.0),)))
        async with engine_in_memory(simulator, max_concurrency=20) as engine:
            results = await engine.gather(prompts(150))
        assert Counter(result.state for result in results) == {"complete": 150}
        assert statuses(simulator)[529] < 40
        late = [r for r in simulator.requests if r.status == 529]
        assert len(late) >= 5  # it did ask

    run(main)


def test_what_everybody_waits_for_is_told(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        simulator.script([Stall("head")] * 4)
        limits = Limits(requests_per_minute=4)
        groups = {"few": Group(max_concurrency=1)}
        async with engine_in_memory(simulator, limits=limits, groups=groups, grace=0.01) as engine:
            handles = [engine.submit(request) for request in prompts(2, group="few")]
            handles += [engine.submit(request) for request in prompts(5)]
            await anyio.sleep(1)
            stats = engine.stats()
            assert (stats.running, stats.waiting, stats.backoff) == (4, 3, 0)
            assert stats.waiting_for == {"group": 1, "requests_per_minute": 2}
            waiting = stats.waits[-1]
            assert (waiting.custom_id, waiting.reason) == ("4", "requests_per_minute")
            assert waiting.seconds == pytest.approx(14, abs=0.1)
            [pool] = stats.pools
            assert (pool.name, pool.running) == ("claude-opus-5-5", 4)
            assert pool.limits["requests_per_minute"].per_minute == 4
            for handle in handles:
                handle.cancel()

    run(main)


def test_backoff_is_told_too(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        simulator.script([500, "fine"])
        async with engine_in_memory(simulator, retry=RetryPolicy(base_delay=50, max_delay=50)) as engine:
            handle = engine.submit("Hi")
            await anyio.sleep(0.01)
            assert engine.stats().waiting_for == {"backoff": 1}
            assert (await handle.wait()).state == "complete"

    run(main)


def test_a_cancelled_stream_gives_back_the_tokens_it_did_not_use(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        async with engine_in_memory(simulator, limits=Limits(output_tokens_per_minute=200)) as engine:
            simulator.script([Stall("head"), Stall("head"), Stall("head")])
            first = [engine.submit(request) for request in prompts(4)]
            await anyio.sleep(0.1)
            assert engine.stats().waiting_for == {"output_tokens_per_minute": 1}
            first[0].cancel()
            await first[0].wait()
            assert engine.stats().waiting == 0
            for handle in first:
                handle.cancel()

    run(main)


LONG = "The whole story, told at length. " * 400


def cached_prompts(count: int) -> Iterator[StreamRequest]:
    for number in range(count):
        system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
        messages = [{"role": "user", "content": f"Question {number}"}]
        yield StreamRequest({"system": system, "messages": messages, "max_tokens": 20})


def test_of_many_with_one_long_prompt_one_writes_the_cache_and_the_rest_read_it(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        async with engine_in_memory(simulator) as engine:
            results = await engine.gather(cached_prompts(100))
        assert all(result.state == "complete" for result in results)
        writers = [result for result in results if result.usage.cache_creation_input_tokens]
        readers = [result for result in results if result.usage.cache_read_input_tokens]
        assert (len(writers), len(readers)) == (1, 99)
        uncached = sum(result.usage.total_input_tokens - result.usage.cache_read_input_tokens for result in results)
        at_once = sum(result.usage.total_input_tokens for result in results)
        assert uncached < at_once * 0.1

    run(main)


def test_the_spend_cap_ends_a_run_cleanly(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        prices = {"claude-opus-5-5": Price(0, 10.0)}
        async with engine_in_memory(simulator, spend_cap=0.01, prices=prices) as engine:
            results = await engine.gather(prompts(60))
            stats = engine.stats()
        states = Counter(result.state for result in results)
        assert states["complete"] > 10
        assert states["failed"] > 10
        not_run = [result for result in results if result.state == "failed"]
        assert {result.error.type for result in not_run if result.error} == {"spend_cap_reached"}
        assert not any(result.attempts for result in not_run)
        assert stats.spent is not None
        assert 0.008 < stats.spent < 0.012  # what runs is only estimated
        billed = sum(result.billed.output_tokens for result in results) * 10 / 1e6
        assert stats.spent == pytest.approx(billed)
        assert len(simulator.requests) == states["complete"]

    run(main)


def test_two_models_do_not_share_a_limit(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated(limits=service.ServiceLimits(requests_per_minute=6))
        async with engine_in_memory(simulator) as engine:
            begun = anyio.current_time()
            requests = [
                StreamRequest({"messages": [{"role": "user", "content": f"{n}"}], "model": model, "max_tokens": 20})
                for n in range(6)
                for model in ("claude-opus-5-5", "claude-haiku-5-5")
            ]
            results = await engine.gather(requests)
            assert all(result.state == "complete" for result in results)
            assert anyio.current_time() - begun < 5
            assert {pool.name for pool in engine.stats().pools} == {"claude-opus-5-5", "claude-haiku-5-5"}

    run(main)


def test_settings_are_checked_before_anything_runs() -> None:
    simulator = Simulator()
    with pytest.raises(ValueError, match="recovery is one of"):
        engine_in_memory(simulator, recovery="retry")

    async def unknown_price() -> None:
        async with engine_in_memory(simulator, spend_cap=1) as engine:
            with pytest.raises(ValueError, match="no price is known for 'claude-nobody-1'"):
                engine.submit({"model": "claude-nobody-1", "messages": []})

    anyio.run(unknown_price)


def test_stats_of_an_engine_that_was_not_entered() -> None:
    engine = engine_in_memory(Simulator())
    assert isinstance(engine, Engine)
    with pytest.raises(RuntimeError, match="enter the engine first"):
        engine.stats()


@pytest.mark.parametrize("max_tokens", [None, "100", 1.5])
def test_a_request_that_makes_no_sense_fails_alone(run: Callable[[Main], None], max_tokens: Any) -> None:
    async def main() -> None:
        async with engine_in_memory(simulated()) as engine:
            bad = engine.submit({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": max_tokens})
            assert (await bad.wait()).error is not None
            assert (await engine.submit("Hi").wait()).state == "complete"
            with pytest.raises(TypeError, match="model is a model's name, not a int"):
                engine.submit({"messages": [], "model": 5})  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError, match="priority"):
            StreamRequest("Hi", priority="1")  # pyright: ignore[reportArgumentType]

    run(main)


def test_what_waits_is_not_begun_while_the_engine_shuts_down(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        simulator = simulated()
        async with engine_in_memory(simulator, limits=Limits(output_tokens_per_minute=600)) as engine:
            handles = [
                engine.submit({"messages": [{"role": "user", "content": str(n)}], "max_tokens": n})
                for n in (500, 400, 50)
            ]
            await anyio.sleep(0.01)
        assert [handle.result.state for handle in handles] == ["complete", "cancelled", "cancelled"]
        assert len(simulator.requests) == 1

    run(main)
