"""From an ending to a result that is given: each is given once it is on disk, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import anyio
import pytest

from manystream import StreamResult
from manystream.engine.runs import Figures
from manystream.engine.runs.delivery import Delivery
from manystream.engine.runs.journal import Journal
from manystream.engine.runs.journal_rows import Begun
from manystream.engine.runs.live import LiveStreams
from manystream.engine.runs.output import ResultFile
from manystream.engine.runs.stopping import Over
from manystream.engine.runs.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    output = ResultFile(tmp_path / "out.jsonl")
    output.open()
    with closing(Journal(None)) as journal, closing(output):
        yield Writer(output, journal, ordered=False)


def ending(custom_id: str, by: str = "handle") -> Over:
    now = datetime.now(UTC)
    result = StreamResult(state="cancelled", stream_id=custom_id, custom_id=custom_id, cancelled_by=by, timestamp=now)
    return Over(result, 0.0)


async def test_a_result_is_given_once_it_is_written(writer: Writer) -> None:
    figures = Figures()
    delivery = Delivery(writer, figures)
    assert not delivery.waiting
    one = ending("a")
    delivery.add(one)
    assert delivery.waiting
    assert delivery.write_at == pytest.approx(anyio.current_time() + 0.1, abs=0.05)
    assert delivery.next() is None
    await delivery.write()
    assert (delivery.next(), delivery.next(), delivery.waiting) == (one.result, None, False)
    assert figures.endings == {"canceled": 1}


async def test_a_result_that_another_task_has_written_is_given_too(writer: Writer) -> None:
    delivery = Delivery(writer, Figures())
    one = ending("a")
    delivery.add(one)
    writer.flush()
    assert delivery.waiting  # so that iterating does not end before it was given
    await delivery.write()
    assert (delivery.next(), delivery.waiting) == (one.result, False)


async def test_what_runs_is_noted_and_nothing_is_written(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manystream.engine.runs.delivery._NOTE_SECONDS", 0.0)
    noted = anyio.Event()

    class Live:
        def used(self) -> list[Begun]:
            noted.set()
            return [Begun("b", 1.0, dollars=0.5)]

        def __len__(self) -> int:
            return 1

    delivery = Delivery(writer, Figures())
    delivery.add(ending("a"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delivery.keep_noting, cast("LiveStreams", Live()))
        await noted.wait()
        noted = anyio.Event()
        await noted.wait()  # so that the first note is over
        tasks.cancel_scope.cancel()
    assert (writer.waiting, len(writer.safe), delivery.waiting) == (1, 0, True)


async def test_an_ending_that_is_no_answer_is_not_given(writer: Writer) -> None:
    delivery = Delivery(writer, Figures())
    delivery.add(ending("a", by="engine"))
    assert not delivery.waiting
    await delivery.write()
    assert delivery.next() is None
