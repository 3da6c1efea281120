"""What the tests of mailboxes share: a text word by word, streams to read it from, and the loops they run on."""

from collections.abc import Iterable

import anyio
import pytest
from tests.support.reference.streams import END, begin, last, start, stop, text_delta
from tests.support.stage import Stage, settle

from manystream.actors import (
    Mailbox,
    PartDeltaEvent,
    PartEvent,
    TextPartDelta,
)
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.channel.mailbox import Parked, Policy, Subscriber

__all__ = ["BEGUN", "ENDED", "Told", "asyncios_own", "begun", "read", "three_loops", "word", "words"]

three_loops = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param("trio", id="trio"),
    ],
)


asyncios_own = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)


BEGUN = start() + begin(0, "text", text="")  # four events: the start, the usage, the part's start


ENDED = stop(0) + last() + END


def word(text: str) -> bytes:
    return text_delta(0, text)


def words(events: list[PartEvent]) -> list[str]:
    return [
        e.delta.content_delta for e in events if isinstance(e, PartDeltaEvent) and isinstance(e.delta, TextPartDelta)
    ]


async def read(mailbox: Mailbox) -> list[PartEvent]:
    return [event async for event in mailbox]


async def begun(stage: Stage, tasks: anyio.abc.TaskGroup, *chunks: bytes) -> Mailbox:
    """A stream that has begun, and a mailbox that has read all of it so far."""
    mailbox = stage.handle.subscribe()
    tasks.start_soon(stage.run)
    stage.write(BEGUN, *chunks)
    await settle()
    await mailbox.receive_batch()
    return mailbox


class Told:
    """A producer that only remembers what its consumer told it."""

    def __init__(self) -> None:
        self.log = EventLog("s")
        self.parked: list[Parked] = []
        self.rooms = 0
        self.leavers: list[Subscriber] = []

    def write(self, text: str) -> None:
        self.log.add_text(0, TextPartDelta, text)

    def subscriber(self, policy: Policy, first: Iterable[PartEvent] = ()) -> Subscriber:
        return Subscriber(self, Cursor(self.log), policy, "detach", first)

    def park(self, consumer: Parked) -> None:
        self.parked.append(consumer)

    def has_room(self) -> None:
        self.rooms += 1

    def left(self, subscriber: Subscriber) -> None:
        self.leavers.append(subscriber)
