"""The benchmark of plans: a small trial comes near the truth, and the table tells it."""

import io

import attrs
from benchmarks.plan.command import table_of
from benchmarks.plan.scenarios import SCENARIOS
from benchmarks.plan.trial import run_trial
from rich.console import Console

from manystream.engine.simulator.service.conditions import ServiceLimits


def test_a_small_trial() -> None:
    scenario = attrs.evolve(SCENARIOS[0], count=120, max_tokens=40, limits=ServiceLimits(requests_per_minute=60))
    trial = run_trial(scenario, seed=1)
    assert trial.answers == 30
    assert 0.9 < trial.time_ratio < 1.1
    assert 0.75 < trial.dollar_ratio < 1.25
    assert trial.seconds > 55
    shown = io.StringIO()
    Console(file=shown, width=160).print(table_of({trial.scenario: [trial]}))
    assert "600 requests a minute" in shown.getvalue()
