"""A form that fills itself: each field is shown as the model writes it, and checked when the answer is whole."""

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from manystream import AnthropicModel, Engine, OutputFailed, Simulator
from manystream.engine.simulator import Structured

LETTER = "Dear team, our pump in Basel has stopped on 3 March. Please send someone soon. Ada Lovelace, plant manager"


@dataclass
class Ticket:
    sender: str
    summary: str
    happened: date
    urgency: Literal["low", "normal", "high"]
    steps: list[str]


# What the simulator answers. The real API writes its own.
ANSWER = {
    "sender": "Ada Lovelace",
    "summary": "The pump in Basel has stopped, and somebody has to come.",
    "happened": "2026-03-03",
    "urgency": "high",
    "steps": ["Call the plant", "Send a technician", "Order a spare pump"],
}


async def fill(engine: Engine) -> Ticket:
    shown: dict[str, str] = {}
    async with engine.stream(f"Fill in the ticket.\n\n{LETTER}", output=Ticket) as stream:
        async for partial in stream.partials():
            so_far: dict[str, Any] = partial.value or {}
            for field, value in so_far.items():
                # Half a date or half a choice is never shown: such a value is None until it is whole.
                if value is not None:
                    mark = "✓" if partial.state(field) == "complete" else "…"
                    line = f"{mark} {field}: {value}"
                    if shown.get(field) != line:
                        shown[field] = line
                        print(line)
    return stream.result.output


async def main() -> None:
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    simulator = Simulator(tokens_per_second=300)
    simulator.script([Structured(ANSWER)])
    async with simulator.serve():
        model = AnthropicModel("claude-opus-5-5", api_key="simulated", base_url=simulator.url)
        async with Engine(model) as engine:
            try:
                ticket = await fill(engine)
            except OutputFailed as error:
                print(f"no ticket: {error}")  # it was cut, refused, or does not fit
            else:
                print(f"\n{ticket.sender} on {ticket.happened:%d %B}: {ticket.urgency}, {len(ticket.steps)} steps")


if __name__ == "__main__":
    asyncio.run(main())
