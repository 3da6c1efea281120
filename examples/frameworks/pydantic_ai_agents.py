"""Pydantic AI over the engine: fifty agents at once, through refusals and answers that break off; then an answer that
breaks off in front of its reader."""

import logging

import anyio
from pydantic_ai import Agent, ModelAPIError
from pydantic_ai.models.anthropic import AnthropicModel as PydanticModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from manystream import AnswerFailed, AnthropicModel, Engine, RetryPolicy, Simulator, StreamResult
from manystream.engine.simulator import Cut, Faults


async def main() -> None:
    simulator = Simulator(time_to_first_token=0.05, faults=Faults(error=0.05, reset=0.05))
    ends: list[StreamResult] = []
    outputs: list[str] = []
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="any", base_url=simulator.url)
        retry = RetryPolicy(max_attempts=6, base_delay=0.05)
        async with Engine(model, max_concurrency=20, retry=retry) as engine:
            provider = AnthropicProvider(anthropic_client=engine.anthropic_client(on_end=ends.append))
            # With max_tokens Pydantic AI sends run() unstreamed, and then a broken answer is begun anew.
            settings = {"max_tokens": 1000}
            agent = Agent(PydanticModel("claude-opus-5-5", provider=provider), model_settings=settings)

            @agent.tool_plain
            async def get_weather(city: str) -> str:
                """Tells the weather in a city."""
                return f"Sunny in {city}, 21 °C."

            async def ask(number: int) -> None:
                with engine.labels(group="agents", custom_id=f"agent-{number}"):
                    result = await agent.run(f"What is the weather in city {number}?")
                outputs.append(result.output)

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(ask, number)
            attempts = sum(len(end.attempts) for end in ends)
            print(f"{len(outputs)} agents, {len(ends)} requests, {attempts} attempts")

            simulator.script([Cut(after=3, how="end", text="The Rhine, the Danube, the Elbe and the Oder.")])
            try:
                async with Agent(agent.model).run_stream("Name four rivers.") as result:
                    async for text in result.stream_text(debounce_by=None):
                        print(text)
            except ModelAPIError as error:  # Pydantic AI's own kind; behind it stands the engine's
                print(f"{type(error).__name__}: {error}")
                if isinstance(error.__cause__, AnswerFailed):
                    print(f"{len(error.__cause__.result.text)} characters had come")


if __name__ == "__main__":
    logging.getLogger("manystream").setLevel(logging.CRITICAL)  # or each attempt that fails is logged
    anyio.run(main)
