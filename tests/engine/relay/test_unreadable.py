"""Streams in a store that can't be read here: another version wrote them, and the others go on all the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest
from tests.support.asgi import Browser, frames_of
from tests.support.engines import engine_in_memory

from manystream import Simulator, StreamHub, StreamResult
from manystream.actors.channel import Cursor, Entry
from manystream.engine.relay.ids import new_id
from manystream.engine.relay.kept_requests import request_again
from manystream.engine.relay.relayed import Relayed
from manystream.engine.relay.shared import SharedStreams
from manystream.engine.relay.stores import Head, Row, StoreFailed, Written

pytestmark = pytest.mark.anyio

GOOD, BAD = (new_id("12345678") for _ in range(2))
START = (
    '{"event_kind":"stream_start","message_id":"m","model_name":"x","stream_id":"s","first_seq":1,"seq":1},'
    '{"event_kind":"part_start","index":0,"part":{"part_kind":"text","content":"","complete":false},'
    '"stream_id":"s","first_seq":2,"seq":2}'
)
TEXTS = [
    '{"v":2,"items":[]}',  # of another version
    "",
    '{"v":1}',
    '{"v":1,"items":[["text",0,[1]]]}',
    '{"v":1,"items":[{"event_kind":"part_delta"}]}',
    '{"v":1,"items":' + "[" * 50_000,
]


class Place:
    """A store that holds what the test says."""

    def __init__(self, **rows: Entry) -> None:
        self.rows = [Row(name, 1, entry) for name, entry in rows.items()]
        self.orphans: list[Head] = []
        self.stopped: list[str] = []
        self.appended: list[Row] = []
        self.failures = 0
        self.claims: list[str] = []

    def create(self, head: Head, owner: str, lease: float) -> None: ...

    def look(self, name: str) -> Head | None:
        return Head(name, None, "run", 1) if name in (GOOD, BAD) else None

    def write(self, owner: str, lease: float, rows: Sequence[Row], reading: Sequence[str], retention: float) -> Written:
        self.appended += rows
        orphans, self.orphans = self.orphans, []
        return Written(orphans=orphans)

    def read(self, wants: Mapping[str, int]) -> Sequence[Row]:
        if self.failures:
            self.failures -= 1
            raise StoreFailed("away")
        return [row for row in self.rows if row.entry.seq > wants.get(row.id, 10**9)]

    def claim(self, head: Head, owner: str) -> bool:
        self.claims.append(head.id)
        return self.claims.count(head.id) == 1

    def stop(self, name: str, reason: str) -> bool:
        self.stopped.append(name)
        return True

    def release(self, owner: str) -> None: ...

    def close(self) -> None: ...


class Sharing:
    """A process's part in the store."""

    def __init__(self, place: Place, *, go_on: Any = None) -> None:
        self.told: list[StreamResult] = []
        self.asked: list[str] = []
        self.shared: Any = SharedStreams(
            place, "me", lambda: 0.0, lease=1, retention=1, logged=False, go_on=self._go_on, told=self._told
        )

    def _go_on(self, head: Head, stream: Relayed) -> Cursor | None:
        self.asked.append(head.id)
        return None

    def _told(self, stream: Relayed, result: StreamResult) -> None:
        self.told.append(result)


def good_and(text: str) -> Place:
    good = Entry(1, 4, '{"v":1,"items":[%s,["text",0,["a","b"]]]}' % START)  # noqa: UP031 - braces
    return Place(**{BAD: Entry(1, 3, text), GOOD: good})


@pytest.mark.parametrize("text", TEXTS)
async def test_a_stream_that_can_not_be_read_leaves_the_others_alone(text: str) -> None:
    sharing = Sharing(good_and(text))
    bad, good = [await sharing.shared.copy(Head(name, None, "run", 1)) for name in (BAD, GOOD)]
    assert (bad.unreadable, good.unreadable, good.recording.seq) == (True, False, 4)
    assert list(sharing.shared._reading) == [GOOD]


@pytest.mark.parametrize("text", [*TEXTS, '{"v":1,"items":[["text",0,["a","b","c"]]]}'])
async def test_one_that_was_left_ends_behind_what_can_not_be_read(text: str) -> None:
    place = good_and(text)
    place.orphans = [Head(BAD, None, "run", 1, request="{}"), Head(GOOD, None, "run", 1)]
    sharing = Sharing(place)
    for _ in range(2):
        sharing.shared._written_at = -1.0
        await sharing.shared._write()
    assert [(result.state, result.text) for result in sharing.told] == [("truncated", ""), ("truncated", "ab")]
    assert sharing.asked == [GOOD]  # nobody goes on behind what nobody knows
    assert [(row.id, row.entry.first_seq, row.epoch, row.entry.ends) for row in place.appended] == [
        (BAD, 4, 2, True),
        (GOOD, 5, 2, True),
    ]


async def test_one_that_was_claimed_while_the_store_went_away_is_ended_when_it_is_back() -> None:
    place = good_and(TEXTS[0])
    place.orphans, place.failures = [Head(GOOD, None, "run", 1)], 3
    sharing = Sharing(place)
    for _ in range(6):
        sharing.shared._written_at = -1.0
        await sharing.shared._write()
    assert [(result.state, result.text) for result in sharing.told] == [("truncated", "ab")]
    assert (place.claims, sharing.shared._claimed) == ([GOOD], {})


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"params":1,"betas":[],"extra_body":{}}'])
def test_a_request_of_another_version_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="this version"):
        request_again(text)


async def test_its_tabs_are_sent_away_and_whoever_comes_is_told_why(caplog: pytest.LogCaptureFixture) -> None:
    place = good_and(TEXTS[0])
    later, place.rows = place.rows, []
    async with (
        engine_in_memory(Simulator(), grace=0) as engine,
        StreamHub(engine, grace=0, store=place) as hub,
        anyio.create_task_group() as tasks,
    ):
        tabs = [Browser(hub.response(name)).among(tasks) for name in (BAD, GOOD)]
        for tab in tabs:
            await tab.until(lambda tab: tab.status is not None)
        place.rows = later
        await tabs[0].over.wait()
        assert frames_of(tabs[0].body) == []
        await tabs[1].until(lambda tab: tab.text == "ab")  # the reader goes on
        for _ in range(2):
            again = await Browser(hub.response(BAD)).alone()
            assert (again.status, again.json["error"]["type"]) == (409, "stream_unreadable")
        assert caplog.text.count("can't be read here") == 1
        assert await hub.stop(BAD)
        assert place.stopped == [BAD]
        tabs[1].leave()
