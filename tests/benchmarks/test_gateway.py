"""The benchmark of the engine under other people's code: agents run on virtual time, and the tables tell the goals."""

import io

import pytest
from benchmarks.gateway.agents import CLIENTS, ENGINE, Outcome, allowed, run_agents
from benchmarks.gateway.command import agents_table, cost_table, served_table
from benchmarks.gateway.cost import GOALS, KINDS, MODES
from benchmarks.gateway.served import Load, gateways_in, measure_served
from benchmarks.speed.goals import Measured
from benchmarks.speed.turns import replay_server
from rich.console import Console
from rich.table import Table


def shown(table: Table) -> str:
    told = io.StringIO()
    Console(file=told, width=160).print(table)
    return told.getvalue()


@pytest.mark.slow
def test_agents_against_the_limit() -> None:
    pytest.importorskip("pydantic_ai")
    limit = allowed(400, streamed=False)
    engine = run_agents(ENGINE, 400, streamed=False)
    plain = run_agents("plain, max_retries 2", 400, streamed=False)
    assert (engine.succeeded, engine.failed, engine.refused) == (400, 0, 0)
    assert engine.requests > 800  # with those that were overloaded
    assert limit <= engine.seconds <= 1.3 * limit
    assert plain.refused > 0


def outcome(client: str, **others: int) -> Outcome:
    told = {"succeeded": 10, "broken_off": 0, "refused": 0, **others}
    return Outcome(client=client, streamed=True, agents=10, requests=20, seconds=9.0, real_seconds=1.0, **told)


def test_the_table_of_agents() -> None:
    outcomes = [outcome(client) for client in CLIENTS]
    assert shown(agents_table(outcomes, {True: 9.0, False: 1.0})).count("met") == 1
    assert "missed" in shown(agents_table([outcome(ENGINE)], {True: 8.0, False: 1.0}))
    assert "missed" in shown(agents_table([outcome(ENGINE, refused=1)], {True: 9.0, False: 1.0}))
    assert "missed" in shown(agents_table([outcome(ENGINE, succeeded=9)], {True: 9.0, False: 1.0}))
    assert "missed" not in shown(agents_table([outcome(ENGINE, succeeded=9, broken_off=1)], {True: 9.0, False: 1.0}))


def test_the_table_of_costs() -> None:
    assert {goal.kind for goal in GOALS} | {goal.reference for goal in GOALS} <= set(KINDS)
    assert {goal.mode for goal in GOALS} <= set(MODES)
    figures = {"cpu_us_per_event": 10.0, "cpu_ms_per_request": 1.0}
    measured = [Measured(mode, kind, 0, figures) for mode in MODES for kind in KINDS]
    assert shown(cost_table(measured)).count("missed") == 2  # which are to cost less than the SDK's plain client
    assert "not measured" in shown(cost_table([]))


def test_gateways_are_measured() -> None:
    load = Load(requests=10, at_a_time=2, streams=(3,), seconds=0.2)
    with replay_server() as server:
        served = [one for gateway in gateways_in(None) for one in measure_served(server, gateway, load)]
    assert [one.gateway for one in served[::2]] == ["none", "forward", "serve", "uvicorn"]
    assert not any(one.failed for one in served)
    for one in served[2:]:
        assert (one.cpu_ms_per_request is None) != (one.cpu_us_per_event is None)
    assert all(one.late_ms_p50 is not None for one in served[1::2])
    assert shown(served_table(served)).count("3 streams") == 4
