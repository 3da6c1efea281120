"""`manystream run --schema`: a JSON Schema from a file, or a type from a module."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from manystream.__main__ import app
from manystream.engine.cli.schema_option import read_schema
from manystream.engine.input import InputError
from manystream.engine.simulator import Simulator, Structured

SCHEMA = {"type": "object", "properties": {"river": {"type": "string"}}, "required": ["river"]}
MODULE = """
from dataclasses import dataclass

@dataclass
class Fact:
    river: str
    length: int

class Outer:
    Inner = list[Fact]

Loose = dict[str, int]
"""
RHINE = {"river": "Rhine", "length": 1233}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("rivers_of_a_test.py").write_text(MODULE)
    Path("fact.json").write_text(json.dumps(SCHEMA))
    Path("list.json").write_text("[1]")
    Path("none.json").write_text("{")
    Path("in.jsonl").write_text('{"prompt": "A river", "custom_id": "a"}\n')
    yield
    sys.modules.pop("rivers_of_a_test", None)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def run(simulator: Simulator, *args: str) -> Result:
    model = ("--model", "claude-opus-5-5", "--base-url", simulator.url)
    return CliRunner().invoke(app, ["run", "in.jsonl", "-o", "out.jsonl", *model, *args])


def line() -> dict[str, Any]:
    (found,) = Path("out.jsonl").read_text().splitlines()
    return json.loads(found)


def test_a_type_from_a_module(simulator: Simulator) -> None:
    simulator.script([Structured(RHINE)])
    done = run(simulator, "--schema", "rivers_of_a_test:Fact")
    assert done.exit_code == 0, done.stderr
    assert line()["output"] == RHINE
    sent = simulator.requests[0].json["output_config"]["format"]["schema"]
    assert [*sent["$defs"]["Fact"]["properties"]] == ["river", "length"]


def test_a_mismatch_is_tried_once_more_and_then_errored(simulator: Simulator) -> None:
    wrong = Structured({"river": "Rhine", "length": "long"})
    simulator.script([wrong, wrong, Structured(RHINE)])
    done = run(simulator, "--schema", "rivers_of_a_test:Fact")
    assert done.exit_code == 1
    assert len(simulator.requests) == 2
    assert "length: Expected `int`, got `str`" in simulator.requests[1].json["messages"][2]["content"][0]["text"]
    assert line()["result"]["type"] == "errored"
    assert line()["result"]["message"]["content"]
    assert run(simulator, "--schema", "rivers_of_a_test:Fact").exit_code == 1
    assert len(simulator.requests) == 2
    assert run(simulator, "--schema", "rivers_of_a_test:Fact", "--retry-errored").exit_code == 0
    assert line()["output"] == RHINE


def test_a_schema_from_a_file(simulator: Simulator) -> None:
    pytest.importorskip("jsonschema_rs")
    simulator.script([Structured({"river": 3}), Structured({"river": "Rhine"})])
    assert run(simulator, "--schema", "fact.json").exit_code == 0
    assert line()["output"] == {"river": "Rhine"}
    assert len(simulator.requests) == 2


def test_a_type_within_another() -> None:
    assert read_schema("rivers_of_a_test:Outer.Inner").retry_invalid == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("absent.json", "absent.json: no such file"),
        ("Fact", "no such file.*; a type is named as module:Type"),
        ("list.json", "a JSON Schema is an object"),
        ("none.json", "is not JSON"),
        ("absent_module:Fact", "ModuleNotFoundError: No module named 'absent_module'"),
        ("rivers_of_a_test:Nothing", "AttributeError: .*Nothing"),
        ("rivers_of_a_test:Loose", "the output is a dictionary.*list of entries"),
        ("rivers_of_a_test:dataclass", "type is a type or a JSON Schema"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(given: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_schema(given)
    assert str(caught.value).startswith(f"--schema {given}: ")
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_told_before_anything_is_sent(simulator: Simulator) -> None:
    done = run(simulator, "--schema", "absent.json")
    assert done.exit_code == 2
    assert done.stderr == "error: --schema absent.json: no such file or directory\n"
    assert simulator.requests == []
    assert not Path("out.jsonl").exists()
