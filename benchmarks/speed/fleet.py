"""Live streams, as many as are wanted, and what is to be seen of them in a window of time."""

import math
import time

import anyio
import attrs
from anyio import TaskHandle
from anyio.abc import TaskGroup

from .kinds import Ask

__all__ = ["Fleet", "SlowError", "Window"]

_OPENING_AT_ONCE = 20
_ENDLESS = 10**9  # deltas


class SlowError(Exception):
    """The client didn't even get so many streams open."""


@attrs.frozen
class Window:
    """What was seen of `streams` live streams. Times are milliseconds, where not said otherwise."""

    streams: int
    events: int
    wanted: float
    """Events that should have come."""
    cpu_us_per_event: float
    load: float
    """The share of one core that was used."""
    p50_ms: float
    p99_ms: float
    """How late the events were."""

    @property
    def in_time(self) -> bool:
        """Whether all that was sent came, and 99 % of it within 50 ms."""
        return self.p99_ms <= 50 and self.events >= 0.97 * self.wanted


class _Live:
    """One live stream: tells the fleet that it lives, and then how late its events are."""

    def __init__(self, late: list[int]) -> None:
        self._late = late
        self.began = anyio.Event()

    def arrived(self, late: int) -> None:
        if not self.began.is_set():
            self.began.set()
        self._late.append(late)


class Fleet:
    """Streams that go on until they are let go, each giving an event every `pace` seconds."""

    def __init__(self, ask: Ask, tasks: TaskGroup, pace: float) -> None:
        self._ask = ask
        self._tasks = tasks
        self._pace = pace
        self._late: list[int] = []
        self._live: list[TaskHandle[None]] = []

    async def resize(self, streams: int, *, patience: float = 180.0) -> None:
        """Opens or lets go of as many as it takes; comes back when the last one has had its first event.

        Raises `SlowError` when that takes longer than `patience` seconds.
        """
        for task in self._live[streams:]:
            task.cancel()
        del self._live[streams:]
        gate = anyio.Semaphore(_OPENING_AT_ONCE)
        with anyio.move_on_after(patience):
            async with anyio.create_task_group() as opening:
                while len(self._live) < streams:
                    await gate.acquire()
                    stream = _Live(self._late)
                    self._live.append(self._tasks.create_task(self._ask(_ENDLESS, stream)))
                    opening.start_soon(self._wait_for, stream, gate)
            return
        raise SlowError(f"{streams} streams were not open after {patience:g} s")

    @staticmethod
    async def _wait_for(stream: _Live, gate: anyio.Semaphore) -> None:
        await stream.began.wait()
        gate.release()

    async def watch(self, seconds: float, *, settle: float) -> Window:
        """What is seen in so many seconds, `settle` seconds from now."""
        await anyio.sleep(settle)
        late = self._late
        late.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        await anyio.sleep(seconds)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        seen = sorted(late)
        streams, events = len(self._live), len(seen)
        return Window(
            streams=streams,
            events=events,
            wanted=streams * wall / self._pace,
            cpu_us_per_event=cpu / max(1, events) * 1e6,
            load=cpu / wall,
            p50_ms=seen[events // 2] / 1e6 if seen else math.inf,
            p99_ms=seen[events * 99 // 100] / 1e6 if seen else math.inf,
        )
