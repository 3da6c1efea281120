"""A list of findings, each handled as soon as it is whole, while the model still writes the next ones."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import anyio

from manystream import AnthropicModel, Engine, OutputSpec, Simulator
from manystream.engine.simulator import Structured


@dataclass
class Finding:
    file: str
    line: int
    severity: Literal["note", "warning", "error"]
    words: str


@dataclass
class Review:
    findings: list[Finding]
    verdict: Literal["accept", "mend"]


# What the simulator answers. The real API writes its own.
ANSWER = {
    "findings": [
        {"file": "pump.py", "line": 12, "severity": "error", "words": "The valve is never closed."},
        {"file": "pump.py", "line": 40, "severity": "note", "words": "This name says little."},
        {"file": "tank.py", "line": 3, "severity": "warning", "words": "An empty tank divides by zero."},
    ],
    "verdict": "mend",
}


async def handle(finding: Finding) -> None:
    await anyio.sleep(0.05)  # a comment in the review, a ticket, a row in a database
    print(f"{finding.severity}: {finding.file}:{finding.line}: {finding.words}")


async def review(engine: Engine, diff: str) -> Review:
    # An answer that does not fit is asked for once more, unless a finding of it was given already.
    wanted = OutputSpec(Review, retry_invalid=1)
    async with (
        anyio.create_task_group() as handling,
        engine.stream(f"Review this change.\n\n{diff}", output=wanted) as stream,
    ):
        async for finding in stream.items("findings"):
            handling.start_soon(partial(handle, finding))
    return stream.result.output


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    simulator = Simulator(tokens_per_second=300)
    simulator.script([Structured(ANSWER)])
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="simulated", base_url=simulator.url)
        async with Engine(model) as engine:
            found = await review(engine, "- valve.close()\n+ pass")
    print(f"{len(found.findings)} findings: {found.verdict}")


if __name__ == "__main__":
    anyio.run(main)
