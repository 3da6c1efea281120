"""The budget on Ray, with a stand-in for Ray: the real one is in `tests/engine/ray`."""

import pickle
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from manystream import AnthropicModel, Engine, RayBudget
from manystream.engine.budget.budget import CarrierFailed
from manystream.engine.budget.messages import Grant, Report, Use


class GetTimeoutError(Exception):
    pass


class StandIn:
    """What is used of Ray, in this process."""

    def __init__(self) -> None:
        self.exceptions = SimpleNamespace(GetTimeoutError=GetTimeoutError)
        self.initialized = True
        self.fails: Exception | None = None
        self.made: list[dict[str, Any]] = []
        self.timeouts: list[float] = []

    def is_initialized(self) -> bool:
        return self.initialized

    def remote(self, kind: Callable[[], Any]) -> Any:
        def make() -> Any:
            actor = kind()

            def send(account: str, report: Report) -> Callable[[], Grant]:
                return lambda: actor.exchange(account, report)

            return SimpleNamespace(exchange=SimpleNamespace(remote=send))

        def options(**given: Any) -> Any:
            self.made.append(given)
            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def get(self, answer: Callable[[], Grant], timeout: float) -> Grant:
        self.timeouts.append(timeout)
        if self.fails is not None:
            raise self.fails
        return answer()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn()
    monkeypatch.setitem(sys.modules, "ray", found)
    return found


def report() -> Report:
    return Report(
        participant="one", ceiling=10, uses={"requests_per_minute": Use(need=10.0, backlog=10.0)}, fixed={}, told={}
    )


@pytest.mark.anyio
async def test_the_actor_is_one_for_all_and_outlives_its_maker(ray: StandIn) -> None:
    budget = RayBudget(namespace="ours")
    for _ in range(3):
        assert (await budget.exchange("account", report())).participants == 1
    [made] = ray.made
    assert made["name"] == "manystream-budget-1"
    assert (made["namespace"], made["get_if_exists"], made["lifetime"]) == ("ours", True, "detached")
    assert (made["num_cpus"], made["max_restarts"]) == (0, -1)
    assert ray.timeouts[0] > 5  # it has to start
    assert max(ray.timeouts[1:]) < 1


@pytest.mark.anyio
@pytest.mark.parametrize(("fails", "made"), [(GetTimeoutError("secret"), 1), (RuntimeError("secret"), 2)])
async def test_an_actor_that_is_slow_is_asked_again_and_one_that_is_lost_is_made_anew(
    ray: StandIn, fails: Exception, made: int
) -> None:
    budget = RayBudget()
    await budget.exchange("account", report())
    ray.fails = fails
    with pytest.raises(CarrierFailed, match=rf"^Ray: {type(fails).__name__}$"):
        await budget.exchange("account", report())
    ray.fails = None
    assert (await budget.exchange("account", report())).participants == 1
    assert len(ray.made) == made


@pytest.mark.anyio
async def test_outside_of_a_cluster_none_is_started(ray: StandIn) -> None:
    ray.initialized = False
    with pytest.raises(CarrierFailed, match=r"call ray\.init\(\) before"):
        await RayBudget().exchange("account", report())
    assert ray.made == []


@pytest.mark.usefixtures("ray")
def test_a_pickle_is_the_same_budget() -> None:
    again = pickle.loads(pickle.dumps(RayBudget(name="us", weight=2, priority=1, namespace="ours")))
    assert repr(again) == "RayBudget(name='us', namespace='ours')"
    assert (again.weight, again.priority) == (2, 1)


@pytest.mark.usefixtures("ray")
def test_a_word_means_it() -> None:
    Engine(AnthropicModel("claude-opus-5-5", api_key="k"), budget="ray")
    with pytest.raises(ValueError, match="namespace is the name of one"):
        RayBudget(namespace="")


def test_without_the_package_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'manystream\[ray\]'"):
        RayBudget()
