"""The benchmarks' own arithmetic: a short run makes sense, and what stands in for the SDK does as the SDK does."""

import io

import pytest
from benchmarks.admission.report import Comparison
from benchmarks.admission.scenarios import SCENARIOS, Scenario
from benchmarks.admission.strategies import run_strategy, strategies_for
from rich.console import Console

REQUESTS = next(scenario for scenario in SCENARIOS if scenario.name == "requests")
OUTAGE = next(scenario for scenario in SCENARIOS if scenario.name == "outage")
RAMP = next(scenario for scenario in SCENARIOS if scenario.name == "ramp")


def test_a_minute_of_admission_makes_a_sane_table() -> None:
    assert strategies_for(REQUESTS) == ["fixed 10", "fixed 50", "fixed 200", "adaptive", "ideal"]
    chosen = "fixed 10", "fixed 50", "adaptive", "ideal"
    outcomes = {strategy: run_strategy(REQUESTS, strategy, 1, seed=1) for strategy in chosen}
    comparison = Comparison(REQUESTS, 1, outcomes)
    # The bucket holds 120, and 120 more come in the minute, of which the last ones are not complete in time.
    assert 200 <= outcomes["ideal"].total <= 240
    assert 0.9 <= comparison.of_ideal("adaptive") <= 1.0
    assert comparison.of_ideal("fixed 10") < 0.4
    assert (outcomes["adaptive"].share(429) or 0.0) < 0.1
    assert (outcomes["fixed 50"].share(429) or 0.0) > 0.5
    assert outcomes["fixed 50"].lost > 100
    assert outcomes["adaptive"].lost == outcomes["ideal"].lost == 0
    for outcome in outcomes.values():
        assert outcome.per_minute == [outcome.total]
        assert outcome.share(429, since=REQUESTS.settled_from) is None
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison.table())
    text = console.export_text()
    assert all(strategy in text for strategy in outcomes)
    figures = comparison.as_json()["strategies"]
    assert figures["ideal"]["of_ideal"] == 1.0
    assert figures["fixed 10"]["completed_per_minute"] == [outcomes["fixed 10"].total]


@pytest.mark.parametrize("scenario", [OUTAGE, RAMP], ids=lambda scenario: scenario.name)
def test_the_stand_in_for_the_sdk_does_as_the_sdk_does(scenario: Scenario) -> None:
    # An outage of six seconds, without retry-after; refusals with it.
    ours = run_strategy(scenario, "fixed 10", 1, seed=1)
    theirs = run_strategy(scenario, "sdk 10", 1, seed=1)
    assert ours.total == pytest.approx(theirs.total, abs=2)
    assert sum(ours.answered) == pytest.approx(sum(theirs.answered), rel=0.06)
    assert ours.lost == pytest.approx(theirs.lost, rel=0.15)
    assert ours.lost > 5
