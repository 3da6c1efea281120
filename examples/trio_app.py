"""A trio app: a nursery of streams, one of which the app loses patience with."""

import trio

from manystream import AnthropicModel, Engine, Simulator


async def ask(engine: Engine, question: str, patience: float) -> None:
    async with engine.stream(question) as stream:
        with trio.move_on_after(patience) as scope:
            async for _ in stream.text_stream:
                pass
    # Leaving the block early has stopped the stream; what came by then is kept.
    result = stream.result
    verdict = "cut short by us" if scope.cancelled_caught else result.stop_reason
    print(f"{question} {result.state} ({verdict}), {len(result.text)} characters")


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(tokens_per_second=100).serve() as simulator:
        model = AnthropicModel(
            "claude-opus-5-5", defaults={"max_tokens": 80}, api_key="simulated", base_url=simulator.url
        )
        async with Engine(model) as engine, trio.open_nursery() as nursery:
            nursery.start_soon(ask, engine, "What is a river?", 30.0)
            nursery.start_soon(ask, engine, "Why is the sea salt?", 0.3)


if __name__ == "__main__":
    trio.run(main)
