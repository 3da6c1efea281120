"""One stream, two consumers: one shows the text as it comes, the other writes every event down."""

import anyio

from manystream import (
    AnthropicModel,
    Engine,
    Lossless,
    Mailbox,
    PartDeltaEvent,
    Simulator,
    StreamRequest,
    TextPartDelta,
    decode_event,
    encode_event,
)


async def show(channel: Mailbox) -> None:
    async with channel:
        async for event in channel:
            match event:
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                    print(text, end="", flush=True)
                    await anyio.sleep(0.02)  # a slow screen: it gets fewer, longer pieces, and holds nobody up
                case _:
                    pass
    print()


async def write_down(channel: Mailbox, lines: list[str]) -> None:
    async with channel:
        lines.extend([encode_event(event) async for event in channel])


async def main() -> None:
    lines: list[str] = []
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(tokens_per_second=300).serve() as simulator:
        model = AnthropicModel("claude-opus-5-5", api_key="simulated", base_url=simulator.url)
        async with Engine(model) as engine:
            request = StreamRequest({"max_tokens": 120, "messages": [{"role": "user", "content": "Rivers?"}]})
            handle = engine.submit(request)
            async with anyio.create_task_group() as group:
                group.start_soon(show, handle.subscribe())
                group.start_soon(write_down, handle.subscribe(Lossless(buffer=100)), lines)
            result = await handle.wait()
    events = [decode_event(line) for line in lines]
    print(f"{len(events)} events written down, the last one is {events[-1].event_kind!r}; {result.state}")


if __name__ == "__main__":
    anyio.run(main)
