"""The SDK's own client with an engine below, on asyncio, on trio and in threads."""

from casebook import main, says
from promises import Framework, register
from setting import MODEL

ASKED = {"model": MODEL, "max_tokens": 200, "messages": says("Count")}


async def ask(client, headers):
    message = await client.messages.create(**ASKED, extra_headers=headers)
    return message.content[0].text


async def read(client, headers):
    text = ""
    async with client.messages.stream(**ASKED, extra_headers=headers) as stream:
        async for piece in stream.text_stream:
            text += piece
            yield text


def ask_in_thread(client, headers):
    return client.messages.create(**ASKED, extra_headers=headers).content[0].text


def read_in_thread(client, headers):
    text = ""
    with client.messages.stream(**ASKED, extra_headers=headers) as stream:
        for piece in stream.text_stream:
            text += piece
            yield text


if __name__ == "__main__":
    register(Framework(ask, read, ask_in_thread, read_in_thread, on=("asyncio", "trio")))
    main()
