"""The budget on a Redis server: a real one, which the tests start."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_for, requests_named

from manystream import AnthropicModel, Engine, RedisBudget
from manystream.engine.budget.budget import CarrierFailed
from manystream.engine.budget.dollars import Spending
from manystream.engine.budget.messages import Report, Use
from manystream.engine.budget.posts import post_of
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits

PACKAGE = pytest.mark.skipif(find_spec("redis") is None, reason="redis-py is not installed")
SERVER = pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server")
SECRET = "a-password-that-nobody-may-see"


def report(participant: str = "one", **facts: Any) -> Report:
    uses = {"requests_per_minute": Use(need=10.0, backlog=10.0)}
    values: dict[str, Any] = {"ceiling": 10, "wanted": 5, "uses": uses, "fixed": {"requests_per_minute": 60.0}}
    return Report(participant=participant, told={}, **(values | facts))


class Server:
    """A Redis server on a socket of the file system."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.socket.parent)]
        self.process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self.socket.exists():
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    one.start()
    yield one
    one.stop()


# -- without a server


@PACKAGE
@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    budget = RedisBudget(f"redis://user:{SECRET}@127.0.0.1:9/0")
    with pytest.raises(CarrierFailed, match=r"^redis://127\.0\.0\.1:9/0: ConnectionError$") as caught:
        await budget.exchange("account", report())
    assert SECRET not in repr(budget)
    assert SECRET not in repr(caught.value.__cause__)
    await budget.aclose()


@PACKAGE
@pytest.mark.anyio
async def test_an_engine_without_its_server_runs_on() -> None:
    async with Simulator().serve() as simulator, engine_for(simulator, budget="redis://127.0.0.1:9") as engine:
        results = await engine.gather(requests_named("one", "two"))
        budget = engine.stats().budget
    assert [result.state for result in results] == ["complete"] * 2
    assert budget is not None
    assert (budget.alone, budget.on_host) == (True, False)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (5, TypeError),
        ("", ValueError),
        ("http://host", ValueError),
        ("redis://", ValueError),
        ("redis://[", ValueError),
    ],
)
def test_a_url_that_is_none(url: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^url is redis://host:port"):
        RedisBudget(url)


def test_a_url_that_is_none_is_not_told() -> None:
    with pytest.raises(ValueError, match="url is") as caught:
        Engine(AnthropicModel("claude-opus-5-5", api_key="k"), budget=f"redis://:{SECRET}@")
    assert SECRET not in str(caught.value)


def test_without_the_package_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r"pip install 'manystream\[redis\]'"):
        RedisBudget("redis://127.0.0.1")


# -- with one


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_two_that_use_the_server_share_it(server: Server) -> None:
    one, two = RedisBudget(server.url), RedisBudget(server.url)
    assert (await one.exchange("account", report())).participants == 1
    assert (await two.exchange("account", report("two"))).participants == 2
    assert (await two.exchange("another", report("two"))).participants == 1
    assert (await two.exchange("account", report("two", leaving=True))).participants == 1
    await one.aclose()
    assert (await one.exchange("account", report())).participants == 1  # it connects again
    await one.aclose()
    await two.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_many_at_once_lose_nothing_and_are_not_held_up(server: Server) -> None:
    budgets = [RedisBudget(server.url) for _ in range(16)]
    took: list[float] = []

    async def work(number: int) -> None:
        for _ in range(20):
            begun = time.perf_counter()
            grant = await budgets[number].exchange("account", report(f"participant {number}"))
            took.append(time.perf_counter() - begun)
            assert grant.participants <= 16
            await anyio.sleep(0.25)

    async with anyio.create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(work, number)
    assert (await budgets[0].exchange("account", report("participant 0"))).participants == 16
    assert sorted(took)[len(took) // 2] < 0.2
    for budget in budgets:
        await budget.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_one_that_dies_in_the_middle_holds_nobody_up(server: Server) -> None:
    """What it left there is booked by the next, half a second later; then nobody waits for it."""
    budget = RedisBudget(server.url)
    await budget.exchange("account", report())
    client = budget._client  # pyright: ignore[reportPrivateUsage]
    (key,) = client.keys("*")
    seconds, microseconds = client.time()
    client.hset(key, "clerk", f"{1000 * seconds + microseconds // 1000 + 500} another")
    client.hset(key, "report another", post_of(report("another")))
    begun = time.perf_counter()
    assert (await budget.exchange("account", report(number=1))).participants == 2
    assert time.perf_counter() - begun > 0.4
    assert set(client.hkeys(key)) == {b"version", b"state", b"grant another"}
    assert (await budget.exchange("account", report("another"))).participants == 2
    assert set(client.hkeys(key)) == {b"version", b"state"}
    await budget.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_a_clock_that_was_set_back_shuts_nobody_out(server: Server) -> None:
    """One that died in the middle left until when others wait for it: an hour from now, as the clock is by now."""
    budget = RedisBudget(server.url)
    await budget.exchange("account", report())
    client = budget._client  # pyright: ignore[reportPrivateUsage]
    (key,) = client.keys("*")
    seconds, _ = client.time()
    client.hset(key, "clerk", f"{1000 * (seconds + 3600)} another")
    begun = time.perf_counter()
    await budget.exchange("account", report(number=1))
    assert time.perf_counter() - begun < 0.4
    await budget.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_what_is_no_ledger_on_the_server_counts_for_nothing(server: Server) -> None:
    budget = RedisBudget(server.url)
    await budget.exchange("account", report())
    client = budget._client  # pyright: ignore[reportPrivateUsage]
    (key,) = client.keys("*")
    assert key.startswith(b"manystream:budget:1:")
    assert 3500 < client.ttl(key) <= 3600
    client.hset(key, "state", b"garbage")
    assert (await budget.exchange("account", report())).participants == 1
    client.set(key, "another kind of value")
    with pytest.raises(CarrierFailed, match="ResponseError"):
        await budget.exchange("account", report())
    await budget.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.anyio
async def test_dollars_are_kept_on_the_server_until_they_are_reset(server: Server) -> None:
    one, two = (RedisBudget(server.url, name="us", spend_cap=10.0) for _ in range(2))
    assert (await one.exchange("purse", Spending(participant="one", cap=10.0, spent=1.0, need=6.0))).total == 7.0
    assert (await two.exchange("purse", Spending(participant="two", cap=10.0, need=6.0))).total == 1.5
    client = one._client  # pyright: ignore[reportPrivateUsage]
    assert client.ttl("manystream:budget:1:purse") == -1  # for good
    assert (await two.exchange("purse", Spending(asks="look"))).spent == 1.0
    assert (await two.exchange("purse", Spending(asks="reset"))).spent == 0.0
    await one.aclose()
    await two.aclose()


@PACKAGE
@SERVER
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.anyio
async def test_engines_that_share_it_through_a_restart_of_the_server(server: Server) -> None:
    limits = ServiceLimits(requests_per_minute=600)
    simulator = Simulator(conditions=Conditions(limits=limits), time_to_first_token=0.05)
    async with (
        simulator.serve(),
        engine_for(simulator, budget=RedisBudget(server.url)) as one,
        engine_for(simulator, budget=RedisBudget(server.url)) as two,
    ):
        results: dict[str, list[str]] = {}

        async def work(name: str, engine: Engine) -> None:
            found = await engine.gather(requests_named(*(f"{name} {number}" for number in range(350))))
            results[name] = [result.state for result in found]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, "one", one)
            tasks.start_soon(work, "two", two)
            await anyio.sleep(2)
            told = one.stats().budget
            assert told is not None
            assert (told.participants, told.alone) == (2, False)
            await anyio.to_thread.run_sync(server.stop)
            await anyio.sleep(3)
            told = one.stats().budget
            assert told is not None
            assert told.alone
            await anyio.to_thread.run_sync(server.start)
            await anyio.sleep(2)
            told = one.stats().budget
            assert told is not None
            assert (told.participants, told.alone) == (2, False)
    assert results == {"one": ["complete"] * 350, "two": ["complete"] * 350}
    refused = [request.status for request in simulator.requests].count(429)
    assert refused <= 40
