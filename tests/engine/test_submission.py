"""What becomes of a request that is submitted: its parameters are computed once, and every attempt sends them."""

from typing import Any

import pytest
from tests.support.engines import AT_ONCE, model_for

from manystream import Engine, StreamRequest
from manystream.actors.stream import Deadlines, RetryPolicy
from manystream.engine import AnthropicModel
from manystream.engine.simulator import Cut, Fail, Simulator
from manystream.engine.submission import Defaults, Submission

pytestmark = pytest.mark.anyio


@pytest.fixture
def simulator(manystream_simulator: Simulator) -> Simulator:
    return manystream_simulator


async def test_parameters_are_computed_once_however_many_attempts_there_are(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[StreamRequest] = []
    params_for = AnthropicModel.params_for

    def counting(model: AnthropicModel, request: StreamRequest) -> dict[str, Any]:
        computed.append(request)
        return params_for(model, request)

    monkeypatch.setattr(AnthropicModel, "params_for", counting)
    simulator.script([Fail(529), Fail(529), "done"])
    async with Engine(model_for(simulator, defaults={"system": "Be short."}), retry=AT_ONCE) as engine:
        assert (await engine.submit("Hi").wait()).text == "done"
    assert len(computed) == 1
    assert [request.json["system"] for request in simulator.requests] == ["Be short."] * 3


async def test_a_continued_answer_asks_with_the_same_parameters_but_for_the_messages(simulator: Simulator) -> None:
    model = model_for(simulator, defaults={"system": "Be short.", "max_tokens": 77})
    simulator.script([Cut(1, "end", text="one two three four"), " and on"])
    async with Engine(model, retry=AT_ONCE, recovery="continue") as engine:
        assert (
            await engine.submit({"messages": [{"role": "user", "content": "Count."}], "speed": "standard"}).wait()
        ).text
    first, second = (dict(request.json) for request in simulator.requests)
    before, after = first.pop("messages"), second.pop("messages")
    assert first == second
    assert (first["system"], first["max_tokens"], first["speed"]) == ("Be short.", 77, "standard")
    assert after[: len(before)] == before
    assert "one" in after[-1]["content"]


def submitted(request: Any, **options: Any) -> Submission:
    model = AnthropicModel("claude-opus-5-5", api_key="key", **options)
    return Submission.of(request, Defaults(model, Deadlines(), RetryPolicy(), "fail"))


def test_the_model_that_is_asked_for_is_the_one_that_is_sent() -> None:
    assert submitted("Hi").model_name == "claude-opus-5-5"
    assert submitted({"messages": [], "model": "claude-haiku-5"}).model_name == "claude-haiku-5"
    assert submitted(StreamRequest("Hi", extra_body={"model": "claude-new"})).model_name == "claude-new"


def test_what_cannot_be_sent_is_refused() -> None:
    with pytest.raises(TypeError, match="a model's name"):
        submitted(StreamRequest("Hi", extra_body={"model": 5}))
    with pytest.raises(TypeError, match="no parameter 'temprature'"):
        submitted({"messages": [], "temprature": 1})
    with pytest.raises(ValueError, match="recovery is one of"):
        Defaults(AnthropicModel("m"), Deadlines(), RetryPolicy(), "perhaps")  # pyright: ignore[reportArgumentType]
