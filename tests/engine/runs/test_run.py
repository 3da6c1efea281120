"""`open_run`: a source of requests in, Message Batches results out, in one event loop with the simulator."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anthropic
import anyio
import pytest
from anthropic.types import Message
from anthropic.types.messages import MessageBatchIndividualResponse

from manystream import AnthropicModel, Engine, Limits, MessageParams, RetryPolicy, StreamRequest
from manystream.engine.input import InputError
from manystream.engine.runs import OutputError, Run, RunStopped, open_run
from manystream.engine.runs.run import Source
from manystream.engine.simulator import Cut, Fail, Simulator, Stall

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(max_attempts=1)


def engine_at(url: str, *, key: str = "key", name: str = "claude-opus-5-5", slots: int = 5) -> Engine:
    return Engine(AnthropicModel(name, api_key=key, base_url=url), max_concurrency=slots, retry=ONCE)


@asynccontextmanager
async def running(
    simulator: Simulator, source: Source, output: str | Path, *, slots: int = 5, limit: int | None = None
) -> AsyncGenerator[Run]:
    async with (
        simulator.serve(),
        engine_at(simulator.url, slots=slots) as engine,
        open_run(engine, source, output, limit=limit) as run,
    ):
        yield run


def prompts(count: int) -> list[StreamRequest]:
    return [StreamRequest(f"Tell me of {number}", custom_id=f"p-{number}") for number in range(count)]


def request(model: str) -> MessageParams:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


def lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    for line in content.splitlines():
        MessageBatchIndividualResponse.model_validate_json(line)
    return [json.loads(line) for line in content.splitlines()]


async def test_a_file_is_run(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(20)))
    written: list[int] = []
    simulator = Simulator()
    async with simulator.serve():
        async with engine_at(simulator.url) as engine, open_run(engine, source, output) as run:
            async for result in run:
                assert result.state == "complete"
                written.append(len(lines(output)))
        client = anthropic.AsyncAnthropic(api_key="key", base_url=simulator.url)
        asked_whole = simulator.requests[0].json | {"stream": False, "timeout": 60}
        answer = cast(Message, await client.messages.create(**asked_whole))
        await client.close()
    # Each line is in the file when its result is given.
    assert all(count >= number for number, count in enumerate(written, 1))
    found = {line["custom_id"]: line["result"] for line in lines(output)}
    assert sorted(found) == sorted(f"line-{number}" for number in range(1, 21))
    # What was streamed is what an answer in one piece would have been.
    asked = simulator.requests[0].json["messages"][0]["content"]
    message = found[f"line-{int(asked.split()[-1]) + 1}"]["message"]
    assert message["content"] == [block.to_dict(mode="json") for block in answer.content]
    assert message["usage"]["output_tokens"] == answer.usage.output_tokens
    figures = run.figures
    assert (figures.total, figures.done, figures.succeeded, figures.failed, figures.not_run) == (20, 20, 20, 0, 0)
    assert figures.running == 0
    assert figures.output_tokens == sum(result["message"]["usage"]["output_tokens"] for result in found.values())
    assert figures.events > 20 * 5
    first_content = figures.first_content()
    assert first_content is not None
    assert 0 < first_content[0] <= first_content[-1]


async def test_a_failed_request_does_not_stop_the_others(tmp_path: Path) -> None:
    output = tmp_path / "out"
    simulator = Simulator()
    simulator.script(["fine", 400, Cut(1, "end", text="cut off"), Cut(1, Fail(529), text="cut off"), "fine", 500])
    async with running(simulator, prompts(7), output, slots=1) as run:
        states = [result.state async for result in run]
    assert states == ["complete", "failed", "truncated", "failed", "complete", "failed", "complete"]
    results = [line["result"] for line in lines(output)]
    kinds = [result["error"]["error"]["type"] if result["type"] == "errored" else "-" for result in results]
    assert kinds == ["-", "invalid_request_error", "api_error", "overloaded_error", "-", "api_error", "-"]
    assert all(result["error"]["request_id"].startswith("req_") for result in results if result["type"] == "errored")
    assert (run.figures.succeeded, run.figures.failed, run.figures.not_run) == (3, 4, 0)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_a_failure_of_all_stops_the_run(tmp_path: Path, status: int) -> None:
    output = tmp_path / "out"
    simulator = Simulator()
    failure = Fail(status, message="model: claude-nobody") if status == 404 else Fail(status)
    simulator.script(["fine", "fine", *[failure] * 10])
    async with running(simulator, prompts(50), output, slots=2) as run:
        with pytest.raises(RunStopped, match=f"^{status} ") as caught:
            _ = [result async for result in run]
    assert caught.value.result.state == "failed"
    assert len(simulator.requests) <= 4
    # Those that met it have no answer: they may run when it is mended.
    assert [line["result"]["type"] for line in lines(output)] == ["succeeded", "succeeded"]
    assert (run.figures.done, run.figures.not_run) == (2, 48)


async def test_one_unknown_model_among_others_is_one_failure(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script(["fine", Fail(404, message="model: b"), "fine"])
    async with simulator.serve(), engine_at(simulator.url, slots=1) as engine:
        requests = [request(name) for name in ("claude-opus-5-5", "claude-nobody", "claude-opus-5-5")]
        async with open_run(engine, requests, tmp_path / "out") as run:
            assert [result.state async for result in run] == ["complete", "failed", "complete"]
    assert [line["custom_id"] for line in lines(tmp_path / "out")] == ["request-1", "request-2", "request-3"]


async def test_a_server_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    async with Simulator().serve() as simulator:
        url = simulator.url
    async with engine_at(url, slots=2) as engine, open_run(engine, prompts(1000), tmp_path / "out") as run:
        with pytest.raises(RunStopped, match=r"^the API can't be reached: 127\.0\.0\.1:[0-9]+: connection refused$"):
            _ = [result async for result in run]
    assert run.figures.started < 20
    assert lines(tmp_path / "out") == []


async def test_a_lost_connection_is_one_failure(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script([Cut("nothing", "reset"), Cut("nothing", "reset")])
    async with running(simulator, prompts(4), tmp_path / "out", slots=1) as run:
        states = [result.state async for result in run]
    assert states == ["failed", "failed", "complete", "complete"]
    assert [line["custom_id"] for line in lines(tmp_path / "out")] == ["p-0", "p-1", "p-2", "p-3"]


async def test_drained_it_begins_no_more(tmp_path: Path) -> None:
    drawn: list[int] = []
    drained = anyio.Event()

    async def requests() -> AsyncGenerator[str]:
        for number in range(100):
            if number == 3:
                await drained.wait()  # so that it doesn't depend on the machine how many are begun before
            drawn.append(number)
            yield f"Tell me of {number}"

    simulator = Simulator()
    async with (
        aclosing(requests()) as source,
        running(simulator, source, tmp_path / "out", slots=5) as run,
    ):
        async for _ in run:
            run.drain()
            drained.set()
    assert len(simulator.requests) == run.figures.started == run.figures.done == len(lines(tmp_path / "out"))
    assert len(drawn) - run.figures.started in (0, 1)  # one may have been on its way into the journal
    assert len(drawn) <= 4
    assert run.figures.not_run == 0


async def test_drained_it_begins_nothing_that_waits_for_a_limit(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    simulator = Simulator()
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=simulator.url)
        limits = Limits(requests_per_minute=3)
        async with (
            Engine(model, max_concurrency=5, limits=limits) as engine,
            open_run(engine, prompts(20), output) as run,
        ):
            async for _ in run:
                if run.figures.succeeded == 3:
                    run.drain()
            assert run.figures.succeeded == 3
            assert engine.stats().waiting == 0
    assert len(lines(output)) == len(simulator.requests) == 3


async def test_drained_it_waits_for_no_source(tmp_path: Path) -> None:
    async def requests() -> AsyncIterator[str]:
        yield "Hello"
        await anyio.sleep_forever()

    simulator = Simulator()
    async with running(simulator, requests(), tmp_path / "out") as run:
        async for _ in run:
            run.drain()
    assert len(lines(tmp_path / "out")) == 1


async def test_what_is_interrupted_has_no_line(tmp_path: Path) -> None:
    simulator = Simulator()
    simulator.script(["fine", "fine", *[Stall(1, text="stalls here")] * 3])
    async with simulator.serve(), engine_at(simulator.url, slots=3) as engine:
        run = open_run(engine, prompts(9), tmp_path / "out")
        with anyio.CancelScope() as scope:
            async with run:
                async for _ in run:
                    if run.figures.done == 2:
                        scope.cancel()
        assert scope.cancelled_caught
        assert engine.stats().running == 0
    assert [line["result"]["message"]["content"][0]["text"] for line in lines(tmp_path / "out")] == ["fine", "fine"]
    assert (run.figures.done, run.figures.not_run) == (2, 7)


async def test_leaving_the_block_keeps_what_has_ended(tmp_path: Path) -> None:
    simulator = Simulator()
    async with running(simulator, prompts(30), tmp_path / "out") as run:
        async for _ in run:
            break
    assert 1 <= len(lines(tmp_path / "out")) == run.figures.done <= 30


async def test_a_few_of_many(tmp_path: Path) -> None:
    simulator = Simulator()
    async with running(simulator, prompts(30), tmp_path / "out", limit=3) as run:
        assert len([result async for result in run]) == 3
    assert (run.figures.total, run.figures.not_run) == (3, 0)
    assert len(simulator.requests) == 3


async def test_nothing_is_sent_before_all_is_checked(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_text('{"prompt": "Hello"}\n{"prompt": 3}\n')
    output.write_text("mine")
    async with Simulator().serve() as simulator, engine_at(simulator.url) as engine:
        with pytest.raises(InputError, match="in:2: prompt must be a non-empty string"):
            await open_run(engine, source, tmp_path / "new").__aenter__()
        assert not (tmp_path / "new").exists()
        with pytest.raises(OutputError, match="exists already"):
            await open_run(engine, prompts(1), output).__aenter__()
        with pytest.raises(ValueError, match="limit"):
            open_run(engine, prompts(1), output, limit=0)
    assert output.read_text() == "mine"
    assert simulator.requests == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
async def test_an_output_that_fails_ends_the_run(tmp_path: Path) -> None:
    async with Simulator().serve() as simulator, engine_at(simulator.url, slots=2) as engine:
        run = open_run(engine, prompts(50), "/dev/full")
        with pytest.raises(OutputError, match=r"^/dev/full: no space left"):
            async with run:
                _ = [result async for result in run]
        assert engine.stats().running == 0
    assert len(simulator.requests) < 50
    assert run.figures.done == 0
