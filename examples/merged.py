"""Many streams in one channel: a hundred answers, one loop that reads them all."""

import anyio

from manystream import AnthropicModel, Engine, PartDeltaEvent, Simulator, StreamEndEvent, StreamRequest


async def main() -> None:
    # Requests are taken as slots come free, so this could as well yield a million.
    requests = (
        StreamRequest(
            {"max_tokens": 40, "messages": [{"role": "user", "content": f"Say {number} in words."}]},
            custom_id=f"number-{number}",
        )
        for number in range(100)
    )
    pieces = 0
    # The simulator stands in for the API. For the real one, leave it and its two arguments out.
    async with Simulator(tokens_per_second=500).serve() as simulator:
        model = AnthropicModel("claude-opus-5-5", api_key="simulated", base_url=simulator.url)
        async with Engine(model, max_concurrency=25) as engine, engine.merge(requests) as channel:
            async for tagged in channel:
                match tagged.event:
                    case PartDeltaEvent():
                        pieces += 1
                    case StreamEndEvent(result=result) if result.state == "complete":
                        print(f"{tagged.custom_id}: {result.text[:40]!r}")
                    case StreamEndEvent(result=result):
                        # In a channel an ending is a value: one failure does not end the others.
                        print(f"{tagged.custom_id}: {result.state}: {result.error}")
                    case _:
                        pass
    print(f"{pieces} pieces of text")


if __name__ == "__main__":
    anyio.run(main)
