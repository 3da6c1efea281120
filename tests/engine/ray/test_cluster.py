"""A local Ray cluster of two cores: the budget's actor, and Datasets that are answered."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_for, requests_named

from manystream import AnthropicModel, RayBudget, Simulator
from manystream.engine.budget import ray as carrier
from manystream.engine.budget.budget import CarrierFailed
from manystream.engine.budget.messages import Report, Use
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits
from manystream.ray import MessagesUDF

TOP = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray, in a cluster."""
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    found: Any = import_module("ray")
    found.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"ANTHROPIC_API_KEY": "key"}},
    )
    import_module("ray.data").DataContext.get_current().enable_progress_bars = False
    with pytest.MonkeyPatch.context() as patch:  # a busy machine takes its time to start a process
        patch.setattr(carrier, "_STARTS", 60.0)
        patch.setattr(carrier, "_SECONDS", 10.0)
        patch.setattr(RayBudget, "starts_within", 61.0)
        yield found
    found.shutdown()


def report(participant: str, **facts: Any) -> Report:
    uses = {"requests_per_minute": Use(need=10.0, backlog=10.0)}
    values: dict[str, Any] = {"ceiling": 10, "wanted": 5, "uses": uses, "fixed": {"requests_per_minute": 60.0}}
    return Report(participant=participant, told={}, **(values | facts))


def fresh(ray: Any) -> str:
    """The name of a namespace that no test has used."""
    return f"test-{time.monotonic_ns()}"


# -- the budget


@pytest.mark.anyio
async def test_all_of_a_namespace_share(ray: Any) -> None:
    namespace = fresh(ray)
    one, two, other = RayBudget(namespace=namespace), RayBudget(namespace=namespace), RayBudget(namespace=fresh(ray))
    assert (await one.exchange("account", report("one"))).participants == 1
    assert (await two.exchange("account", report("two"))).participants == 2
    assert (await two.exchange("another", report("two"))).participants == 1
    assert (await other.exchange("account", report("two"))).participants == 1
    assert (await two.exchange("account", report("two", leaving=True))).participants == 1
    await one.aclose()
    assert (await one.exchange("account", report("one"))).participants == 1


@pytest.mark.anyio
async def test_an_actor_that_dies_is_there_again(ray: Any) -> None:
    namespace, name = fresh(ray), "manystream-budget-1"
    failures: list[str] = []
    budget = RayBudget(namespace=namespace)
    for no_restart in (False, True):
        await budget.exchange("account", report("one"))
        assert (await budget.exchange("account", report("two"))).participants == 2
        ray.kill(ray.get_actor(name, namespace=namespace), no_restart=no_restart)
        with anyio.fail_after(60):
            while True:
                try:
                    if (await budget.exchange("account", report("one"))).participants == 1:
                        break
                except CarrierFailed as exc:
                    failures.append(str(exc))
                await anyio.sleep(0.1)
    assert all(failure.startswith("Ray: ") for failure in failures)


@pytest.mark.anyio
async def test_engines_that_share_it_are_told(ray: Any) -> None:
    budget = RayBudget(namespace=fresh(ray), weight=3)
    async with (
        Simulator().serve() as simulator,
        engine_for(simulator, budget=budget) as one,
        engine_for(simulator, budget=budget) as two,
    ):
        for engine in (one, two):
            results = await engine.gather(requests_named("a", "b"))
            assert [result.state for result in results] == ["complete"] * 2
        stats = two.stats().budget
        assert stats is not None
        assert (stats.participants, stats.alone, stats.on_host) == (2, False, False)


# -- datasets


class Service:
    """A simulator in a thread of its own."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=anyio.run, args=(self._serve,), daemon=True)

    async def _serve(self) -> None:
        async with self.simulator.serve():
            self._ready.set()
            await anyio.to_thread.run_sync(self._over.wait)

    def __enter__(self) -> Simulator:
        self._thread.start()
        assert self._ready.wait(30)
        return self.simulator

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)


def model_of(simulator: Simulator) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", base_url=simulator.url, defaults={"max_tokens": 40})


def answered(ray: Any, simulator: Simulator, rows: list[dict[str, Any]], *, batch: int = 50, **settings: Any) -> Any:
    dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // batch))
    return dataset.map_batches(
        MessagesUDF,
        fn_constructor_kwargs=MessagesUDF.arguments(model_of(simulator), **settings),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=0.5,
    )


def test_rows_become_answers_and_errors_are_rows(ray: Any) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"q{number}", "number": number} for number in range(100)]
    rows[7]["prompt"] = ""
    with Service(Simulator()) as simulator:
        found = answered(ray, simulator, rows, batch=10, budget=RayBudget(namespace=fresh(ray))).materialize()
        by_number = {row["number"]: row for row in found.take_all()}
        frame = found.repartition(1).to_pandas()
        asked = Counter(request.json["messages"][0]["content"] for request in simulator.requests)
    assert asked == {f"q{number}": 1 for number in range(100) if number != 7}
    assert set(by_number) == set(range(100))
    wrong = by_number.pop(7)
    assert (wrong["state"], wrong["error"], wrong["attempts"], wrong["cost"]) == ("failed", "request_error", 0, 0.0)
    for row in by_number.values():
        assert (row["state"], row["error"], row["error_message"], row["attempts"]) == ("complete", None, None, 1)
        assert row["cost"] > 0
        message = json.loads(row["result"])["message"]
        assert message["content"][0]["text"] == row["text"]
        assert message["usage"]["output_tokens"] == row["usage"]["output_tokens"] > 0
    assert frame["error"].isna().sum() == 99
    assert frame["error"].dropna().tolist() == ["request_error"]


def test_parameters_come_back_from_arrow_as_they_were(ray: Any) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    plain: list[dict[str, Any]] = [{"messages": messages}, {"messages": messages, "system": "S", "max_tokens": 5}]
    rows = [{"params": params} for params in plain] + [{"params": {"messages": messages}}]
    with Service(Simulator()) as simulator:
        found = answered(ray, simulator, rows, batch=3, budget=None).take_all()
        sent = [request.json for request in simulator.requests]
    assert [row["state"] for row in found] == ["complete"] * 3
    assert sorted(len(body) for body in sent) == [4, 4, 5]
    assert all(body["messages"] == messages for body in sent)


def test_workers_that_share_a_budget_are_not_refused(ray: Any) -> None:
    limits = Conditions(limits=ServiceLimits(requests_per_minute=1200, burst_seconds=5))
    rows = [{"prompt": f"q{number}"} for number in range(300)]
    with Service(Simulator(conditions=limits)) as simulator:
        budget = RayBudget(namespace=fresh(ray))
        found = answered(ray, simulator, rows, budget=budget, max_concurrency=200).take_all()
        statuses = Counter(request.status for request in simulator.requests)
    assert Counter(row["state"] for row in found) == {"complete": 300}
    assert statuses == {200: 300}


def test_a_worker_that_is_killed_costs_no_row(ray: Any) -> None:
    rows = [{"prompt": f"q{number}"} for number in range(200)]
    with Service(Simulator(time_to_first_token=1.0)) as simulator:
        done: list[Any] = []
        work = answered(ray, simulator, rows, batch=20, budget=RayBudget(namespace=fresh(ray)), max_concurrency=20)
        thread = threading.Thread(target=lambda: done.extend(work.take_all()))
        thread.start()
        simulator.wait_until(lambda one: len(one.requests) >= 60, timeout=60)
        victims = [pid for pid in workers() if "MapWorker" in title_of(pid)]
        assert victims
        os.kill(victims[0], signal.SIGKILL)
        thread.join(100)
        assert not thread.is_alive()
    assert Counter(row["prompt"] for row in done) == {f"q{number}": 1 for number in range(200)}
    assert {row["state"] for row in done} == {"complete"}


def workers() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def test_a_model_with_a_key_is_refused(ray: Any) -> None:
    with_key = AnthropicModel("claude-opus-5-5", api_key="SECRET", base_url="http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"^the model was given its api_key, which no worker is sent: ") as caught:
        MessagesUDF.arguments(with_key)
    assert "SECRET" not in str(caught.value)
    # So does the worker, for those who do not ask before.
    dataset = ray.data.from_items([{"prompt": "Hi"}])
    compute = ray.data.ActorPoolStrategy(size=1)
    work = dataset.map_batches(MessagesUDF, fn_constructor_kwargs={"model": with_key}, compute=compute, num_cpus=0.5)
    with pytest.raises(Exception, match="the model was given its api_key, which no worker is sent") as raised:
        work.take_all()
    assert "SECRET" not in str(raised.value)


def test_columns_of_such_names_are_not_replaced(ray: Any) -> None:
    with Service(Simulator()) as simulator:
        work = answered(ray, simulator, [{"prompt": "Hi", "text": "mine"}], batch=1, budget=None)
        with pytest.raises(Exception, match="the rows have a column 'text' already"):
            work.take_all()


def test_the_example_runs(tmp_path: Path) -> None:
    env = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, str(TOP / "examples" / "ray" / "answers.py")],
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert "'complete': 160" in done.stdout
