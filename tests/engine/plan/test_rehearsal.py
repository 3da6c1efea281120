"""A rehearsal is the engine on virtual time: limits, refusals and the prompt cache cost it the time that they cost."""

import logging
import random
import time
from typing import Any

import anyio
import pytest

from manystream import Limits
from manystream.engine.admission.prompt import Prefix, Prompt
from manystream.engine.plan.rehearsal import Part, rehearse
from manystream.engine.plan.service import ExpectedAnswer

PREFIX = Prefix(b"shared", 4000, 300.0)


def parts(count: int, *, prefixes: tuple[Prefix, ...] = (), **facts: Any) -> list[Part]:
    usual: dict[str, Any] = {"pool": "p", "input_tokens": 5000, "output_tokens": 100, "ttft": 1.0, "seconds": 4.0}
    answer = ExpectedAnswer(prefixes=prefixes, **{**usual, **facts})
    return [
        Part(model_name="claude-opus-5-5", prompt=Prompt(5000, prefixes), max_tokens=100, answer=answer)
        for _ in range(count)
    ]


def test_concurrency_and_pace_alone() -> None:
    rehearsal = rehearse(parts(40), concurrency=10, limits={})
    assert rehearsal.ends[0] == pytest.approx(5.0)
    assert rehearsal.seconds == pytest.approx(20.0, abs=0.5)  # four rounds of ten
    assert (rehearsal.refused, rehearsal.emptied) == (0, None)


@pytest.mark.parametrize(
    ("limits", "minutes"),
    [
        (Limits(requests_per_minute=60), 3),  # the full bucket, and two more minutes' worth for 180
        (Limits(input_tokens_per_minute=300_000), 3),
        (Limits(output_tokens_per_minute=6000), 3),
    ],
)
def test_a_limit_a_minute(limits: Limits, minutes: float) -> None:
    rehearsal = rehearse(parts(180), concurrency=50, limits={"p": limits})
    assert (minutes - 1) * 60 * 0.95 < rehearsal.seconds < (minutes - 1) * 60 * 1.15 + 5


def test_what_is_read_from_the_cache_is_free_of_the_input_limit() -> None:
    limits = {"p": Limits(input_tokens_per_minute=60_000)}
    plain = rehearse(parts(60), concurrency=20, limits=limits).seconds
    cached = rehearse(parts(60, prefixes=(PREFIX,)), concurrency=20, limits=limits).seconds
    assert plain > 230  # 300,000 tokens, of which a minute's worth is there at once
    assert cached < 40  # 64,000


def test_refusals_by_chance_are_tried_again() -> None:
    rehearsal = rehearse(parts(200), concurrency=20, limits={}, overload=0.2, max_attempts=10)
    assert 25 < rehearsal.refused < 80
    assert len(rehearsal.ends) == 200
    assert rehearsal.seconds > rehearse(parts(200), concurrency=20, limits={}).seconds


def test_the_buckets_are_emptied_half_way() -> None:
    limits = {"p": Limits(requests_per_minute=100)}
    whole = rehearse(parts(100), concurrency=50, limits=limits)
    emptied = rehearse(parts(100), concurrency=50, limits=limits, empty_at=50)
    assert emptied.emptied == 50
    assert emptied.seconds > whole.seconds + 5
    assert emptied.left["p", "requests_per_minute"] > 10
    assert emptied.running > 0


def test_it_repeats_and_leaves_chance_to_others() -> None:
    random.seed(7)
    before = random.getstate()
    first = rehearse(parts(50), concurrency=10, limits={}, overload=0.3)
    assert random.getstate() == before
    random.seed(8)
    assert rehearse(parts(50), concurrency=10, limits={}, overload=0.3) == first


def test_hours_of_a_long_answer_take_no_time_and_pass_no_deadline() -> None:
    began = time.monotonic()
    rehearsal = rehearse(parts(3, seconds=7200.0), concurrency=1, limits={})
    assert rehearsal.seconds == pytest.approx(3 * 7201.0)
    assert time.monotonic() - began < 5


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rehearse(parts(60), concurrency=50, limits={"p": Limits(requests_per_minute=10)})
    assert [record for record in caplog.records if record.name.startswith("manystream")] == []


def test_a_limit_for_another_pool_does_not_count() -> None:
    assert rehearse(parts(20), concurrency=20, limits={"q": Limits(requests_per_minute=1)}).seconds < 15


def test_it_needs_a_thread_of_its_own(anyio_backend: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError):
            rehearse(parts(1), concurrency=1, limits={})
        found = await anyio.to_thread.run_sync(lambda: rehearse(parts(1), concurrency=1, limits={}))
        assert found.seconds == pytest.approx(5.0)

    anyio.run(main, backend=anyio_backend)
