"""Runs whose answers are outputs of a type: the object beside the result, whole answers that do not fit, and their
retries within a session and over several."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from tests.support.reference.streams import last, message, text

from manystream import AnthropicModel, Engine, InputError, OutputSpec, RetryPolicy, StreamRequest, read_results
from manystream.engine.runs import Run, open_run
from manystream.engine.simulator import Simulator, Structured, ToolUse

pytestmark = pytest.mark.anyio


@dataclass
class Fact:
    river: str
    length: int


RHINE = {"river": "Rhine", "length": 1233}
WRONG = {"river": "Rhine", "length": "long"}
CUT = message(text(0, '{"river": "Rh'), ended=last("max_tokens"))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


async def run_all(simulator: Simulator, output: Path, count: int = 1, **options: Any) -> Run:
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    retry = RetryPolicy(max_attempts=3, base_delay=0.01, max_delay=0.01)
    source = options.pop("source", None) or [StreamRequest(f"River {n}", custom_id=f"r{n}") for n in range(count)]
    options.setdefault("schema", Fact)
    async with (
        Engine(model, max_concurrency=1, retry=retry) as engine,
        open_run(engine, source, output, **options) as run,
    ):
        async for _ in run:
            pass
    return run


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


@pytest.mark.parametrize("schema", [Fact, OutputSpec(Fact, via="tool"), OutputSpec(list[Fact], via="tool")], ids=str)
async def test_the_object_stands_beside_the_result(simulator: Simulator, output: Path, schema: Any) -> None:
    several = schema != Fact and schema.type != Fact
    answer: Any = [RHINE] if several else RHINE
    said = Structured(answer) if schema is Fact else ToolUse("give_answer", {"value": answer} if several else answer)
    simulator.script([said])
    run = await run_all(simulator, output, schema=schema)
    (line,) = lines(output)
    assert [*line] == ["custom_id", "result", "output"]
    assert line["output"] == answer
    assert line["result"]["type"] == "succeeded"
    assert run.figures.succeeded == 1
    assert next(read_results(output))["output"] == answer


async def test_a_request_s_own_output_comes_first(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured([1, 2]), Structured(RHINE)])
    source = [StreamRequest("Numbers", custom_id="a", output=list[int]), StreamRequest("River", custom_id="b")]
    await run_all(simulator, output, source=source)
    assert [line["output"] for line in lines(output)] == [[1, 2], RHINE]


async def test_rows_too(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(RHINE)])
    await run_all(simulator, output, source=[{"prompt": "River", "label": "wet"}])
    (line,) = lines(output)
    assert (line["output"], line["row"]) == (RHINE, {"label": "wet"})
    (row,) = read_results(output)
    assert (row["output"], row["label"]) == (RHINE, "wet")


async def test_without_a_schema_nothing_stands_there(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(RHINE)])
    await run_all(simulator, output, schema=None)
    assert [*lines(output)[0]] == ["custom_id", "result"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Structured(WRONG), "output_invalid"),
        (CUT, "output_truncated"),
        (message(ended=last("refusal")), "output_refused"),
    ],
)
async def test_a_whole_answer_that_is_no_output_is_an_error_with_its_message(
    simulator: Simulator, output: Path, said: Any, kind: str
) -> None:
    simulator.script([said])
    run = await run_all(simulator, output)
    (line,) = lines(output)
    assert [*line] == ["custom_id", "result"]
    assert line["result"]["type"] == "errored"
    assert line["result"]["error"]["error"]["type"] == "invalid_request_error"
    assert line["result"]["message"]["role"] == "assistant"
    assert MessageBatchIndividualResponse.model_validate(line).result.type == "errored"
    assert run.figures.lasting == {kind: 1}
    assert run.totals.spent > 0
    (row,) = read_results(output)
    assert (row["state"], row["error_type"]) == ("errored", kind)
    assert row["output_tokens"] > 0
    # It does not pass by itself, and is run again when that is asked for.
    simulator.script([Structured(RHINE)])
    run = await run_all(simulator, output)
    assert (run.resumed.retried, lines(output)) == (0, [line])
    run = await run_all(simulator, output, retry_only=[kind])
    assert run.resumed.again.errors == {kind: 1}
    assert lines(output)[0]["output"] == RHINE


async def test_what_is_run_again_replaces_its_line(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(WRONG), Structured(RHINE)])
    first = await run_all(simulator, output)
    run = await run_all(simulator, output, retry_errored=True)
    (line,) = lines(output)
    assert (line["result"]["type"], line["output"]) == ("succeeded", RHINE)
    assert run.totals.spent > first.totals.spent


async def test_one_retry_is_one_attempt_more(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(WRONG), Structured(RHINE)])
    run = await run_all(simulator, output, schema=OutputSpec(Fact, retry_invalid=1))
    assert lines(output)[0]["output"] == RHINE
    assert len(simulator.requests) == 2
    assert run.figures.succeeded == 1
    assert run.totals.spent > 0


async def test_a_journal_that_was_lost_learns_what_an_error_s_message_cost(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(WRONG), Structured(RHINE)])
    run = await run_all(simulator, output, 2)
    journal = output.with_name("out.jsonl.journal")
    fresh = await run_all(simulator, output.with_name("other.jsonl"), 0, source=[StreamRequest("x", custom_id="x")])
    assert fresh.figures.done == 1
    for path in output.parent.glob("out.jsonl.journal*"):
        path.unlink()
    output.with_name("other.jsonl.journal").rename(journal)
    again = await run_all(simulator, output, 2)
    assert again.figures.before.spent >= run.totals.spent * 0.99


async def test_another_schema_is_another_request(simulator: Simulator, output: Path) -> None:
    simulator.script([Structured(RHINE)])
    await run_all(simulator, output)
    with pytest.raises(InputError, match="differs from those"):
        await run_all(simulator, output, schema=list[Fact])


async def test_what_the_api_does_not_take_is_refused_before_the_run(simulator: Simulator, output: Path) -> None:
    with pytest.raises(ValueError, match="is a dictionary"):
        await run_all(simulator, output, schema=dict[str, int])
    assert not output.exists()
    assert simulator.requests == []
