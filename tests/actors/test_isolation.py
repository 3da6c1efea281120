"""Nobody's trouble becomes another's: whatever a server says in one stream, its engine, its siblings and its run go on.

The field-by-type table: every field of every event and error body, one at a time, by everything it might be. A part of
it runs with the suite; all of it, with a table of what was tried, by `pytest -m slow -s tests/test_isolation.py`.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from tests.support.odd import GOOD, GOOD_BETA, Case, Reply, all_cases, quick_cases, sse
from tests.support.served import (
    TWICE,
    Served,
    answer,
    assert_at_rest,
    assert_nothing_lost,
    assert_sound,
    engine_served,
    reason_of,
    strictly,
    watch,
)
from tests.support.wire_server import Peer, head, serving
from typer.testing import CliRunner

from manystream import AnthropicModel, Engine, Lossless, RetryPolicy, StreamRequest
from manystream.__main__ import app
from manystream.actors.stream.recovery import Recovery
from manystream.engine.runs import open_run

pytestmark = pytest.mark.anyio

TOGETHER = 24  # how many odd answers an engine is given at a time
SECONDS = 120.0  # more than any of them takes
RECOVERIES: Sequence[Recovery] = ("fail", "restart", "continue")
BETAS = ("a-beta",)


Problem = tuple[str, str]
"""Which input, and what was wrong."""


@attrs.define
class Tally:
    """What was tried, and what came of it."""

    inputs: Counter[str] = attrs.field(factory=Counter[str])
    """By the event or body that was changed."""
    states: Counter[tuple[str, str]] = attrs.field(factory=Counter[tuple[str, str]])
    """By the same, and how the stream ended."""
    errors: Counter[str] = attrs.field(factory=Counter[str])
    crashes: dict[str, list[Problem]] = attrs.field(factory=dict[str, list[Problem]])
    """Inputs that took more than their own stream with them, by where they were changed."""
    faults: dict[str, list[Problem]] = attrs.field(factory=dict[str, list[Problem]])
    """Inputs whose own ending was not as it must be."""

    def told(self) -> str:
        """The table."""
        columns = ("complete", "truncated", "failed", "cancelled")
        rows = [f"{'changed':44}{'inputs':>8}{'crashes':>9}{'faults':>8}" + "".join(f"{c:>11}" for c in columns)]
        for where, inputs in self.inputs.items():
            crashes, faults = len(self.crashes.get(where, ())), len(self.faults.get(where, ()))
            ended = "".join(f"{self.states[where, column]:>11}" for column in columns)
            rows.append(f"{where[:43]:44}{inputs:>8}{crashes:>9}{faults:>8}{ended}")
        crashes, faults = (sum(map(len, found.values())) for found in (self.crashes, self.faults))
        ended = "".join(f"{sum(n for (_, s), n in self.states.items() if s == c):>11}" for c in columns)
        rows.append(f"{'all':44}{self.inputs.total():>8}{crashes:>9}{faults:>8}{ended}")
        rows.append("errors: " + ", ".join(f"{kind} {count}" for kind, count in self.errors.most_common(20)))
        return "\n".join(rows)

    def problems(self, longest: int = 40) -> str:
        """The first of what went wrong, each kind of trouble once."""
        found: dict[str, list[str]] = {}
        for name, by_place in (("CRASH", self.crashes), ("FAULT", self.faults)):
            for problems in by_place.values():
                for case, why in problems:
                    found.setdefault(f"{name} {why[:160]}", []).append(case)
        return "\n".join(f"{len(cases):>6} x {why}\n         {cases[0]}" for why, cases in [*found.items()][:longest])

    def check(self) -> None:
        """Fails when anything was not as it must be."""
        if self.crashes or self.faults:
            pytest.fail(f"{self.problems()}\n{self.told()}", pytrace=False)


def request_for(case: Case) -> StreamRequest:
    """A request that the case answers. Each asks another model, so that no refusal holds the others up."""
    return StreamRequest(
        {"messages": [{"role": "user", "content": case.name}], "model": f"claude-{case.number}"},
        custom_id=case.name,
        betas=case.betas,
        recovery=RECOVERIES[case.number % 3],
    )


def served_for(cases: Sequence[Case]) -> Served:
    """What answers these cases, and good streams to whoever asks for something else."""
    replies: dict[str, Reply] = {}
    by_name = {case.name: case for case in cases}
    good = {"good": sse(*GOOD), "beta": sse(*GOOD_BETA)}

    def find(words: str, attempt: int) -> Reply:
        if words not in by_name:
            return good[words.split()[-1]]
        if attempt == 1:
            replies[words] = by_name[words].make()
        return replies[words]

    return Served(find)


SIBLINGS = [StreamRequest("held good"), StreamRequest("held beta", betas=BETAS)]


async def undisturbed() -> list[Any]:
    """What the siblings are when nobody is beside them."""
    async with engine_served(served_for([])) as engine:
        return [answer((await watch(engine, request))[1]) for request in SIBLINGS]


async def together(cases: Sequence[Case], good: Sequence[Any], tally: Tally) -> None:
    """Serves the cases to one engine, beside siblings that are in the middle of their answers until all have ended.
    Raises what the engine raises, and `AssertionError` when it or the siblings were not as they must be."""
    served = served_for(cases)
    served.gate = anyio.Event()
    found: list[Any] = [None] * len(SIBLINGS)
    outcomes: list[tuple[Case, str, str | None]] = []

    async def one(engine: Engine, case: Case) -> None:
        events, result = await watch(engine, request_for(case), Lossless(3) if case.number % 2 else None)
        try:
            assert_sound(events, result)
            if result.state == "complete" and (reply := case.make()).content_type.startswith("text/event-stream"):
                assert_nothing_lost(reply.body, result)
        except Exception as exc:
            tally.faults.setdefault(case.where, []).append((str(case), reason_of(exc)))
        outcomes.append((case, result.state, result.error and result.error.type))

    async def sibling(engine: Engine, number: int) -> None:
        events, result = await watch(engine, SIBLINGS[number])
        assert_sound(events, result)
        found[number] = answer(result)

    with anyio.fail_after(SECONDS):
        async with engine_served(served, max_concurrency=2 * TOGETHER) as engine, anyio.create_task_group() as group:
            for number in range(len(SIBLINGS)):
                group.start_soon(sibling, engine, number)
            async with anyio.create_task_group() as odd:
                for case in cases:
                    odd.start_soon(one, engine, case)
            assert engine.stats().running == len(SIBLINGS)
            served.gate.set()
            while engine.stats().running:
                await anyio.lowlevel.checkpoint()
            assert_at_rest(engine)
            again = await engine.submit("and it goes on good").wait()
            assert again.state == "complete"
    assert found == good, "the siblings are not what they were"
    for case, state, error in outcomes:
        tally.states[case.where, state] += 1
        if error is not None:
            tally.errors[ascii(error)[1:-1][:30]] += 1


def in_batches(cases: Sequence[Case], size: int = TOGETHER) -> Iterator[Sequence[Case]]:
    for first in range(0, len(cases), size):
        yield cases[first : first + size]


async def try_all(cases: Sequence[Case]) -> Tally:
    """Tries them, so many at a time; where that ends badly, each of them alone, to find out which it was."""
    tally = Tally()
    good = await undisturbed()
    assert [each[0] for each in good] == ["complete", "complete"]
    for batch in in_batches(cases):
        tally.inputs.update(case.where for case in batch)
        faults = {where: [*found] for where, found in tally.faults.items()}
        try:
            await together(batch, good, tally)
        except (Exception, BaseExceptionGroup) as whole:
            tally.faults = faults
            count = sum(map(len, tally.crashes.values()))
            for case in batch:
                try:
                    await together([case], good, tally)
                except (Exception, BaseExceptionGroup) as exc:
                    tally.crashes.setdefault(case.where, []).append((str(case), reason_of(exc)))
            if count == sum(map(len, tally.crashes.values())):
                tally.crashes.setdefault(batch[0].where, []).append((f"{batch[0]} to {batch[-1]}", reason_of(whole)))
    return tally


async def test_whatever_a_field_is() -> None:
    tally = await try_all(quick_cases())
    tally.check()


@pytest.mark.slow
async def test_whatever_any_field_is() -> None:
    tally = await try_all(all_cases())
    sys.stdout.write(f"\n{tally.told()}\n")
    tally.check()


# -- over sockets


async def test_whatever_a_field_is_over_a_socket() -> None:
    await over_a_socket(quick_cases()[::5])


@pytest.mark.slow
async def test_whatever_any_field_is_over_a_socket() -> None:
    await over_a_socket(all_cases()[::17])


async def over_a_socket(cases: Sequence[Case]) -> None:
    """The same by our own transport, all on one engine."""
    served = served_for(cases)
    faults: list[str] = []

    async def serve(peer: Peer) -> None:
        asked = json.loads(peer.requested.partition(b"\r\n\r\n")[2])
        words: str = asked["messages"][0]["content"]
        served.attempts[words] += 1
        reply = served.find(words, served.attempts[words])
        names = (f"content-type: {reply.content_type}", f"content-length: {len(reply.body)}", "request-id: req_s")
        half = len(reply.body) // 2
        await peer.stream.send(head(*names, status=f"{reply.status} Said") + reply.body[:half])
        await peer.stream.send(reply.body[half:])

    async def one(engine: Engine, case: Case) -> None:
        events, result = await watch(engine, request_for(case), Lossless(3) if case.number % 2 else None)
        try:
            assert_sound(events, result)
        except Exception as exc:
            faults.append(f"{case}: {reason_of(exc)}")

    async with serving(serve) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=f"http://127.0.0.1:{server.port}")
        async with Engine(model, max_concurrency=TOGETHER, retry=TWICE) as engine:
            for batch in in_batches(cases):
                with anyio.fail_after(SECONDS):
                    async with anyio.create_task_group() as group:
                        for case in batch:
                            group.start_soon(one, engine, case)
                    assert (await engine.submit("still good").wait()).state == "complete"
            assert_at_rest(engine)
    assert not faults, "\n".join(faults)


# -- through a run

# What says that no request could succeed stops a run, as it should.
STOPS = ("error 401", "error 404", "gateway, one message")


def for_a_run(cases: Sequence[Case]) -> list[Case]:
    return list({case.number: case for case in cases if case.where not in STOPS}.values())


async def test_a_run_goes_on(tmp_path: Path) -> None:
    # All values in a few places that are written down, and some of everything.
    telling = [
        case
        for case in all_cases()
        if (case.where, case.place)
        in (
            ("stream[0] message_start", ".message.model"),
            ("stream[28] message_delta", ".delta.stop_reason"),
            ("stream[28] message_delta", ".usage.output_tokens"),
            ("error event after words", ".error.type"),
        )
    ]
    await run_through([*telling, *quick_cases()[::12]], tmp_path / "out.jsonl")


@pytest.mark.slow
async def test_a_run_goes_on_whatever_any_field_is(tmp_path: Path) -> None:
    await run_through(all_cases()[::7], tmp_path / "out.jsonl")


async def run_through(cases: Sequence[Case], output: Path) -> None:
    """A run of these; the same again, which tries what may pass again; and what `report` says of them."""
    cases = for_a_run(cases)
    good = [StreamRequest("a good", custom_id="good"), StreamRequest("a beta", custom_id="beta", betas=BETAS)]
    requests = [*good, *map(request_for, cases)]
    kinds: list[Counter[str]] = []
    faults: dict[str, str] = {}
    once = RetryPolicy(max_attempts=1)
    for told_in in ("first", "second"):
        told_events = output.with_name(told_in)
        served = served_for(cases)
        async with engine_served(served, max_concurrency=16, retry=once) as engine:
            async with open_run(engine, requests, output, stream_events=str(told_events)) as run:
                with anyio.fail_after(SECONDS * 4):
                    _ = [result async for result in run]
            assert_at_rest(engine)
        written = output.read_bytes().split(b"\n")
        assert written.pop() == b""
        lines: list[Any] = []
        for line in written:
            try:
                lines.append(strictly(line))
            except (AssertionError, ValueError, RecursionError) as exc:
                lines.append(json.loads(line))
                faults[lines[-1]["custom_id"]] = reason_of(exc)
        assert Counter(line["custom_id"] for line in lines) == Counter(str(each.custom_id) for each in requests)
        for told in told_events.iterdir():
            for line in told.read_bytes().split(b"\n")[:-1]:
                try:
                    strictly(line)
                except (AssertionError, ValueError, RecursionError) as exc:
                    faults[f"an event of {told.name}"] = reason_of(exc)
        kinds.append(Counter(line["result"]["type"] for line in lines))
        ended = {line["custom_id"]: line["result"]["type"] for line in lines}
        assert (ended["good"], ended["beta"]) == ("succeeded", "succeeded")
    assert kinds[0] == kinds[1]
    page = output.with_suffix(".html")
    for options in ([], ["--json"], ["--html", str(page)]):
        done = await anyio.to_thread.run_sync(
            lambda options=options: CliRunner().invoke(app, ["report", str(output), *options])
        )
        assert done.exit_code == 0, done.output
        assert all(char.isprintable() or char == "\n" for char in done.stdout)
        if options == ["--json"]:
            assert json.loads(done.stdout)["totals"]["endings"] == dict(kinds[1])
    by_name = {case.name: case for case in cases}
    assert not faults, "\n".join(f"{by_name.get(name, name)}: {fault}" for name, fault in faults.items())
