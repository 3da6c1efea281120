import asyncio
import json

import anthropic

client = anthropic.AsyncAnthropic()
semaphore = asyncio.Semaphore(50)


async def answer(row):
    async with semaphore:
        messages = [{"role": "user", "content": row["prompt"]}]
        message = await client.messages.create(model="claude-haiku-4-5", max_tokens=300, messages=messages)
    return {"id": row["custom_id"], "text": message.content[0].text}


async def main():
    answers = await asyncio.gather(*(answer(json.loads(line)) for line in open("rows.jsonl")))
    with open("results.jsonl", "w") as results:
        results.writelines(json.dumps(answer) + "\n" for answer in answers)


asyncio.run(main())
