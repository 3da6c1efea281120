"""What a run does about failures, in one session and over several: against a service that has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from anyio.abc import SocketAttribute, SocketStream
from tests.support.odd import GOOD, Reply, sse
from tests.support.served import Served, engine_served

from manystream import AnthropicModel, Engine, RetryPolicy, StreamRequest
from manystream.engine.runs import Run, RunStopped, open_run
from manystream.engine.simulator import Cut, Fail, Simulator, Stall

pytestmark = pytest.mark.anyio
TEXT = "one two three four five six seven eight"
QUICK = {"base_delay": 0.01, "max_delay": 0.01}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def prompts(count: int, **options: Any) -> list[StreamRequest]:
    return [StreamRequest(f"Tell me of {number}", custom_id=f"p-{number}", **options) for number in range(count)]


def engine_at(simulator: Simulator, *, attempts: int = 1, defaults: Any = None, **options: Any) -> Engine:
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url, defaults=defaults)
    return Engine(model, max_concurrency=1, retry=RetryPolicy(max_attempts=attempts, **QUICK), **options)


async def run_all(simulator: Simulator, source: Any, output: Path, *, attempts: int = 1, **options: Any) -> Run:
    defaults = options.pop("defaults", None)
    async with (
        engine_at(simulator, attempts=attempts, defaults=defaults) as engine,
        open_run(engine, source, output, **options) as run,
    ):
        async for _ in run:
            pass
    return run


def kinds(output: Path) -> dict[str, str]:
    lines = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line["result"]["type"] for line in lines}


# -- answers that are asked for again


async def test_errors_that_pass_are_run_again(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(400), "one", Fail(529), Fail(413), Fail(500), Cut(2, "close", text=TEXT)])
    run = await run_all(simulator, prompts(6), output)
    assert list(kinds(output).values()).count("errored") == 5
    assert run.figures.passing == {"overloaded_error": 1, "api_error": 1, "truncated": 1}
    assert run.figures.lasting == {"invalid_request_error": 1, "request_too_large": 1}
    run = await run_all(simulator, prompts(6), output)
    again = run.resumed.again
    assert (again.errors, again.stopped) == ({"overloaded_error": 1, "api_error": 1, "truncated": 1}, {})
    assert again.dollars is not None
    assert run.figures.before.passing == run.figures.passing == {}
    assert (run.figures.succeeded, run.figures.failed, run.resumed.retried) == (4, 2, 3)
    assert list(kinds(output).values()).count("errored") == 2
    assert len(simulator.requests) == 9
    await run_all(simulator, prompts(6), output)
    assert len(simulator.requests) == 9


async def test_some_errors_are_run_again(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(400), Fail(529), Fail(500), Fail(413)])
    await run_all(simulator, prompts(4), output)
    run = await run_all(simulator, prompts(4), output, retry_only=["invalid_request_error", "overloaded_error"])
    assert run.resumed.again.errors == {"invalid_request_error": 1, "overloaded_error": 1}
    assert run.figures.errors == {"api_error": 1, "request_too_large": 1}
    run = await run_all(simulator, prompts(4), output, retry_errored=True)
    assert (run.resumed.retried, run.figures.succeeded) == (2, 4)
    with pytest.raises(ValueError, match="no error is called 'overload'"):
        await run_all(simulator, prompts(4), output, retry_only=["overload"])


async def test_answers_that_stopped_early_are_run_again_with_more_room(simulator: Simulator, output: Path) -> None:
    few, more = {"max_tokens": 0}, {"max_tokens": 99}
    await run_all(simulator, prompts(2), output, defaults=few)
    simulator.script(["one"])
    await run_all(simulator, prompts(3), output, defaults=few)
    simulator.script([TEXT] * 2)
    run = await run_all(simulator, prompts(3), output, defaults=more, retry_stopped=["max_tokens"])
    assert run.resumed.again.stopped == {"max_tokens": 2}
    assert [request.json["max_tokens"] for request in simulator.requests] == [0, 0, 0, 99, 99]
    texts = {line["custom_id"]: line["result"]["message"] for line in map(json.loads, output.open())}
    assert {message["stop_reason"] for message in texts.values()} == {"end_turn"}
    assert run.totals.lost == 2
    await run_all(simulator, prompts(3), output, defaults=more)  # the values are taken to be right from now on
    assert len(simulator.requests) == 5


async def test_nothing_that_was_written_to_a_pipe_is_run_again(simulator: Simulator) -> None:
    simulator.script([Fail(500)])
    run = await run_all(simulator, prompts(1), Path("/dev/null"))
    assert (run.figures.failed, run.resumable) == (1, False)
    assert (await run_all(simulator, prompts(1), Path("/dev/null"))).resumed.retried == 0


# -- answers that break off


async def test_runs_restart_what_breaks_off(simulator: Simulator, output: Path) -> None:
    simulator.script([Cut(3, "close", text=TEXT), "whole"])
    run = await run_all(simulator, prompts(1), output, attempts=2)
    assert (run.figures.succeeded, run.figures.restarts) == (1, 1)
    assert 0 < run.figures.dollars_twice < run.figures.dollars
    assert (run.totals.restarts, run.totals.restarted_dollars) == (1, pytest.approx(run.figures.dollars_twice))
    # The request's own word counts first; the engine's does not.
    simulator.script([Cut(3, "close", text=TEXT)])
    run = await run_all(simulator, prompts(1, recovery="fail"), output.with_name("2"), attempts=2)
    assert (run.figures.failed, run.figures.restarts) == (1, 0)
    simulator.script([Cut(3, "close", text=TEXT)])
    run = await run_all(simulator, prompts(1), output.with_name("3"), attempts=2, recovery="fail")
    assert (run.figures.failed, run.figures.restarts) == (1, 0)
    with pytest.raises(ValueError, match="recovery is one of"):
        await run_all(simulator, prompts(1), output.with_name("4"), recovery="never")


async def test_retries_and_restarts_count_as_one(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(529), Cut(3, "close", text=TEXT), Fail(500), Cut(3, "close", text=TEXT), "whole"])
    run = await run_all(simulator, prompts(1), output, attempts=4)
    assert (run.figures.failed, len(simulator.requests)) == (1, 4)
    assert run.figures.passing == {"truncated": 1}
    run = await run_all(simulator, prompts(1), output, attempts=4)  # each time it is started
    assert (run.figures.succeeded, len(simulator.requests)) == (1, 5)
    assert (run.figures.restarts, run.figures.resumes) == (0, 1)
    assert run.figures.dollars_twice == run.totals.lost_dollars > 0


async def test_what_a_session_paid_for_and_lost_is_paid_twice(simulator: Simulator, output: Path) -> None:
    simulator.script([Stall(3, text=TEXT)])
    async with engine_at(simulator) as engine, open_run(engine, prompts(1), output) as run:
        with anyio.move_on_after(2):
            await _exhaust(run)
    lost = run.totals.lost_dollars
    assert lost > 0
    run = await run_all(simulator, prompts(1), output)
    assert (run.figures.resumes, run.figures.dollars_twice) == (1, lost)


async def _exhaust(run: Run) -> None:
    async for _ in run:
        pass


# -- dollars


async def test_a_spend_cap_counts_all_sessions(simulator: Simulator, output: Path) -> None:
    simulator.script([TEXT] * 30)
    spent: list[float] = []
    for _ in range(3):
        engine = engine_at(simulator, spend_cap=0.004, defaults={"max_tokens": 20})
        async with engine, open_run(engine, prompts(30), output) as run:
            with pytest.raises(RunStopped) as caught:
                await _exhaust(run)
        assert caught.value.reason == "spend_cap"
        spent.append(run.totals.spent)
        assert run.totals.sessions == len(spent)
    assert 0 < spent[0] <= 0.0045
    assert spent[0] == spent[1] == spent[2]


async def test_what_an_engine_counted_itself_counts_once(simulator: Simulator, output: Path) -> None:
    simulator.script([TEXT] * 4)
    async with engine_at(simulator, spend_cap=1.0, defaults={"max_tokens": 20}) as engine:
        for limit in (2, 4):
            async with open_run(engine, prompts(4), output, limit=limit) as run:
                await _exhaust(run)
        assert engine.stats().spent == pytest.approx(run.totals.spent)


async def test_an_output_may_be_spelled_in_several_ways(
    simulator: Simulator, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.script([TEXT] * 6)
    directory = output.parent
    (directory / "linked").symlink_to(directory, target_is_directory=True)
    monkeypatch.chdir(directory)
    spellings = (output, "out.jsonl", "./out.jsonl", f"../{directory.name}/out.jsonl", "linked/out.jsonl")
    async with engine_at(simulator, spend_cap=1.0, defaults={"max_tokens": 20}) as engine:
        before = 0.0
        for limit, spelling in enumerate(spellings, 1):
            async with open_run(engine, prompts(5), spelling, limit=limit) as run:
                await _exhaust(run)
            before = run.totals.spent
            assert engine.stats().spent == pytest.approx(before)
        async with open_run(engine, prompts(1), "other.jsonl") as run:
            await _exhaust(run)
        assert engine.stats().spent == pytest.approx(before + run.totals.spent)


async def test_too_many_failures_stop_a_run(simulator: Simulator, output: Path) -> None:
    simulator.script([Fail(400)] * 30)
    with pytest.raises(RunStopped, match=r"^3 of 3 answers are failures, --max-failures is 3$") as caught:
        await run_all(simulator, prompts(30), output, max_failures=3)
    assert caught.value.reason == "failures"
    assert list(kinds(output).values()) == ["errored"] * 3
    with pytest.raises(RunStopped):  # the same again would stop again
        await run_all(simulator, prompts(30), output, max_failures=3)
    assert len(simulator.requests) <= 6


# -- stopping


async def test_what_connects_is_dropped_at_once(output: Path) -> None:
    """A handshake that is never answered: nothing of the request was sent."""
    connected = anyio.Event()

    async def silent(stream: SocketStream) -> None:
        async with stream:
            connected.set()
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, silent)
        port = listener.extra(SocketAttribute.local_port)
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=f"https://127.0.0.1:{port}")
        async with Engine(model, max_concurrency=1) as engine, open_run(engine, prompts(9), output) as run:
            with anyio.fail_after(10):
                async with anyio.create_task_group() as iterating:
                    iterating.start_soon(_exhaust, run)
                    await connected.wait()
                    run.drain()
        assert (run.figures.done, run.figures.not_run) == (0, 9)
        tasks.cancel_scope.cancel()


async def test_what_was_sent_is_waited_for_and_not_sent_again(output: Path) -> None:
    simulator = Simulator(time_to_first_token=0.3)
    simulator.script([TEXT, Cut(2, "close", text=TEXT)])
    with simulator.in_thread():
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
        retry = RetryPolicy(max_attempts=9, base_delay=60.0, max_delay=60.0)
        async with (
            Engine(model, max_concurrency=2, retry=retry) as engine,
            open_run(engine, prompts(4), output) as run,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_exhaust, run)
            sent = partial(simulator.wait_until, lambda it: len(it.requests) == 2, timeout=10)
            await anyio.to_thread.run_sync(sent)
            run.drain()
    assert (run.figures.succeeded, run.figures.not_run, len(simulator.requests)) == (1, 3, 2)


async def test_what_breaks_again_does_not_stop_a_run(output: Path) -> None:
    page = Reply(b"<html>", content_type="text/html")
    for session in (1, 2):
        last = "p 6" if session == 2 else "p 0"
        served = Served(lambda words, _, last=last: sse(*GOOD) if words in ("p 0", last) else page)
        requests = [StreamRequest(f"p {n}", custom_id=str(n)) for n in range(7)]
        async with engine_served(served) as engine, open_run(engine, requests, output, retry_errored=True) as run:
            async for _ in run:
                pass
    assert kinds(output) == {str(n): "succeeded" if n in (0, 6) else "errored" for n in range(7)}
    client = httpx2.AsyncClient(transport=Served(lambda words, n: page))
    elsewhere = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://elsewhere", http_client=client)
    async with Engine(elsewhere) as engine, open_run(engine, requests, output, retry_errored=True) as run:
        with pytest.raises(RunStopped) as caught:
            async for _ in run:
                pass
    assert caught.value.reason == "wrong_url"
