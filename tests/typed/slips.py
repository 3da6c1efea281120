# ruff: noqa: B018, B015, F401, I001
"""Slips that a type checker must see, each on a line that ends with `# wrong`, and nothing else that is wrong."""

from collections.abc import Mapping
from typing import Any

import anyio

import manystream
import manystream.actors
import manystream.engine
from manystream import (
    AnthropicModel,
    Deadlines,
    Engine,
    OutputSpec,
    Price,
    RetryPolicy,
    StreamRequest,
    StreamResult,
    SyncEngine,
)
from manystream import Engin  # wrong
from manystream.actors import StreamResul  # wrong
from manystream.engine import Simulatr  # wrong

manystream.Nothing  # wrong
manystream.actors.Nothing  # wrong
manystream.engine.Nothing  # wrong
MODEL = AnthropicModel("claude-opus-5-5", apikey="k")  # wrong
AnthropicModel(5)  # wrong


def settings(model: AnthropicModel) -> None:
    Engine("claude-opus-5-5")  # wrong
    Engine(model, 50)  # wrong
    Engine(model, deadlines=30)  # wrong
    Engine(model, recovery="retry")  # wrong
    Engine(model, limits=100)  # wrong
    Engine(model, limits="learn")  # wrong
    Engine(model, spend_cap="10")  # wrong
    Engine(model, keep_ende=3)  # wrong
    Engine(model, prices={"claude-opus-5-5": 5.0})  # wrong
    Price("5", 25)  # wrong
    RetryPolicy(5)  # wrong
    RetryPolicy(longest_wait="x")  # wrong
    Deadlines(total="5")  # wrong
    Deadlines(first_token=5)  # wrong


def requests(built: dict[str, Any], either: Mapping[str, object]) -> None:
    StreamRequest({"messages": [], "max_token": 5})  # wrong
    StreamRequest({"max_tokens": 5})  # wrong
    StreamRequest({"messages": [], "max_tokens": "5"})  # wrong
    StreamRequest({"messages": [], "timeout": 5})  # wrong
    StreamRequest(built)  # wrong
    StreamRequest(either)  # wrong
    StreamRequest("Hi", "one")  # wrong
    StreamRequest("Hi", model="claude-opus-5-5")  # wrong
    StreamRequest("Hi", priority="high")  # wrong
    StreamRequest("Hi", recovery="retry")  # wrong
    StreamRequest("Hi", deadlines=30)  # wrong
    StreamRequest(None)  # wrong


async def streams(engine: Engine) -> None:
    engine.submitt("Hi")  # wrong
    engine.submit({"messages": [], "max_token": 5})  # wrong
    engine.submit(["Hi"])  # wrong
    engine.stream("Hi", output=5)  # wrong
    engine.stream("Hi", output="Invoice")  # wrong
    StreamRequest("Hi", output=5)  # wrong
    OutputSpec(int, via="text")  # wrong
    with engine.stream("Hi"):  # wrong
        pass
    async for _ in engine.stream("Hi"):  # wrong
        pass
    async for _ in engine.merge(["Hi"]):  # wrong
        pass
    for _ in engine.gather(["Hi"]):  # wrong
        pass
    async with engine.race(["Hi"], until="first"):  # wrong
        pass
    async with engine.submit("Hi"):  # wrong
        pass
    engine.stats().runnin  # wrong
    send, _ = anyio.create_memory_object_stream[int](1)
    await engine.pipe("Hi", send)  # wrong


def in_a_script(model: AnthropicModel, engine: SyncEngine) -> None:
    SyncEngine("claude-opus-5-5")  # wrong
    SyncEngine(model, max_concurency=5)  # wrong
    SyncEngine(model, backend="curio")  # wrong
    engine.submit({"messages": [], "max_token": 5})  # wrong
    engine.streem("Hi")  # wrong


def results(result: StreamResult) -> None:
    result.txt  # wrong
    result.state == "done"  # wrong
    result.to_dict(True)  # wrong
    result.text = "another"  # wrong
    result.usage.output_tokens = 5  # wrong
    text: str = result.to_message_param()  # wrong
    del text
