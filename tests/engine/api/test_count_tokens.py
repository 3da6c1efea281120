"""Tokens that the API counts: of each prompt in its place, and one plain error when it does not."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic

from manystream.engine.api.count_tokens import CountError, count_tokens
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio


def prompt(words: int, **more: Any) -> dict[str, Any]:
    return {"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "word " * words}], **more}


async def test_each_prompt_is_counted_in_its_place() -> None:
    simulator = Simulator()
    async with simulator.serve(), AsyncAnthropic(api_key="key", base_url=simulator.url) as client:
        counts = await count_tokens(client, [prompt(words, max_tokens=7, temperature=1) for words in range(0, 400, 20)])
        assert await count_tokens(client, []) == []
    assert len(counts) == 20
    assert counts == sorted(counts)
    assert counts[-1] == pytest.approx(380 * 5 / 4, rel=0.05)
    bodies: list[Any] = [request.json for request in simulator.requests]
    assert all("max_tokens" not in body and "temperature" not in body for body in bodies)
    assert {request.path for request in simulator.requests} == {"/v1/messages/count_tokens"}


async def test_what_the_api_refuses_is_told_once() -> None:
    simulator = Simulator()
    async with simulator.serve(), AsyncAnthropic(api_key="invalid", base_url=simulator.url) as client:
        with pytest.raises(CountError, match=r"could not be counted: 401 authentication_error: "):
            await count_tokens(client, [prompt(1)] * 20)
