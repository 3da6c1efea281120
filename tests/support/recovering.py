"""What the tests of recovery share: requests, the turns that ask for a continuation, and mailboxes read out."""

from contextlib import suppress
from typing import Any

import anyio
import pytest

from manystream.actors import (
    Mailbox,
    PartEvent,
    TextPart,
)

__all__ = ["PREFILLED", "TEXT", "USER", "pytest_async", "read", "told", "turn"]

TEXT = TextPart("Hel", complete=False)


USER: dict[str, Any] = {"role": "user", "content": "hi"}


PREFILLED = [USER, {"role": "assistant", "content": "Well,"}]


pytest_async = pytest.mark.anyio


async def read(mailbox: Mailbox) -> list[PartEvent]:
    return [event async for event in mailbox]


def told(mailbox: Mailbox) -> list[PartEvent]:
    """All that the mailbox has now."""
    events: list[PartEvent] = []
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            events.append(mailbox.receive_nowait())
    return events


def turn(text: str) -> dict[str, str]:
    content = f"Your previous response was interrupted and ended with [{text}]. Continue from where you left off."
    return {"role": "user", "content": content}
