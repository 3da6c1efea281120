"""The benchmark of budgets: a small trial in each way, the cost of an exchange, and the table that tells them."""

import io

import attrs
import pytest
from benchmarks.budget import cost
from benchmarks.budget.command import table_of
from benchmarks.budget.scenarios import SCENARIOS
from benchmarks.budget.trial import WAYS, run_trial
from rich.console import Console

from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import ServiceLimits


def test_a_small_trial() -> None:
    conditions = Conditions(limits=ServiceLimits(requests_per_minute=60))
    scenario = attrs.evolve(SCENARIOS[0], requests=(20, 20, 40), conditions=conditions, tokens=(5, 10))
    found = {way: run_trial(scenario, way, seed=1) for way in WAYS}
    assert all(one.failed == 0 for one in found.values())
    assert found["apart"].refused > 5
    assert found["together"].refused == found["one"].refused == 0
    assert found["together"].seconds <= 1.1 * found["one"].seconds
    shown = io.StringIO()
    Console(file=shown, width=160).print(table_of(list(found.values())))
    assert "1,200 requests a minute" in shown.getvalue()


def test_the_cost_of_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_ROUNDS", 50)
    assert 1 < cost.exchange_cost(4) < 1e6
