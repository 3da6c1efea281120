"""One trial: a Dataset of rows on a local cluster of two cores, answered by a service of this process."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import anyio
import anyio.to_thread
import attrs

from manystream import AnthropicModel, Simulator
from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import ServiceLimits
from manystream.ray import MessagesUDF

__all__ = ["LIMITED", "SMALL", "Outcome", "Way", "Work", "cluster", "run_trial"]

Way = Literal["manystream", "manystream, no budget", "ray.data.llm"]
_MODEL, _TOKENS, _TOKENS_A_SECOND = "claude-opus-5-5", 40, 400.0  # an answer takes about 0.1 s


@attrs.frozen(kw_only=True)
class Work:
    """How many rows there are, in which batches, for how many workers; and how many requests a minute are taken."""

    title: str
    rows: int
    batch: int
    workers: int
    per_minute: int | None = None


SMALL = Work(title="256 rows in batches of 64, one worker, no limit", rows=256, batch=64, workers=1)
LIMITED = Work(
    title="800 rows in batches of 100, two workers, 2,400 requests a minute",
    rows=800,
    batch=100,
    workers=2,
    per_minute=2400,
)


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of the rows."""

    work: str
    way: Way
    seconds: float
    """From the first request to the last answer: without the start of the workers."""
    whole: float
    """Of the Dataset, from beginning to end."""
    refused: int
    answered: int
    """Rows with a whole answer."""


@contextmanager
def cluster() -> Generator[Any]:
    """Ray, in a local cluster of two cores."""
    ray: Any = import_module("ray")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"ANTHROPIC_API_KEY": "any"}},
    )
    import_module("ray.data").DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()


def run_trial(ray: Any, work: Work, way: Way) -> Outcome:
    """Answers the rows of `work` in this way."""
    limits = (
        ServiceLimits()
        if work.per_minute is None
        else ServiceLimits(requests_per_minute=work.per_minute, burst_seconds=10)
    )
    conditions = Conditions(limits=limits)
    simulator = Simulator(conditions=conditions, time_to_first_token=0.02, tokens_per_second=_TOKENS_A_SECOND)
    with _served(simulator), _Watch(simulator) as watch:
        begun = time.monotonic()
        dataset = ray.data.from_items(
            [{"prompt": f"q{number}"} for number in range(work.rows)],
            override_num_blocks=work.rows // work.batch,
        )
        answered = (
            _theirs(dataset, work, simulator) if way == "ray.data.llm" else _ours(ray, dataset, work, way, simulator)
        )
        whole = time.monotonic() - begun
    return Outcome(
        work=work.title,
        way=way,
        seconds=watch.seconds,
        whole=whole,
        refused=sum(request.status == 429 for request in simulator.requests),
        answered=answered,
    )


def _ours(ray: Any, dataset: Any, work: Work, way: Way, simulator: Simulator) -> int:
    model = AnthropicModel(_MODEL, base_url=simulator.url, defaults={"max_tokens": _TOKENS})
    settings = MessagesUDF.arguments(model, budget="ray" if way == "manystream" else None)
    rows = dataset.map_batches(
        MessagesUDF,
        fn_constructor_kwargs=settings,
        batch_size=work.batch,
        compute=ray.data.ActorPoolStrategy(size=work.workers),
        num_cpus=0.5,
    ).take_all()
    return sum(row["state"] == "complete" for row in rows)


def _theirs(dataset: Any, work: Work, simulator: Simulator) -> int:
    llm: Any = import_module("ray.data.llm")
    config = llm.HttpRequestProcessorConfig(
        url=f"{simulator.url}/v1/messages",
        headers={"x-api-key": "any", "anthropic-version": "2023-06-01"},
        batch_size=work.batch,
        concurrency=work.workers,
        max_retries=10,
    )
    processor = llm.build_processor(config, preprocess=_payload, postprocess=_kept)
    return sum(row["kind"] == "message" for row in processor(dataset).take_all())


def _payload(row: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": row["prompt"]}]
    return {"payload": {"model": _MODEL, "max_tokens": _TOKENS, "messages": messages}}


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {"kind": row["http_response"]["type"]}


@contextmanager
def _served(simulator: Simulator) -> Generator[None]:
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with simulator.serve():
            ready.set()
            await anyio.to_thread.run_sync(over.wait)

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Watch:
    """Looks from when to when there are requests."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seconds = 0.0

    def _look(self) -> None:
        first, seen = 0.0, (0, 0)
        while not self._over.wait(0.01):
            requests = self._simulator.requests
            now = len(requests), sum(request.outcome != "running" for request in requests)
            if now != seen:
                first = first or time.monotonic()
                seen, self.seconds = now, time.monotonic() - first

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
