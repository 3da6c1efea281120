"""What a run keeps of the limits that it shares with others, and what its report makes of that."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Engine, HostBudget, Price, StreamRequest
from manystream.engine.budget.stats import BudgetStats
from manystream.engine.report import read_report
from manystream.engine.runs import open_run
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.shared_limits import SharedLimits, SharedSoFar
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits


def stats(participants: int, share: float, **facts: Any) -> BudgetStats:
    return BudgetStats(participants=participants, share=share, age=0.1, **({"alone": False} | facts))


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ([], None),
        ([(None, 5.0)], None),
        ([(stats(1, 1.0), 0.0)], SharedLimits(participants=1, share=1.0)),
        (
            [(stats(1, 1.0), 1.0), (stats(4, 0.25), 3.0), (stats(2, 0.5), 0.0)],
            SharedLimits(participants=4, share=0.4375),
        ),
        (
            [(stats(2, 0.5), 2.0), (stats(2, 0.5, alone=True), 3.0)],
            SharedLimits(participants=2, share=0.5, unreached=3.0),
        ),
        (
            [(stats(1, 1.0, spent=1.0, spend_cap=5.0), 1.0), (stats(1, 1.0, spent=2.5, spend_cap=5.0), 0.0)],
            SharedLimits(participants=1, share=1.0, spent_together=2.5, cap_together=5.0),
        ),
    ],
)
def test_what_it_comes_to(seen: list[tuple[BudgetStats | None, float]], told: SharedLimits | None) -> None:
    so_far = SharedSoFar()
    for budget, seconds in seen:
        so_far.see(budget, seconds)
    assert so_far.so_far == told


@pytest.mark.parametrize(
    ("facts", "tells"),
    [
        ({"participants": 1}, False),
        ({"participants": 2}, True),
        ({"participants": 1, "unreached": 2.0}, True),
        ({"participants": 1, "spent_together": 0.0}, True),
    ],
)
def test_who_shares_with_nobody_has_nothing_to_tell(facts: dict[str, Any], tells: bool) -> None:
    assert SharedLimits(share=1.0, **facts).tells == tells


def prompts(count: int) -> list[StreamRequest]:
    return [
        StreamRequest(
            {"messages": [{"role": "user", "content": f"Number {number}"}], "max_tokens": 60}, custom_id=f"a{number}"
        )
        for number in range(count)
    ]


def test_a_run_tells_its_report(tmp_path: Path) -> None:
    """With whom it shared, its share, and the dollars of all; a session that had no budget has nothing to tell."""

    async def main() -> None:
        simulator = Simulator(
            conditions=Conditions(limits=ServiceLimits(requests_per_minute=60)),
            clock=anyio.current_time,
            time_to_first_token=0.5,
        )

        def budget(**facts: Any) -> HostBudget:
            found = HostBudget(tmp_path / "b.db", name="us", **facts)
            found._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
            return found

        prices = {"claude-opus-5-5": Price(input=0.0, output=1_000_000.0)}
        output = tmp_path / "out.jsonl"

        async def go_on(limit: int | None, **options: Any) -> None:
            async with (
                engine_in_memory(simulator, prices=prices, **options) as engine,
                open_run(engine, prompts(90), output, limit=limit) as run,
            ):
                async for _ in run:
                    pass

        await go_on(5)
        async with engine_in_memory(simulator, budget=budget(), prices=prices, grace=0) as other:
            for request in prompts(500):
                other.submit(request)
            await go_on(None, budget=budget(spend_cap=100_000.0))
        first, second = [session.shared for session in read_report(str(output)).timeline.sessions]
        assert first is None
        assert second is not None
        assert (second.participants, second.share, second.unreached) == (2, 0.5, 0.0)
        totals = read_report(str(output)).totals
        own = totals.dollars - 5 * totals.dollars / 90
        assert second.spent_together == pytest.approx(own, rel=0.2)
        assert second.cap_together == 100_000.0

    backend, options = virtual_backends(settle=0.004)["asyncio"]
    anyio.run(main, backend=backend, backend_options=options)


def budget_in(folder: Path) -> HostBudget:
    found = HostBudget(folder / "b.db", name="us")
    found._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
    return found


@pytest.mark.parametrize("shares", [True, False])
def test_a_run_does_not_ask_for_the_whole_picture_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    """It has a row for each request that waits, and without a budget there is nothing to look at."""
    asked = Counter[str]()

    def counted(name: str) -> None:
        real = getattr(Engine, name)

        def ask(engine: Engine) -> Any:
            asked[name] += 1
            return real(engine)

        monkeypatch.setattr(Engine, name, ask)

    async def main() -> None:
        simulator = Simulator(clock=anyio.current_time, time_to_first_token=35)
        async with (
            engine_in_memory(simulator, budget=budget_in(tmp_path) if shares else None) as engine,
            open_run(engine, prompts(1), tmp_path / "out.jsonl") as run,
        ):
            async for _ in run:
                pass

    counted("stats")
    counted("budget_stats")
    backend, options = virtual_backends(settle=0.004)["asyncio"]
    anyio.run(main, backend=backend, backend_options=options)
    assert 3 <= asked["stats"] <= 5
    assert (asked["budget_stats"] > 30) == shares
    assert shares or asked["budget_stats"] <= 7


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_is_being_noted_is_noted_before_the_journal_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    did: list[str] = []
    closed = threading.Event()
    note, close = Journal.note_shared, Journal.close

    def slow_note(journal: Journal, shared: SharedLimits) -> None:
        if not did:
            did.append("begins")
            anyio.from_thread.run_sync(begun.set)
            closed.wait(0.3)  # which is in vain
        did.append("noted")
        note(journal, shared)

    def told_close(journal: Journal) -> None:
        did.append("closed")
        closed.set()
        close(journal)

    async def main() -> None:
        nonlocal begun
        begun = anyio.Event()
        simulator = Simulator(clock=anyio.current_time)
        async with (
            engine_in_memory(simulator, budget=budget_in(tmp_path)) as engine,
            open_run(engine, prompts(1), tmp_path / "out.jsonl"),
        ):
            await begun.wait()

    begun: anyio.Event
    monkeypatch.setattr(Journal, "note_shared", slow_note)
    monkeypatch.setattr(Journal, "close", told_close)
    name, options = virtual_backends(settle=0.004)[backend]
    anyio.run(main, backend=name, backend_options=options)
    assert did[:2] == ["begins", "noted"]
    assert did[-1] == "closed"
