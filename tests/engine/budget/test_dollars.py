"""Dollars that are shared under a budget's name: the ledger alone, and engines on virtual time."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import HostBudget, Price, StreamRequest
from manystream.engine.budget.booking import booked
from manystream.engine.budget.dollars import Allowance, Purse, Spending, exchange_dollars
from manystream.engine.budget.host import default_path, default_purse
from manystream.engine.simulator import Simulator


class Ledger:
    """The ledger with its clock."""

    def __init__(self) -> None:
        self.purse: Purse | None = None
        self.now = 0.0

    def ask(self, participant: str = "", **facts: Any) -> Allowance:
        given: dict[str, Any] = {"cap": 10.0, **facts}
        report = Spending(participant=participant, **given)
        self.purse, allowed = exchange_dollars(self.purse, report, self.now)
        return allowed


def test_what_is_allowed_to_one_is_not_allowed_to_another() -> None:
    ledger = Ledger()
    assert ledger.ask("one", need=6.0).total == 6.0
    assert ledger.ask("two", need=6.0).total == pytest.approx(2.0)  # it shares what is free with the other's need
    assert ledger.ask("one", need=0.0).total == 0.0
    assert ledger.ask("two", need=6.0).total == 6.0


def test_shares_follow_weights_and_priorities() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.ask("one", need=0.0, weight=3)
        ledger.ask("two", need=0.0)
    ledger.purse = None
    ledger.ask("one", weight=3, need=100.0, spent=10.0)
    assert ledger.ask("two", need=100.0).total == 0.0  # all is spent
    ledger.purse = None
    ledger.ask("low", need=0.0)
    assert ledger.ask("high", need=100.0, priority=1).total == 10.0


def test_a_share_in_which_nothing_fits_becomes_one_request() -> None:
    ledger = Ledger()
    ledger.ask("one", cap=1.0, need=0.0)
    assert ledger.purse is not None
    ledger.purse.spenders["one"].need = 1.0
    assert ledger.ask("two", cap=1.0, need=0.9, least=0.9).total == 0.9


def test_who_died_counts_with_all_it_might_have_spent_until_it_is_back() -> None:
    ledger = Ledger()
    ledger.ask("one", spent=1.0, reserved=2.0, need=3.0)
    ledger.now = 3.5
    allowed = ledger.ask("two", need=10.0)
    assert (allowed.spent, allowed.pending, allowed.participants) == (6.0, 0.0, 1)
    assert allowed.total == 4.0
    ledger.now = 4.0
    allowed = ledger.ask("one", spent=2.0)
    assert (allowed.spent, allowed.participants) == (2.0, 2)


def test_another_boot_buries_all() -> None:
    ledger = Ledger()
    ledger.now = 1e6
    ledger.ask("one", spent=1.0, need=2.0)
    ledger.now = 5.0
    assert ledger.ask("two").spent == 3.0


def test_nothing_is_forgotten_before_it_is_reset() -> None:
    ledger = Ledger()
    ledger.ask("one", spent=1.0)
    ledger.ask("two", spent=2.0)
    ledger.now = 1e7
    assert ledger.ask(asks="look").spent == 3.0
    ledger.ask("three", spent=4.0)
    assert ledger.ask(asks="look").spent == 7.0
    assert ledger.ask(asks="reset").spent == 0.0
    assert ledger.ask("three", spent=4.5).spent == 0.5  # what came before does not count
    assert ledger.ask("one", spent=1.0).spent == 0.5
    assert ledger.ask(asks="look").participants == 2


def test_bytes_that_are_no_account_count_for_nothing() -> None:
    for data in (b"", b"garbage", b"\x93\x01\x02", None):
        kept, allowed = booked(data, Spending(participant="one", cap=5.0, need=1.0), 1.0)
        assert allowed.total == 1.0
        assert booked(kept, Spending(asks="look"), 2.0)[1].pending == 1.0


def test_together_they_never_have_more_than_the_cap() -> None:
    for seed in range(30):
        random, ledger = Random(seed), Ledger()
        spent, allowed = dict.fromkeys("abcdef", 0.0), dict.fromkeys("abcdef", 0.0)
        for _ in range(400):
            ledger.now += random.choice([0.05, 0.3, 0.3, 2.0, 4.0])
            name = random.choice("abcdef")
            spent[name] += random.random() * max(0.0, allowed[name] - spent[name])
            got = ledger.ask(name, spent=spent[name], need=random.random() * 3, weight=random.choice([1, 3]))
            allowed[name] = got.total
            assert sum(max(allowed[one], spent[one]) for one in spent) <= 10.0 + 1e-6
        assert sum(spent.values()) > 9.0


# -- engines


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def run(main: Callable[[], Awaitable[None]]) -> None:
        backend, options = virtual_backends(settle=0.004)[request.param]
        anyio.run(main, backend=backend, backend_options=options)

    return run


PRICES = {"claude-opus-5-5": Price(0.0, 1e6)}  # a dollar a token


def capped(path: Path, cap: float = 1000.0, name: str = "us") -> HostBudget:
    budget = HostBudget(path, name=name, spend_cap=cap)
    budget._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
    return budget


def prompts(count: int) -> list[StreamRequest]:
    return [StreamRequest({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 40}) for _ in range(count)]


def test_engines_of_one_name_spend_from_one_cap(run: Callable[..., None], tmp_path: Path) -> None:
    async def main() -> None:
        simulator = Simulator(clock=anyio.current_time)
        states: list[str] = []

        async def work(number: int) -> None:
            budget = capped(tmp_path / "b.db")
            async with engine_in_memory(simulator, budget=budget, prices=PRICES) as engine:
                results = await engine.gather(prompts(60))
                states.extend(result.state for result in results)
                refused = [result for result in results if result.error is not None]
                assert all("the spend cap of the budget is reached" in str(one.error) for one in refused)
                stats = engine.stats().budget
                assert stats is not None
                assert stats.spend_cap == 1000.0

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(work, number)
        spent = sum(request.output_tokens for request in simulator.requests)
        assert 900 < spent <= 1000 + 3 * 40
        assert states.count("complete") == len(simulator.requests)
        assert states.count("failed") == 180 - len(simulator.requests)
        # It counts on, and a reset begins anew.
        async with engine_in_memory(simulator, budget=capped(tmp_path / "b.db"), prices=PRICES) as engine:
            assert (await engine.submit(prompts(1)[0]).wait()).state == "failed" or spent < 960
            stats = engine.stats().budget
            assert stats is not None
            assert stats.spent == pytest.approx(spent)
        async with engine_in_memory(simulator, budget=capped(tmp_path / "b.db", name="them"), prices=PRICES) as engine:
            assert (await engine.submit(prompts(1)[0]).wait()).state == "complete"

    run(main)


def test_a_file_that_is_lost_lets_nobody_spend_beyond_what_was_allowed(
    run: Callable[..., None], tmp_path: Path
) -> None:
    async def main() -> None:
        simulator, path = Simulator(clock=anyio.current_time), tmp_path / "b.db"
        async with engine_in_memory(simulator, budget=capped(path), prices=PRICES, grace=0) as engine:
            handles = [engine.submit(request) for request in prompts(200)]
            await anyio.sleep(0.5)
            path.unlink()
            path.mkdir()
            await anyio.sleep(60)
            stats = engine.stats()
            assert stats.budget is not None
            assert stats.budget.alone
            spent = sum(request.output_tokens for request in simulator.requests)
            assert spent <= 1000
            for handle in handles:
                handle.cancel("enough")

    run(main)


def test_one_that_never_reached_it_has_the_cap_for_itself(run: Callable[..., None], tmp_path: Path) -> None:
    async def main() -> None:
        simulator = Simulator(clock=anyio.current_time)
        async with engine_in_memory(simulator, budget=capped(tmp_path, cap=200.0), prices=PRICES) as engine:
            results = await engine.gather(prompts(30))
        assert {result.state for result in results} == {"complete", "failed"}
        assert sum(request.output_tokens for request in simulator.requests) <= 240

    run(main)


def test_a_model_without_a_price_is_refused(run: Callable[..., None], tmp_path: Path) -> None:
    async def main() -> None:
        async with engine_in_memory(Simulator(clock=anyio.current_time), budget=capped(tmp_path / "b.db")) as engine:
            with pytest.raises(ValueError, match="there is a spend cap, and no price is known for"):
                engine.submit(StreamRequest({"messages": [{"role": "user", "content": "Hi"}], "model": "unheard-of"}))

    run(main)


def test_a_cap_needs_a_name() -> None:
    with pytest.raises(ValueError, match="spend_cap needs a name="):
        HostBudget(spend_cap=5.0)


def test_dollars_stand_where_a_restart_leaves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_path() == tmp_path / "runtime" / "manystream" / "budget-1.db"
    assert default_purse() == tmp_path / "state" / "manystream" / "spent-1.db"
    budget = HostBudget(name="us", spend_cap=5.0)
    allowed = budget.exchange_now("account", Spending(participant="one", cap=5.0, need=1.0))
    assert allowed is not None
    assert default_purse().exists()
    assert not default_path().exists()
    assert default_purse().stat().st_mode & 0o777 == 0o600
