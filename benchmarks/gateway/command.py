"""`python -m benchmarks gateway`: a framework's agents through limits and faults, with and without the engine, and what
that costs."""

import json
import logging
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import attrs
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..speed.goals import Measured
from ..speed.machine import describe
from ..speed.turns import measure, replay_server
from ..speed.work import Plan
from .agents import CLIENTS, ENGINE, Outcome, allowed, run_agents
from .cost import GOALS, KINDS, MODES
from .served import Load, Served, gateways_in, measure_served

__all__ = ["agents_table", "command", "cost_table", "served_table"]

_WIDTH = 130
_LONGEST = 1.05  # of what the limit allows
_PLAN = Plan(streams=50, seconds=3.0, burst_requests=200, request_requests=500)
_QUICK = Plan(streams=50, seconds=1.5, settle=0.4, burst_requests=100, request_requests=200)


def command(
    agents: Annotated[int, typer.Option(min=0, help="How many agents there are; 0 leaves them out.")] = 500,
    turns: Annotated[int, typer.Option(min=0, help="How often each cost is measured; 0 leaves it out.")] = 3,
    serve: Annotated[bool, typer.Option(help="Measure `manystream serve` beside other gateways.")] = True,
    litellm: Annotated[
        Path | None, typer.Option(help="The command `litellm` of an environment with litellm[proxy].", exists=True)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter measurements of cost.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """What the engine does under other people's code, and what it costs there.

    Agents of Pydantic AI run at once against a limit, on virtual time: with the SDK's plain client and with the
    engine's. Then the cost of an event and of a request is measured against the replay server, as ratios to the SDK's
    plain client in the same turn. Then `manystream serve` is measured as a process: beside the engine under uvicorn,
    beside LiteLLM's proxy if it is given, beside a forwarder of bytes that reads none of them, and beside no gateway.
    """
    notes = Console(stderr=True, highlight=False)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    if agents and find_spec("pydantic_ai") is None:
        notes.print(Text("the agents need pydantic-ai: pip install 'manystream[bench]'"))
        raise typer.Exit(2)
    figures: dict[str, object] = describe()
    if agents:
        outcomes, limits = _run_all(agents, notes)
        console.print(agents_table(outcomes, limits))
        figures["agents"] = [attrs.asdict(one) for one in outcomes]
        figures["allowed_seconds"] = {"streamed": limits[True], "not streamed": limits[False]}
    if turns:
        measured = _measure_all(turns, _QUICK if quick else _PLAN, notes)
        console.print(cost_table(measured))
        figures["cost"] = [attrs.asdict(one) for one in measured]
    if serve:
        served = _measure_gateways(litellm, Load(200, 20, (50,), 1.5) if quick else Load(), notes)
        console.print(served_table(served))
        figures["served"] = [attrs.asdict(one) for one in served]
    out.mkdir(parents=True, exist_ok=True)
    (out / "gateway.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _run_all(agents: int, notes: Console) -> tuple[list[Outcome], dict[bool, float]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context) as processes:
        limits = {streamed: processes.submit(_allowed, agents, streamed) for streamed in (True, False)}
        running = [processes.submit(_run, client, agents, streamed) for streamed in limits for client in CLIENTS]
        outcomes: list[Outcome] = []
        for future in running:
            outcomes.append(future.result())
            notes.print(Text(f"{outcomes[-1].client}: {outcomes[-1].real_seconds:.0f} real seconds"))
        return outcomes, {streamed: future.result() for streamed, future in limits.items()}


def _run(client: str, agents: int, streamed: bool) -> Outcome:
    logging.disable(logging.CRITICAL)  # what fails is counted
    return run_agents(client, agents, streamed=streamed)


def _allowed(agents: int, streamed: bool) -> float:
    logging.disable(logging.CRITICAL)
    return allowed(agents, streamed=streamed)


def _measure_all(turns: int, plan: Plan, notes: Console) -> list[Measured]:
    measured: list[Measured] = []
    with replay_server() as server:
        for turn in range(turns):
            for mode in MODES:
                for kind in KINDS:
                    measured.append(measure(server, mode, kind, turn, plan, kinds="benchmarks.gateway.cost"))
                    told = ", ".join(f"{name} {value:,.3g}" for name, value in measured[-1].figures.items())
                    notes.print(Text(f"{turn + 1}: {mode}, {kind}: {told}"))
    return measured


def _measure_gateways(litellm: Path | None, load: Load, notes: Console) -> list[Served]:
    served: list[Served] = []
    with replay_server() as server:
        for gateway in gateways_in(litellm):
            served += measure_served(server, gateway, load, litellm=litellm)
            notes.print(Text(f"{gateway}: measured"))
    return served


def served_table(served: Sequence[Served]) -> Table:
    """What a request and an event cost the process of each gateway, and how late events are."""
    table = Table(title="gateways", title_justify="left", title_style="bold")
    for name in ("gateway", "load", "CPU ms a request", "CPU µs an event", "late ms p50", "late ms p99", "not whole"):
        table.add_column(name, justify="left" if name in ("gateway", "load") else "right")
    for one in served:
        values = (one.cpu_ms_per_request, one.cpu_us_per_event, one.late_ms_p50, one.late_ms_p99)
        shown = ("" if value is None else f"{value:.2f}" for value in values)
        table.add_row(*map(Text, (one.gateway, one.load, *shown, str(one.failed))))
    return table


def agents_table(outcomes: Sequence[Outcome], limits: dict[bool, float]) -> Table:
    """What became of the agents, a client a row. `limits` are the seconds that the limit allows, streamed and not.

    The engine's goal is no 429, no failure but of answers that broke off in front of their reader, and at most 5 % more
    time than the limit allows.
    """
    table = Table(title=f"{outcomes[0].agents} agents at once", title_justify="left", title_style="bold")
    table.add_column("client")
    for name in (
        "answers",
        "succeeded",
        "failed",
        "broken off",
        "429s",
        "requests",
        "seconds",
        "allowed",
        "goal",
    ):
        table.add_column(name, justify="left" if name == "answers" else "right")
    for one in outcomes:
        limit = limits[one.streamed]
        met = one.refused == 0 and one.failed == one.broken_off and one.seconds <= _LONGEST * limit
        table.add_row(
            *map(
                Text,
                (
                    one.client,
                    "streamed" if one.streamed else "not streamed",
                    str(one.succeeded),
                    str(one.failed),
                    str(one.broken_off),
                    f"{one.refused:,}",
                    f"{one.requests:,}",
                    f"{one.seconds:.1f}",
                    f"{limit:.1f}",
                    "" if one.client != ENGINE else "met" if met else "missed",
                ),
            )
        )
    return table


def cost_table(measured: Sequence[Measured]) -> Table:
    """The ratios that are aimed at."""
    table = Table(title="cost, of the SDK's plain client", title_justify="left", title_style="bold")
    for name in ("what", "of", "figure", "reached", "goal", ""):
        table.add_column(name, justify="right" if name in ("reached", "goal") else "left")
    for goal in GOALS:
        verdict = goal.judge(measured)
        reached = "not measured" if verdict.reached is None else f"{verdict.reached:.2f}"
        met = {None: "", True: "met", False: "missed"}[verdict.met]
        table.add_row(*map(Text, (goal.title, str(goal.reference), goal.figure, reached, f"≤ {goal.limit:g}", met)))
    return table
