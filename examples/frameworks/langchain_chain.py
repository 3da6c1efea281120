"""LangChain over the engine: a chain for thirty countries at once, through refusals and answers that break off; then an
answer that breaks off in front of its reader."""

import logging

import anyio
from langchain_anthropic import ChatAnthropic
from langchain_core.exceptions import ModelConnectionError
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from manystream import AnswerFailed, AnthropicModel, Engine, RetryPolicy, Simulator, StreamResult
from manystream.engine.simulator import Cut, Faults


def chat_over(engine: Engine, ends: list[StreamResult]) -> ChatAnthropic:
    """A model whose requests `engine` runs. There is no public way to give `ChatAnthropic` a client: it makes its own
    when it is first used, unless there is one under this name."""
    chat = ChatAnthropic(model="claude-opus-5-5", max_tokens=1000, api_key="the client has its own")
    chat.__dict__["_async_client"] = engine.anthropic_client(on_end=ends.append)
    return chat


async def main() -> None:
    simulator = Simulator(time_to_first_token=0.05, faults=Faults(error=0.05, reset=0.05))
    ends: list[StreamResult] = []
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="any", base_url=simulator.url)
        retry = RetryPolicy(max_attempts=6, base_delay=0.05)
        async with Engine(model, max_concurrency=10, retry=retry) as engine:
            chat = chat_over(engine, ends)
            prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Capital of {country}?")])
            chain = prompt | chat | StrOutputParser()
            with engine.labels(group="capitals"):
                answers = await chain.abatch([{"country": f"country {number}"} for number in range(30)])
            attempts = sum(len(end.attempts) for end in ends)
            print(f"{len(answers)} answers, {len(ends)} requests, {attempts} attempts")

            simulator.script([Cut(after=3, how="end", text="The Rhine, the Danube, the Elbe and the Oder.")])
            try:
                headers = {"manystream-group": "live", "manystream-priority": "5"}
                async for chunk in chat.astream("Name four rivers.", extra_headers=headers):
                    print(chunk.text, end="", flush=True)
            except ModelConnectionError as error:  # LangChain's own kind; behind it stands the engine's
                print(f"\n{type(error).__name__}: {error}")
                if isinstance(error.__cause__, AnswerFailed):
                    print(f"{len(error.__cause__.result.text)} characters had come")


if __name__ == "__main__":
    logging.getLogger("manystream").setLevel(logging.CRITICAL)  # or each attempt that fails is logged
    anyio.run(main)
