"""The speed benchmark's own workings: a tiny run gives figures that make sense, and goals are judged by them."""

import pytest
from benchmarks.speed.goals import Goal, Measured
from benchmarks.speed.turns import in_turns, measure, replay_server
from benchmarks.speed.work import Plan

TINY = Plan(deltas=5, burst_requests=60, streams=5, seconds=0.3, settle=0.1)


def test_a_tiny_run_gives_figures() -> None:
    with replay_server() as server:
        burst = measure(server, "burst", "manystream", 0, TINY).figures
        steady = measure(server, "steady", "manystream", 0, TINY).figures
    assert 0 < burst["cpu_us_per_event"] < 100_000
    # An answer of five deltas has eleven events.
    assert burst["cpu_ms_per_request"] * 1000 == pytest.approx(burst["cpu_us_per_event"] * 11)
    assert burst["events_per_second"] > 0
    # Five streams, twenty events a second: each came, and none before it was sent.
    assert steady["delivered"] == pytest.approx(1.0, abs=0.3)
    assert 0 < steady["p50_ms"] <= steady["p99_ms"]
    assert 0 < steady["load"] <= 1.5


@pytest.mark.slow
def test_a_tiny_run_over_http2_gives_figures() -> None:
    with replay_server() as server:
        steady = measure(server, "tls", "manystream-http2", 0, TINY).figures
    assert steady["delivered"] == pytest.approx(1.0, abs=0.3)


def test_ratios_are_taken_within_a_turn() -> None:
    def measured(kind: str, *values: float) -> list[Measured]:
        return [Measured("burst", kind, turn, {"cost": value}) for turn, value in enumerate(values)]

    # The machine was busy in the second turn, for both alike; the third one failed.
    all_measured = [*measured("ours", 10, 40, 12), *measured("floor", 10, 20), *measured("floor", 10)]
    verdict = Goal("cost", "burst", "ours", "cost", "at most", 1.4, "floor").judge(all_measured)
    assert verdict.reached == 1.5
    assert verdict.met is False
    assert Goal("cost", "burst", "ours", "cost", "at least", 1.5, "floor").judge(all_measured).met is True
    assert Goal("cost", "burst", "ours", "cost", "at most", 12).judge(all_measured).reached == 12
    assert Goal("cost", "burst", "nobody", "cost", "at most", 12).judge(all_measured).met is None


def test_the_kinds_of_a_mode_run_one_after_the_other_in_each_turn() -> None:
    runs = list(in_turns(["growth", "requests"], ["sdk", "manystream"], {"growth": 1, "requests": 2}))
    assert runs == [
        (0, "growth", "manystream"),
        (0, "requests", "manystream"),
        (0, "requests", "sdk"),
        (1, "requests", "manystream"),
        (1, "requests", "sdk"),
    ]
