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
from manystream.engine.simulator import Simulator, Structured, ToolUse

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

from manystream import OutputSpec

LAX = OutputSpec(Fact)
"""
RHINE = {"river": "Rhine", "length": 1233}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("rivers_of_a_test.py").write_text(MODULE)
    Path("fact.json").write_text(json.dumps(SCHEMA))
    Path("leaves_of_a_test.py").write_text("raise SystemExit(3)")
    Path("typo.json").write_text('{"type": "object", "properties": {"river": {"type": "strng"}}}')
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
    spec = read_schema("rivers_of_a_test:Outer.Inner")
    assert spec is not None
    assert (spec.retry_invalid, spec.via) == (1, "format")


def test_what_a_module_says_of_it_itself() -> None:
    spec = read_schema("rivers_of_a_test:LAX", "tool")
    assert spec is not None
    assert (spec.retry_invalid, spec.via) == (0, "tool")


def test_by_a_tool(simulator: Simulator) -> None:
    simulator.script([ToolUse("give_answer", {"Rhine": 1233})])
    args = ("--schema", "rivers_of_a_test:Loose")
    refused = run(simulator, *args)
    assert refused.exit_code == 2
    assert refused.stderr.endswith("that have a name and a value each, or --schema-via tool\n")
    done = run(simulator, *args, "--schema-via", "tool")
    assert done.exit_code == 0, done.stderr
    assert line()["output"] == {"Rhine": 1233}
    assert simulator.requests[0].json["tools"][0]["name"] == "give_answer"
    assert run(simulator, "--schema-via", "tool").stderr == (
        "error: --schema-via says how a schema is asked for: give one, with --schema\n"
    )


def tokens_planned(*args: str) -> int:
    command = ["plan", "in.jsonl", "-o", "out.jsonl", "--model", "claude-opus-5-5", "--json", *args]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["input_tokens"]


def test_a_plan_counts_the_schema_and_knows_its_answers(simulator: Simulator) -> None:
    plain = tokens_planned()
    for via in ("format", "tool"):
        asked = tokens_planned("--schema", "rivers_of_a_test:Fact", "--schema-via", via)
        assert 30 < asked - plain < 300
    simulator.script([Structured(RHINE)])
    schema = ("--schema", "rivers_of_a_test:Fact")
    assert run(simulator, *schema).exit_code == 0
    assert tokens_planned(*schema) == 0  # its answer is one to this request
    assert run(simulator, *schema, "--dry-run").exit_code == 0
    other = CliRunner().invoke(app, ["plan", "in.jsonl", "-o", "out.jsonl", "--model", "claude-opus-5-5"])
    assert other.exit_code == 2
    wrong = CliRunner().invoke(app, ["plan", "in.jsonl", "--schema", "absent.json"])
    assert (wrong.exit_code, wrong.stderr) == (2, "error: --schema absent.json: no such file or directory\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("absent.json", "absent.json: no such file"),
        ("Fact", "no such file.*; a type is named as module:Type"),
        ("leaves_of_a_test:Fact", "SystemExit: 3"),
        ("rivers_of_a_test:", "a type is named as module:Type"),
        ("typo.json", "no JSON Schema at properties.river.type: "),
        ("list.json", "a JSON Schema is an object"),
        ("none.json", "is not JSON"),
        ("absent_module:Fact", "ModuleNotFoundError: No module named 'absent_module'"),
        ("rivers_of_a_test:Nothing", "AttributeError: .*Nothing"),
        ("rivers_of_a_test:Loose", "the output is a dictionary.*list of entries"),
        ("rivers_of_a_test:dataclass", "type is a type or a JSON Schema"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(given: str, words: str) -> None:
    if given == "typo.json":
        pytest.importorskip("jsonschema_rs")
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
