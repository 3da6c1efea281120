"""Race and hedge: the winner streams from its beginning, the losers are cancelled and told of."""

import pytest

from manystream import AnthropicModel, Engine, StreamCancelled, StreamError, StreamStartEvent
from manystream.engine.simulator import Cut, Simulator, Stall

pytestmark = pytest.mark.anyio


def model(simulator: Simulator) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)


async def test_a_race_streams_the_first_to_show_content() -> None:
    simulator = Simulator()
    simulator.script([Stall("nothing"), Stall("head"), "the answer", Stall(0)])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        async with engine.race(["hi"] * 4) as stream:
            events = [event async for event in stream]
        assert isinstance(events[0], StreamStartEvent)
        assert stream.result.text == "the answer"
        assert [loser.state for loser in stream.losers] == ["cancelled"] * 3
        assert {loser.cancel_reason for loser in stream.losers} == {"another was faster"}
        assert engine.stats().running == 0


async def test_a_race_until_complete_is_won_by_a_whole_answer() -> None:
    simulator = Simulator()
    simulator.script([Stall(2), Cut(2, "end"), "whole"])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        async with engine.race(["hi"] * 3, until="complete") as stream:
            assert "".join([text async for text in stream.text_stream]) == "whole"
        assert sorted(loser.state for loser in stream.losers) == ["cancelled", "truncated"]


async def test_when_all_fail_a_race_raises_all_their_errors() -> None:
    simulator = Simulator()
    simulator.script([400, 401, 404])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        with pytest.raises(ExceptionGroup) as caught:
            async with engine.race(["hi"] * 3):
                pytest.fail("there is no winner")
        assert {type(error).__name__ for error in caught.value.exceptions} == {"ApiError"}
        assert len(caught.value.exceptions) == 3
        with pytest.raises(ValueError, match="at least one"):
            async with engine.race([]):
                pytest.fail("there is no contender")


async def test_leaving_a_race_early_cancels_its_winner_too() -> None:
    simulator = Simulator()
    simulator.script([Stall(3)])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        async with engine.race(["hi"]) as stream:
            pass
        assert stream.result.state == "cancelled"
        with pytest.raises(StreamCancelled):
            stream.result.raise_for_state()


async def test_a_hedge_tries_again_when_nothing_comes() -> None:
    simulator = Simulator()
    simulator.script([Stall("nothing"), "second"])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        async with engine.hedge("hi", after=0.02) as stream:
            assert "".join([text async for text in stream.text_stream]) == "second"
        assert [loser.state for loser in stream.losers] == ["cancelled"]


async def test_a_hedge_leaves_a_quick_answer_alone() -> None:
    simulator = Simulator()
    simulator.script(["first"])
    async with simulator.serve(), Engine(model(simulator)) as engine:
        async with engine.hedge("hi", after=30) as stream:
            assert "".join([text async for text in stream.text_stream]) == "first"
        assert stream.losers == ()
        assert len(simulator.requests) == 1


async def test_a_hedge_that_fails_raises_the_first_ones_error() -> None:
    simulator = Simulator()
    simulator.script([400])
    async with simulator.serve(), Engine(model(simulator)) as engine, engine.hedge("hi") as stream:
        with pytest.raises(StreamError, match="400"):
            await anext(stream.text_stream)


async def test_a_hedge_learns_when_to_try_again() -> None:
    simulator = Simulator()
    async with simulator.serve(), Engine(model(simulator)) as engine:
        simulator.script(["quick"] * 20 + [Stall("nothing"), "second"])
        await engine.gather(["hi"] * 20)
        async with engine.hedge("hi") as stream:
            assert "".join([text async for text in stream.text_stream]) == "second"
