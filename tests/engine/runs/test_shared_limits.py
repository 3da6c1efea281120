"""What a run keeps of the limits that it shares with others, and what its report makes of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import HostBudget, Price, StreamRequest
from manystream.engine.budget.stats import BudgetStats
from manystream.engine.report import read_report
from manystream.engine.runs import open_run
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
