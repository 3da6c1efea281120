"""A rehearsal: requests go through the engine's own admission, supervisor, actors and retries, against the modelled
service, on virtual time. What comes out is when each of them ended.

A large run is not rehearsed as a whole. Some of its requests are, and in the middle the limits' buckets are emptied, as
they will be when the rest of the run has gone through: so the rehearsal shows the pace before and after (`pace`).
"""

import contextvars
import math
import random
from collections.abc import Mapping, Sequence

import anyio
import attrs

from ...actors.actor import StreamActor
from ...actors.response import Response
from ...actors.stream import Deadlines, RetryPolicy, StreamRequest
from ..admission import Admission, Limits, Ticket
from ..admission.prompt import Prompt
from ..limit_watch import LimitWatch
from ..supervisor import Job, Supervisor
from ..telemetry import Observers
from .service import ExpectedAnswer, ModelledService
from .virtual import on_virtual_time

__all__ = ["Part", "Rehearsal", "rehearse"]

_NOBODY = "rehearsal"  # whose credentials the requests are sent with


@attrs.frozen(kw_only=True)
class Part:
    """A request of a rehearsal, as the engine sees it, and the answer that is expected."""

    model_name: str
    prompt: Prompt
    """As the engine measures it, which need not be what the service counts."""
    max_tokens: int
    answer: ExpectedAnswer


@attrs.frozen(kw_only=True)
class Rehearsal:
    """What a rehearsal was."""

    ends: tuple[float, ...]
    """When the requests ended, in seconds from the beginning, in the order of their ends."""
    emptied: int | None
    """How many had ended when the limits' buckets were emptied; None when they were not."""
    running: int = 0
    """How many ran at that moment."""
    left: Mapping[tuple[str, str], float] = attrs.field(factory=dict[tuple[str, str], float])
    """What the buckets held then, by pool and limit."""
    refused: int
    """Attempts that the service refused."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ends[-1] if self.ends else 0.0


def rehearse(
    parts: Sequence[Part],
    *,
    concurrency: int,
    limits: Mapping[str, Limits],
    max_attempts: int = 4,
    overload: float = 0.0,
    empty_at: int | None = None,
    seed: int = 0,
) -> Rehearsal:
    """Rehearses the requests, at most `concurrency` at a time, under `limits` by the pool's name. `empty_at` is the
    number of requests that have to end before the buckets are emptied. The same arguments give the same rehearsal.

    Blocks, for about half a millisecond a request. Raises `RuntimeError` in a thread in which an event loop runs.
    """
    before = random.getstate()  # backoffs and windows draw from it
    random.seed(seed)
    try:
        return on_virtual_time(_Stage(parts, concurrency, limits, max_attempts, overload, empty_at, seed).play)
    finally:
        random.setstate(before)


class _Stage:
    def __init__(
        self,
        parts: Sequence[Part],
        concurrency: int,
        limits: Mapping[str, Limits],
        max_attempts: int,
        overload: float,
        empty_at: int | None,
        seed: int,
    ) -> None:
        self._parts = parts
        self._concurrency = concurrency
        self._service = ModelledService(limits, overload=overload, seed=seed)
        self._retry = RetryPolicy(max_attempts=max_attempts, longest_wait=math.inf)
        self._empty_at = empty_at
        self._emptied: int | None = None
        self._running = 0
        self._left: dict[tuple[str, str], float] = {}
        self._ends: list[float] = []
        self._changed = anyio.Event()

    async def play(self) -> Rehearsal:
        clock = anyio.current_time
        # Nothing of a rehearsal is logged or traced.
        admission = Admission(self._concurrency, clock=clock, woken=lambda: supervisor.wake())
        async with anyio.create_task_group() as tasks:
            silent = LimitWatch(clock, admission, lambda *_, **__: None)
            supervisor = Supervisor(tasks, clock, admission, self._released, Observers(), silent)
            supervisor.begin()
            for number, part in enumerate(self._parts):
                # As a run does: it takes the next request when one of those before has ended.
                while number - len(self._ends) >= self._concurrency:
                    self._changed = anyio.Event()
                    await self._changed.wait()
                supervisor.take_in(*self._job(number, part, admission, supervisor))
            await supervisor.wait_until_empty()
            supervisor.stop_side_tasks()
        return Rehearsal(
            ends=tuple(self._ends),
            emptied=self._emptied,
            running=self._running,
            left=self._left,
            refused=self._service.refused,
        )

    def _job(self, number: int, part: Part, admission: Admission, supervisor: Supervisor) -> tuple[Job, Ticket]:
        stream_id = f"rehearsed_{number}"
        actor = StreamActor(
            stream_id,
            StreamRequest({"messages": []}),
            retry=self._retry,
            clock=anyio.current_time,
            on_abandon="detach",
            deadlines=Deadlines(),
            owner=supervisor,
            recovery="restart",
        )
        ticket = Ticket(
            pool=admission.pool(_NOBODY, part.model_name, own=part.answer.pool),
            stream_id=stream_id,
            model_name=part.model_name,
            prompt=part.prompt,
            max_tokens=part.max_tokens,
        )

        async def send(_: StreamRequest) -> Response:
            return await self._service.send(part.answer)

        return Job(actor, send, contextvars.Context(), None), ticket

    def _released(self, actor: StreamActor) -> None:
        self._ends.append(anyio.current_time())
        if len(self._ends) == self._empty_at:
            self._emptied, self._running = len(self._ends), self._service.running
            self._left = self._service.use_up()
        self._changed.set()
