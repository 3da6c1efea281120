"""Tests of a program that asks Claude, without Claude: run it with `pytest examples/test_with_simulator.py`.

The fixture `manystream_simulator` comes with manystream. What stands for the program here is `summarise`.
"""

import anthropic
import pytest

from manystream import Simulator
from manystream.engine.simulator import Conditions, Cut, Fail, ServiceLimits


def summarise(client: anthropic.Anthropic, text: str) -> str:
    """The program: returns a summary, or what there is of it when the answer breaks off."""
    said = ""
    try:
        with client.messages.stream(
            model="claude-opus-5-5",
            max_tokens=200,
            messages=[{"role": "user", "content": f"Summarise: {text}"}],
        ) as stream:
            for piece in stream.text_stream:
                said += piece
    except anthropic.APIStatusError as error:
        if error.type != "overloaded_error" or not said:
            raise
        said += " …"
    return said


@pytest.fixture
def client(manystream_simulator: Simulator) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="any", base_url=manystream_simulator.url)


def test_the_prompt_and_the_answer(client: anthropic.Anthropic, manystream_simulator: Simulator) -> None:
    manystream_simulator.script(["Rivers run to the sea."])
    assert summarise(client, "…") == "Rivers run to the sea."
    (request,) = manystream_simulator.requests
    assert request.json["messages"][0]["content"] == "Summarise: …"


def test_an_overload_is_tried_again(client: anthropic.Anthropic, manystream_simulator: Simulator) -> None:
    manystream_simulator.script([Fail(529, headers={"retry-after-ms": "1"}), "At last."])
    assert summarise(client, "…") == "At last."


def test_an_overload_in_mid_answer(client: anthropic.Anthropic, manystream_simulator: Simulator) -> None:
    manystream_simulator.script([Cut(after=1, how=Fail(529), text="Rivers run to the sea.")])
    assert summarise(client, "…").startswith("Rivers")
    assert manystream_simulator.requests[0].outcome == "complete"


@pytest.mark.manystream_simulator(conditions=Conditions(limits=ServiceLimits(requests_per_minute=1)))
def test_the_limit_is_reached(manystream_simulator: Simulator) -> None:
    client = anthropic.Anthropic(api_key="any", base_url=manystream_simulator.url, max_retries=0)
    assert summarise(client, "…")
    with pytest.raises(anthropic.RateLimitError) as caught:
        summarise(client, "…")
    assert int(caught.value.response.headers["retry-after"]) > 50
