"""The benchmark of the relay: every way tells the whole text, and the table tells of each."""

import io
import json
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest
from benchmarks.relay.comeback import SCENARIOS
from benchmarks.relay.command import measure, table_of, table_of_losses
from benchmarks.relay.encoding import BASE, WAYS, Way, pieces_of
from benchmarks.relay.serving import WAYS as SERVED_WAYS
from benchmarks.relay.serving import Load, Measured, measure_serving, serving_table
from benchmarks.relay.stacks import STACKS, TEXT, Running
from rich.console import Console

HERE = [way for way in WAYS if find_spec(way.package) is not None]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_tells_the_whole_text(way: Way) -> None:
    if find_spec(way.package) is None:
        pytest.skip(f"{way.package} is not installed")
    pieces = pieces_of(20)
    told: list[str] = []
    for line in way.ready(pieces)().decode().splitlines():
        if line.startswith("data: {"):
            data = json.loads(line[6:])
            delta = data.get("delta", data.get("text", ""))
            told.append(delta if isinstance(delta, str) else delta["content_delta"])
    assert "".join(told) == "".join(pieces)


def test_the_table() -> None:
    found = measure(HERE, 10, 2)
    assert [*found] == [way.name for way in HERE]
    shown = io.StringIO()
    Console(file=shown, width=160).print(table_of(HERE, found))
    assert BASE in shown.getvalue()
    assert "1.000" in shown.getvalue()


def test_the_table_of_what_was_served() -> None:
    one = Measured(20.0, 0.5, 0.1, 3.0, 9.0, 1.0)
    shown = io.StringIO()
    Console(file=shown, width=160).print(serving_table(Load(), {"first": one, "StreamHub": attrs.evolve(one, p99=8.0)}))
    assert "StreamHub" in shown.getvalue()
    assert "1.00" in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED_WAYS)
def test_every_way_serves_every_event(name: str) -> None:
    measured = measure_serving(name, Load(streams=4, tabs=2, seconds=2.0))
    if measured is None:
        pytest.skip("its library or server is not installed")
    assert measured.arrived == 1.0
    assert measured.microseconds > 0


def test_the_table_of_losses() -> None:
    shown = io.StringIO()
    losses = {STACKS[0].name: dict.fromkeys(SCENARIOS, len(TEXT)), STACKS[1].name: dict.fromkeys(SCENARIOS, 0)}
    Console(file=shown, width=160).print(table_of_losses(losses))
    assert shown.getvalue().count(f"{len(TEXT):,}") == 1 + len(SCENARIOS)
    assert STACKS[1].name in shown.getvalue()
    assert STACKS[2].name not in shown.getvalue()


def test_no_word_of_the_answer_comes_twice() -> None:
    words = TEXT.split()
    assert len(set(words)) == len(words)


@pytest.mark.slow
def test_nothing_is_lost_of_a_hub_s_stream(tmp_path: Path) -> None:
    (stack,) = [stack for stack in STACKS if stack.name == "manystream, memory"]
    with Running(stack, tmp_path) as running:
        assert [SCENARIOS[name](running, stack) for name in ("reload", "second tab")] == [0, 0]
