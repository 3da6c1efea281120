"""Code that is written for the anthropic package, with the engine below it: an agent's loop, unchanged, a hundred times
at once, through refusals and answers that break off."""

import logging

import anthropic
import anyio
from anthropic import beta_async_tool

from manystream import AnthropicModel, Engine, RetryPolicy, Simulator, StreamResult
from manystream.engine.simulator import Faults


@beta_async_tool
async def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    return f"Sunny in {city}, 21 °C."


async def agent(client: anthropic.AsyncAnthropic, question: str) -> str:
    """Somebody's code. It knows nothing of an engine."""
    runner = client.beta.messages.tool_runner(
        model="claude-opus-5-5",
        max_tokens=200,
        messages=[{"role": "user", "content": question}],
        tools=[get_weather],
        max_iterations=3,
    )
    last = await runner.until_done()
    return "".join(block.text for block in last.content if block.type == "text")


async def main() -> None:
    simulator = Simulator(time_to_first_token=0.05, faults=Faults(error=0.05, reset=0.1))
    ends: list[StreamResult] = []
    answers: list[str] = []
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="any", base_url=simulator.url)
        async with Engine(model, max_concurrency=50, retry=RetryPolicy(max_attempts=8, base_delay=0.05)) as engine:
            client = engine.anthropic_client(on_end=ends.append)

            async def ask(number: int) -> None:
                with engine.labels(group="agents", custom_id=f"agent-{number}"):
                    answers.append(await agent(client, f"What is the weather in city {number}?"))

            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(ask, number)
    again = sum(len(end.attempts) > 1 for end in ends)
    print(f"{len(answers)} answers by {len(ends)} requests, {again} of which took more than one attempt")


if __name__ == "__main__":
    logging.getLogger("manystream").setLevel(logging.CRITICAL)  # or each attempt that fails is logged
    anyio.run(main)
