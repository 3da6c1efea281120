import asyncio
import json
from pathlib import Path

import anthropic
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

TRANSIENT = anthropic.APIConnectionError, anthropic.RateLimitError, anthropic.InternalServerError
RESULTS = Path("results.jsonl")
client = anthropic.AsyncAnthropic(max_retries=0)  # tenacity's are enough
semaphore = asyncio.Semaphore(50)


@retry(
    retry=retry_if_exception_type(TRANSIENT),
    wait=wait_random_exponential(min=1, max=60),
    stop=stop_after_attempt(10),
    reraise=True,
)
async def ask(prompt):
    messages = [{"role": "user", "content": prompt}]
    return await client.messages.create(model="claude-haiku-4-5", max_tokens=300, messages=messages)


async def answer(row, results):
    async with semaphore:
        try:
            message = await ask(row["prompt"])
        except anthropic.APIError as error:
            print(f"{row['custom_id']}: {error}")  # not in the results: the next run asks again
            return
    text = "".join(block.text for block in message.content if block.type == "text")
    print(json.dumps({"id": row["custom_id"], "text": text}), file=results, flush=True)


async def main():
    done = {json.loads(line)["id"] for line in RESULTS.open()} if RESULTS.exists() else set()
    rows = [json.loads(line) for line in open("rows.jsonl")]
    with RESULTS.open("a") as results:
        await asyncio.gather(*(answer(row, results) for row in rows if row["custom_id"] not in done))


asyncio.run(main())
