"""The benchmark of the relay: every way tells the whole text, and the table tells of each."""

import io
import json
from importlib.util import find_spec

import pytest
from benchmarks.relay.command import measure, table_of
from benchmarks.relay.encoding import BASE, WAYS, Way, pieces_of
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
