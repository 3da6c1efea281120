"""Instructor over the engine: twenty objects at once, through refusals and answers that break off; then one that breaks
off while it grows."""

import logging

import anyio
import instructor
from pydantic import BaseModel

from manystream import AnswerFailed, AnthropicModel, Engine, RetryPolicy, Simulator, StreamResult
from manystream.engine.simulator import Cut


class River(BaseModel):
    name: str
    length: int


RHINE = '{"name": "Rhine", "length": 1233}'


async def main() -> None:
    simulator = Simulator(time_to_first_token=0.05)
    simulator.script([step for _ in range(20) for step in (Cut(after=2, how="reset"), RHINE)])
    ends: list[StreamResult] = []
    rivers: list[River] = []
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="any", base_url=simulator.url)
        retry = RetryPolicy(max_attempts=40, base_delay=0.05)
        async with Engine(model, max_concurrency=10, retry=retry) as engine:
            client = instructor.from_anthropic(
                engine.anthropic_client(on_end=ends.append),
                mode=instructor.Mode.JSON,  # by default it forces a tool, which newer models refuse
                model="claude-opus-5-5",
                max_tokens=1000,
            )

            async def ask() -> None:
                messages = [{"role": "user", "content": "Describe a river."}]
                with engine.labels(group="rivers"):
                    rivers.append(await client.create(response_model=River, messages=messages))

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(ask)
            attempts = sum(len(end.attempts) for end in ends)
            print(f"{len(rivers)} rivers, {len(ends)} requests, {attempts} attempts")

            simulator.script([Cut(after=3, how="end", text=RHINE)])
            messages = [{"role": "user", "content": "Describe a river."}]
            try:
                async for river in client.create_partial(response_model=River, messages=messages):
                    print(river)
            except AnswerFailed as error:  # which is an anthropic.APIConnectionError
                print(f"{type(error).__name__}: {error}, after {error.result.text!r}")


if __name__ == "__main__":
    logging.getLogger("manystream").setLevel(logging.CRITICAL)  # or each attempt that fails is logged
    anyio.run(main)
