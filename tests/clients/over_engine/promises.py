"""What holds for every framework whose client has an engine below: it gives its ways to ask, and gets all cases.

A way to ask returns the answer; a way to read yields what there is of it so far, and at last all of it.
"""

import asyncio
import gc
import time
from dataclasses import dataclass
from typing import Any

import anthropic
import anyio
import anyio.to_thread
from casebook import OVERLOADED, case, raises, same
from setting import (
    HEADERS,
    MESSAGE_STOP,
    SAYS,
    THREE_FAILURES,
    WAYS_TO_CUT,
    causes,
    cut_of,
    engine_over,
    failure_in,
    read_all,
    served,
    sync_engine_over,
    until,
)

from manystream import Deadlines, RetryPolicy


@dataclass
class Framework:
    """A framework. `says` is what the model answers, and `answer` what the framework makes of it.

    `ask(client, headers)` and `read(client, headers)` use an asynchronous client of the SDK's, `ask_in_thread` and
    `read_in_thread` a synchronous one. `reads_as_it_comes` is false where the last reads all before it yields anything.
    `on` names the backends.
    """

    ask: Any
    read: Any
    ask_in_thread: Any = None
    read_in_thread: Any = None
    says: str = SAYS
    answer: Any = SAYS
    reads_as_it_comes: bool = True
    on: tuple[str, ...] = ("asyncio",)


def register(framework):
    """Makes the cases of a framework."""
    _answers(framework)
    _labels(framework)
    _failures(framework)
    _leaving(framework)
    _over_serve(framework)
    if framework.ask_in_thread is not None:
        _threads(framework)


def _answers(framework):
    ask, read, says, answer = framework.ask, framework.read, framework.says, framework.answer

    @case(on=framework.on)
    async def an_answer(simulator):
        simulator.script(says)
        async with engine_over(simulator) as (_, client, ends):
            same(await ask(client, None), answer)
        same((ends.only.state, ends.attempts()), ("complete", 1))

    @case(on=framework.on)
    async def a_streamed_answer(simulator):
        simulator.script(says)
        async with engine_over(simulator) as (_, client, ends):
            pieces, error = await read_all(read(client, None))
        same((pieces[-1], error), (answer, None))
        assert len(pieces) > 2, pieces
        same((ends.only.state, ends.attempts()), ("complete", 1))

    @case(on=framework.on, time_to_first_token=0.03)
    async def more_at_once_than_there_are_slots(simulator):
        simulator.script(*[says] * 12)
        answers, running = [], []
        async with engine_over(simulator, max_concurrency=3) as (engine, client, ends):

            async def one():
                answers.append(await ask(client, None))
                running.append(engine.stats().running)

            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(one)
        same((answers, len(ends)), ([answer] * 12, 12))
        assert max(running) <= 3, running


def _labels(framework):
    ask, read, says = framework.ask, framework.read, framework.says

    def labels(end):
        return end.request.group, end.request.priority, end.custom_id

    @case(on=framework.on)
    async def labels_by_header(simulator):
        simulator.script(says, says)
        async with engine_over(simulator) as (engine, client, ends):
            with engine.labels(group="nightly"):  # a header comes first
                await ask(client, HEADERS)
                await read_all(read(client, HEADERS))
        same([labels(end) for end in ends], [("live", 5, "a")] * 2)
        sent = [name for request in simulator.messages for name in request["headers"]]
        same([name for name in sent if name.startswith("manystream-")], [])

    @case(on=framework.on)
    async def labels_by_context(simulator):
        simulator.script(says, says)
        async with engine_over(simulator) as (engine, client, ends):
            with engine.labels(group="nightly", priority=2, custom_id="b"):
                await ask(client, None)
                await read_all(read(client, None))
        same([labels(end) for end in ends], [("nightly", 2, "b")] * 2)


def _failures(framework):
    ask, read, says, answer = framework.ask, framework.read, framework.says, framework.answer

    @case(on=framework.on)
    async def failures_before_content_are_unseen(simulator):
        simulator.script(*THREE_FAILURES, says)
        async with engine_over(simulator) as (_, client, ends):
            same(await ask(client, None), answer)
        same((len(ends.only.attempts), ends.attempts(), len(simulator.messages)), (4, 4, 4))

    @case(on=framework.on)
    async def failures_before_the_content_of_a_stream_are_unseen(simulator):
        simulator.script(*THREE_FAILURES, says)
        async with engine_over(simulator) as (_, client, ends):
            pieces, error = await read_all(read(client, None))
        same((pieces[-1], error), (answer, None))
        same((len(ends.only.attempts), ends.attempts(), len(simulator.messages)), (4, 4, 4))

    @case(on=framework.on)
    async def a_cut_in_mid_stream_is_an_error(simulator):
        places = [(after, how) for how in WAYS_TO_CUT for after in (2, 9, 15)]
        simulator.script(*(cut_of(says, after, how) for after, how in places))
        async with engine_over(simulator) as (_, client, ends):
            for place in places:
                pieces, error = await read_all(read(client, None))
                assert error is not None, f"{place}: a normal end after {pieces}"
                assert pieces, place
                assert answer not in pieces, f"{place}: {pieces}"
                assert failure_in(error).result.state in ("truncated", "failed"), place
        same((len(ends), len(simulator.messages)), (len(places), len(places)))

    @case(on=framework.on)
    async def an_end_in_good_order_is_an_error_unless_only_message_stop_lacks(simulator):
        simulator.script(says)
        async with engine_over(simulator) as (_, client, ends):
            await read_all(read(client, None))
            whole = simulator.messages[0]["bytes_sent"]
            for lacking in (1, len(MESSAGE_STOP), 100, 150, 300, 450):
                ends.clear()
                simulator.script(cut_of(says, {"bytes": whole - lacking}, "end"))
                pieces, error = await read_all(read(client, None))
                if lacking <= len(MESSAGE_STOP):
                    same((pieces[-1], error, ends.only.state), (answer, None, "complete"))
                else:
                    assert error is not None, f"{lacking} bytes lack: a normal end"
                    same(failure_in(error).result, ends.only)

    @case(on=framework.on)
    async def an_error_event_is_an_error(simulator):
        simulator.script(cut_of(says, 9, {"status": 529}))
        async with engine_over(simulator) as (_, client, _):
            pieces, error = await read_all(read(client, None))
        assert pieces, "nothing came before"
        kinds = [each for each in causes(error) if isinstance(each, anthropic.APIStatusError)]
        assert kinds, f"{error!r} is none of the SDK's"

    @case(on=framework.on)
    async def an_answer_that_is_not_streamed_is_whole_after_cuts(simulator):
        simulator.script(*(cut_of(says, 9, how) for how in ("end", "reset", "close")), says)
        async with engine_over(simulator) as (_, client, ends):
            same(await ask(client, None), answer)
        same((len(ends.only.attempts), ends.attempts()), (4, 4))

    @case(on=framework.on)
    async def an_answer_that_is_cut_each_time_is_an_error(simulator):
        simulator.script(*[cut_of(says, 9, "end")] * 20)
        async with engine_over(simulator, retry=RetryPolicy(max_attempts=2, base_delay=0.001)) as (_, client, ends):
            with raises(Exception) as caught:
                await ask(client, None)
        failure_in(caught[0])
        same({len(end.attempts) for end in ends}, {2})

    @case(on=framework.on)
    async def refusals_without_end(simulator):
        simulator.script(*[OVERLOADED] * 20)
        async with engine_over(simulator, retry=RetryPolicy(max_attempts=2, base_delay=0.001)) as (_, client, ends):
            with raises(Exception) as caught:
                await ask(client, None)
        statuses = [each.status_code for each in causes(caught[0]) if isinstance(each, anthropic.APIStatusError)]
        same(set(statuses), {529})
        same({len(end.attempts) for end in ends}, {2})

    @case(on=framework.on)
    async def a_stream_that_falls_silent(simulator):
        simulator.script({"stall": {"after": 9, "text": says}})
        async with engine_over(simulator, deadlines=Deadlines(silence=0.3)) as (_, client, _):
            pieces, error = await read_all(read(client, None))
        assert pieces, "nothing came before"
        assert isinstance(failure_in(error), anthropic.APITimeoutError), error


def _leaving(framework):
    ask, read, says, answer = framework.ask, framework.read, framework.says, framework.answer

    @case(on=framework.on, tokens_per_second=20)
    async def a_cancelled_stream_frees_its_slot(simulator):
        simulator.script(says, {"text": says})
        async with engine_over(simulator, max_concurrency=1) as (engine, client, ends):
            begun = anyio.Event()

            async def consume():
                async for _ in read(client, None):
                    begun.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume)
                await begun.wait()
                tasks.cancel_scope.cancel()
            await until(lambda: engine.stats().running == 0)
            same(ends.only.state, "cancelled")
            await until(lambda: simulator.messages[0]["outcome"] == "disconnected")
            same(await ask(client, None), answer)

    @case(on=framework.on, tokens_per_second=20)
    async def a_stream_that_is_left_frees_its_slot(simulator):
        simulator.script(says, {"text": says})
        async with engine_over(simulator, max_concurrency=1) as (engine, client, _):
            pieces = read(client, None)
            async for _ in pieces:
                break
            await pieces.aclose()
            del pieces
            gc.collect()
            await until(lambda: engine.stats().running == 0)
            await until(lambda: simulator.messages[0]["outcome"] == "disconnected")
            same(await ask(client, None), answer)

    @case(on=framework.on, time_to_first_token=5)
    async def cancelled_before_the_head_and_in_the_queue(simulator):
        simulator.script(says, says)
        async with engine_over(simulator, max_concurrency=1) as (engine, client, ends):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, client, None)
                tasks.start_soon(ask, client, None)
                await until(lambda: engine.stats().running == 1 and engine.stats().waiting == 1)
                await until(lambda: simulator.messages)
                tasks.cancel_scope.cancel()
            stats = engine.stats()
            same((stats.running, stats.waiting), (0, 0))
        same(([end.state for end in ends], len(simulator.messages)), (["cancelled"] * 2, 1))


def _over_serve(framework):
    ask, read, says, answer = framework.ask, framework.read, framework.says, framework.answer

    @case(on=framework.on)
    async def by_serve(simulator):
        """The SDK's plain client, whose base URL is that of `manystream serve`."""
        cuts = [cut_of(says, 9, how) for how in WAYS_TO_CUT]
        simulator.script(*THREE_FAILURES, says, *THREE_FAILURES, says, *cuts)
        with served(simulator) as url:
            client = anthropic.AsyncAnthropic(api_key="any", base_url=url)
            same(await ask(client, HEADERS), answer)
            pieces, error = await read_all(read(client, HEADERS))
            same((pieces[-1], error), (answer, None))
            for cut in cuts:
                pieces, error = await read_all(read(client, None))
                assert error is not None, f"{cut}: a normal end after {pieces}"
                assert any(isinstance(each, anthropic.APIError) for each in causes(error)), error
            await client.close()
        same(len(simulator.messages), 8 + len(cuts))


def _threads(framework):
    ask, read, says, answer = (
        framework.ask_in_thread,
        framework.read_in_thread,
        framework.says,
        framework.answer,
    )

    def read_here(pieces):
        found = []
        try:
            for piece in pieces:
                found.append(piece)
        except Exception as error:
            return found, error
        return found, None

    @case()
    def in_a_thread(simulator):
        simulator.script(*THREE_FAILURES, says, *THREE_FAILURES, says)
        with sync_engine_over(simulator) as (engine, client, ends):
            same(ask(client, HEADERS), answer)
            with engine.labels(group="nightly"):
                pieces, error = read_here(read(client, None))
        same((pieces[-1], error), (answer, None))
        same([(end.request.group, len(end.attempts)) for end in ends], [("live", 4), ("nightly", 4)])
        same([head["manystream-attempts"] for head in ends.heads], ["4", "4"])

    @case()
    def cuts_in_a_thread(simulator):
        places = [(after, how) for how in WAYS_TO_CUT for after in (2, 9, 15)]
        simulator.script(*(cut_of(says, after, how) for after, how in places))
        with sync_engine_over(simulator) as (_, client, _):
            for place in places:
                pieces, error = read_here(read(client, None))
                assert error is not None, f"{place}: a normal end after {pieces}"
                assert failure_in(error).result.state in ("truncated", "failed"), place

    @case()
    def a_whole_answer_after_cuts_in_a_thread(simulator):
        simulator.script(*(cut_of(says, 9, how) for how in ("end", "reset", "close")), says)
        with sync_engine_over(simulator) as (_, client, ends):
            same(ask(client, None), answer)
        same(len(ends.only.attempts), 4)

    @case()
    async def threads_beside_tasks(simulator):
        simulator.script(*[says] * 20)
        answers = []
        async with engine_over(simulator, max_concurrency=5) as (engine, client, _):
            synchronous = engine.sync_anthropic_client()

            async def here():
                answers.append(await framework.ask(client, None))

            async def there():
                answers.append(await anyio.to_thread.run_sync(ask, synchronous, None))

            await asyncio.gather(*(one() for _ in range(10) for one in (here, there)))
        same(answers, [answer] * 20)

    if not framework.reads_as_it_comes:
        return

    @case(tokens_per_second=20)
    def left_in_a_thread(simulator):
        simulator.script(says)
        with sync_engine_over(simulator) as (engine, client, ends):
            pieces = read(client, None)
            next(pieces)
            pieces.close()
            del pieces
            gc.collect()
            deadline = time.monotonic() + 5
            while engine.stats().running:
                assert time.monotonic() < deadline, "it still has its slot"
                time.sleep(0.005)
        same(ends.only.state, "cancelled")
