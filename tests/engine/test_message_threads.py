"""A turn of a message thread is taken once by the API: one that may have run is never sent again unasked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from tests.support.engines import AT_ONCE

from manystream import AnthropicModel, Engine, ErrorInfo, StreamRequest
from manystream.actors.stream import continues_thread, may_have_run
from manystream.engine.simulator import Cut, Fail, ScriptStep, Simulator

CONTINUE = {"type": "continue", "previous_message_id": "msg_1"}
LONG = "one two three four five six seven " * 4


class WithoutThread(httpx2.AsyncBaseTransport):
    """A service that has message threads, which the simulator has not: it looks away."""

    def __init__(self, simulator: Simulator) -> None:
        self._below = simulator.transport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(await request.aread())
        body.pop("thread", None)
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        changed = httpx2.Request(request.method, request.url, headers=headers, content=json.dumps(body))
        return await self._below.handle_async_request(changed)


def engine_with_threads(simulator: Simulator, **options: Any) -> Engine:
    client = httpx2.AsyncClient(transport=WithoutThread(simulator))
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, retry=AT_ONCE, **options)


def turn(thread: Mapping[str, Any]) -> StreamRequest:
    return StreamRequest({"messages": [{"role": "user", "content": "Go on"}], "thread": thread}, betas=["threads"])


@pytest.mark.anyio
@pytest.mark.parametrize("failure", [Fail(529), Fail(429), Fail(503)])
async def test_a_turn_that_was_refused_is_tried_again(failure: ScriptStep) -> None:
    simulator = Simulator()
    simulator.script([failure, "fine"])
    async with engine_with_threads(simulator) as engine:
        result = await engine.submit(turn(CONTINUE)).wait()
    assert (result.text, len(result.attempts)) == ("fine", 2)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "failure",
    [Fail(500), Fail(504), Cut(after="nothing", how="reset"), Cut(1, "close", text=LONG), Cut(1, Fail(529), text=LONG)],
)
@pytest.mark.parametrize("thread", [CONTINUE, {"type": "create"}])
async def test_a_turn_that_may_have_run_is_not(failure: ScriptStep, thread: dict[str, Any]) -> None:
    simulator = Simulator()
    simulator.script([failure, "fine"])
    async with engine_with_threads(simulator, recovery="restart") as engine:
        result = await engine.submit(turn(thread)).wait()
    if thread["type"] == "create":  # a second thread is begun, and the first expires
        assert (result.text, len(result.attempts)) == ("fine", 2)
        return
    assert result.error is not None
    assert (len(result.attempts), result.error.retryable) == (1, False)
    assert len(simulator.requests) == 1


@pytest.mark.anyio
async def test_a_hedge_sends_it_once() -> None:
    simulator = Simulator()
    simulator.script(["fine", "never said"])
    async with (
        engine_with_threads(simulator) as engine,
        engine.hedge(turn(CONTINUE), after=0.0) as stream,
    ):
        assert [text async for text in stream.text_stream]
        assert stream.result.text == "fine"
    assert len(simulator.requests) == 1


def test_what_proves_that_it_did_not_run() -> None:
    proofs = [ErrorInfo("x", "", 429), ErrorInfo("x", "", 529), ErrorInfo("x", "", deadline="connect")]
    doubts = [ErrorInfo("x", "", 500), ErrorInfo("connection_error", ""), ErrorInfo("x", "", deadline="first_event")]
    assert [may_have_run(info) for info in proofs + doubts] == [False] * 3 + [True] * 3
    assert continues_thread({"messages": [], "thread": CONTINUE}, {})
    assert continues_thread({"messages": []}, {"thread": CONTINUE})
    assert not continues_thread({"messages": [], "thread": CONTINUE}, {"thread": None})
    assert not continues_thread({"messages": [], "thread": "continue"}, {})
