"""The benchmark of typed outputs: every way reads the same, and the table tells of each."""

import io
from importlib.util import find_spec
from typing import Any

import pytest
from benchmarks.typed.command import measure, table_of
from benchmarks.typed.contestants import BASE, CONTESTANTS
from benchmarks.typed.documents import pieces_of, text_of
from rich.console import Console

TEXT = text_of(1_000)


@pytest.mark.parametrize("one", CONTESTANTS, ids=lambda one: one.name)
def test_every_way_reads_the_same(one: Any) -> None:
    if find_spec(one.package) is None:
        pytest.skip(f"{one.package} is not installed")
    told = repr(one.read(pieces_of(TEXT, 40))())
    assert told.count("SKU-") == TEXT.count("SKU-") or "parsed_output" in told


def test_the_table() -> None:
    told: list[str] = []
    found = measure((500,), 40, 1, told.append)
    assert told == [*found]
    assert all(row[500] is not None for row in found.values())
    shown = io.StringIO()
    Console(file=shown, width=160).print(table_of(found, (500,), 40))
    assert BASE in shown.getvalue()
    assert "x 1.00" in shown.getvalue()
