import asyncio
import json
from pathlib import Path

from litellm import Router

RESULTS = Path("results.jsonl")
deployment = {"model": "anthropic/claude-haiku-4-5", "rpm": 900, "max_tokens": 300}
router = Router(model_list=[{"model_name": "haiku", "litellm_params": deployment}], num_retries=10)
semaphore = asyncio.Semaphore(50)


async def answer(row, results):
    async with semaphore:
        try:
            messages = [{"role": "user", "content": row["prompt"]}]
            response = await router.acompletion("haiku", messages)
        except Exception as error:
            print(f"{row['custom_id']}: {error}")  # not in the results: the next run asks again
            return
    text = response.choices[0].message.content
    print(json.dumps({"id": row["custom_id"], "text": text}), file=results, flush=True)


async def main():
    done = {json.loads(line)["id"] for line in RESULTS.open()} if RESULTS.exists() else set()
    rows = [json.loads(line) for line in open("rows.jsonl")]
    with RESULTS.open("a") as results:
        await asyncio.gather(*(answer(row, results) for row in rows if row["custom_id"] not in done))


asyncio.run(main())
