"""The benchmark of Ray: the table, and what it says without Ray."""

import io
from importlib.util import find_spec

import pytest
import typer
from benchmarks.ray.command import command, table_of
from benchmarks.ray.trial import Outcome
from rich.console import Console


def test_the_table_has_medians_and_the_spread() -> None:
    found = [
        Outcome(work="rows", way="manystream", seconds=seconds, whole=9.0, refused=0, answered=100)
        for seconds in (1.0, 2.0, 4.0)
    ]
    shown = io.StringIO()
    Console(file=shown, width=160).print(table_of(found))
    assert "2.00 s" in shown.getvalue()
    assert "1.00 to 4.00" in shown.getvalue()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        command()
    assert "manystream[ray]" in capsys.readouterr().err
