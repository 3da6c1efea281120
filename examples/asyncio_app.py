"""An asyncio app that streams several answers at once, with native tasks and timeouts."""

import asyncio

from manystream import AnthropicModel, Engine, Simulator, StreamError

QUESTIONS = ["What is a river?", "Why is the sea salt?", "How deep is a lake?"]


async def ask(engine: Engine, question: str) -> None:
    try:
        async with asyncio.timeout(30), engine.stream(question) as stream:
            async for text in stream.text_stream:
                print(f"{question} … {text.strip()!r}")
    except StreamError as error:
        # Half an answer does not pass for a whole one; what came of it is in the result.
        print(f"{question} failed after {len(error.result.text)} characters: {error}")
    else:
        result = stream.result
        print(f"{question} done: {result.stop_reason}, {result.usage.output_tokens} tokens")


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(tokens_per_second=400).serve() as simulator:
        model = AnthropicModel(
            "claude-opus-5-5", defaults={"max_tokens": 60}, api_key="simulated", base_url=simulator.url
        )
        async with Engine(model, max_concurrency=2) as engine, asyncio.TaskGroup() as group:
            for question in QUESTIONS:
                group.create_task(ask(engine, question))


if __name__ == "__main__":
    asyncio.run(main())
