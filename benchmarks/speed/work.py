"""What a client is measured at: each mode is one function that returns figures by name."""

import gc
import time
from collections.abc import Awaitable, Callable, Mapping

import anyio
import attrs
from anyio.abc import TaskGroup

from .fleet import Fleet, SlowError, Window
from .kinds import Ask, Kind
from .machine import resident_bytes
from .server import WIRE_EVENTS_BESIDE_DELTAS

__all__ = ["PACES", "WORK", "Bench", "Figures", "Plan"]

Figures = dict[str, float]
PACES: Mapping[str, int] = {
    "steady": 50,
    "tls": 50,
    "tls-memory": 500,
    "tls-life": 10_000,
    "capacity": 50,
    "memory": 500,
    "many": 500,
}
"""Milliseconds between the events of a stream, by mode; 0 for the others: as fast as they are read."""

_GROWTH_STEP = 1.3


@attrs.frozen(kw_only=True)
class Plan:
    """How much of everything is measured."""

    deltas: int = 200
    """In each answer that is read as fast as it comes."""
    burst_requests: int = 400
    request_requests: int = 1000
    growth_requests: int = 2000
    streams: int = 400
    seconds: float = 3.5
    settle: float = 1.0
    capacity_halvings: int = 3
    """How often the distance between too many streams and few enough is halved."""
    few: int = 200
    more: int = 1200
    many: int = 5000
    alive: int = 1000


async def _burst(ask: Ask, *, at_once: int, requests: int, deltas: int) -> Figures:
    reader = _NoReader()
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await ask(deltas, reader)

    async def all_at_once(count: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(ask, 1, reader)

    await all_at_once(1)  # what is loaded at the first request
    await all_at_once(min(50, at_once))
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(work)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    events = requests * (deltas + WIRE_EVENTS_BESIDE_DELTAS)
    return {
        "cpu_us_per_event": cpu / events * 1e6,
        "cpu_ms_per_request": cpu / requests * 1e3,
        "events_per_second": events / wall,
    }


class _NoReader:
    def arrived(self, late: int) -> None:
        pass


@attrs.frozen
class Bench:
    """What is measured, how much of it, and a task group for what it leaves running."""

    kind: Kind
    ask: Ask
    plan: Plan
    tasks: TaskGroup

    def fleet(self, mode: str) -> Fleet:
        """A fleet at the mode's pace."""
        return Fleet(self.ask, self.tasks, PACES[mode] / 1000)


async def burst(bench: Bench) -> Figures:
    """Fifty answers at a time, as fast as they are read."""
    plan = bench.plan
    # Those that take long for an event need fewer of them.
    requests = plan.burst_requests if bench.kind.guess > 100 else max(1, plan.burst_requests // 4)
    return await _burst(bench.ask, at_once=50, requests=requests, deltas=plan.deltas)


async def requests(bench: Bench) -> Figures:
    """Answers of one delta, fifty at a time: what a request costs, whatever it says."""
    return await _burst(bench.ask, at_once=50, requests=bench.plan.request_requests, deltas=1)


async def growth(bench: Bench) -> Figures:
    """What an event costs with 2,000 answers at a time, of what it costs with fifty."""
    plan = bench.plan
    few = await _burst(bench.ask, at_once=50, requests=plan.growth_requests, deltas=plan.deltas)
    many = await _burst(bench.ask, at_once=2000, requests=plan.growth_requests, deltas=plan.deltas)
    return {
        "cpu_us_per_event_50": few["cpu_us_per_event"],
        "cpu_us_per_event_2000": many["cpu_us_per_event"],
        "growth": many["cpu_us_per_event"] / few["cpu_us_per_event"],
    }


def _figures(window: Window) -> Figures:
    return {
        "cpu_us_per_event": window.cpu_us_per_event,
        "load": window.load,
        "p50_ms": window.p50_ms,
        "p99_ms": window.p99_ms,
        "delivered": window.events / window.wanted,
    }


async def steady(bench: Bench) -> Figures:
    """Live streams at the pace of a model."""
    fleet, plan = bench.fleet("steady"), bench.plan
    await fleet.resize(plan.streams)
    return _figures(await fleet.watch(plan.seconds, settle=plan.settle))


async def many(bench: Bench) -> Figures:
    """Very many streams, each slow."""
    fleet, plan = bench.fleet("many"), bench.plan
    await fleet.resize(plan.many)
    window = await fleet.watch(plan.seconds, settle=plan.settle)
    return {**_figures(window), "rss_mb": resident_bytes() / 1e6}


async def memory(bench: Bench) -> Figures:
    """What each further live stream holds, when there are many already."""
    fleet, plan = bench.fleet("memory"), bench.plan
    used: list[int] = []
    for streams in (plan.few, plan.more):
        await fleet.resize(streams)
        await anyio.sleep(plan.settle)
        gc.collect()
        used.append(resident_bytes())
    return {
        "kb_per_stream": (used[1] - used[0]) / (plan.more - plan.few) / 1000,
        "rss_mb_few": used[0] / 1e6,
        "rss_mb_more": used[1] / 1e6,
    }


async def life(bench: Bench) -> Figures:
    """What it costs to open many streams from nothing, to let all go at once, and to open them again."""
    fleet, plan = bench.fleet("tls-life"), bench.plan
    await fleet.resize(1)  # what is loaded at the first request

    async def cost(streams: int) -> float:
        gc.collect()
        cpu = time.process_time()
        await fleet.resize(streams)
        if not streams:
            await anyio.sleep(plan.settle / 4)
        return (time.process_time() - cpu) * 1e3

    return {
        "open_cpu_ms": await cost(plan.alive),
        "cancel_cpu_ms": await cost(0),
        "again_cpu_ms": await cost(plan.alive),
    }


async def capacity(bench: Bench) -> Figures:
    """The most live streams whose events come in time: 99 % of them within 50 ms."""
    fleet, plan = bench.fleet("capacity"), bench.plan

    async def bears(streams: int) -> bool:
        try:
            await fleet.resize(streams, patience=15.0)
        except SlowError:
            return False
        # Something else on the machine may spoil one window; two in a row are no accident.
        for _ in range(2):
            window = await fleet.watch(plan.seconds / 2, settle=plan.settle)
            if window.in_time:
                return True
            if window.load > 0.97:
                break
        return False

    least, most = 0, bench.kind.guess
    while await bears(most):
        least, most = most, round(most * _GROWTH_STEP)
    while not least and most > 1:
        lower = round(most / _GROWTH_STEP**2)
        if await bears(lower):
            least = lower
        else:
            most = lower
    for _ in range(plan.capacity_halvings):
        middle = (least + most) // 2
        if await bears(middle):
            least = middle
        else:
            most = middle
    return {"streams": least}


WORK: Mapping[str, Callable[[Bench], Awaitable[Figures]]] = {
    "burst": burst,
    "steady": steady,
    "tls": steady,
    "tls-memory": memory,
    "tls-life": life,
    "capacity": capacity,
    "requests": requests,
    "memory": memory,
    "growth": growth,
    "many": many,
}
"""By mode."""
