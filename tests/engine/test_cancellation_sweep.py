"""Cancelled at every step of every task: whatever runs, and however it is cancelled, what comes out is the caller's own
cancellation, each stream has the ending it ought to have, and nothing is left.

The ordinary suite tries a few points of every operation, always the same ones. `pytest -m slow -s` tries all, and
prints how many were tried and how many were wrong.
"""

import gc
import random
import ssl
from collections import Counter
from collections.abc import Iterator

import pytest
import trustme
from tests.support.peer import FullPort, Peer
from tests.support.peer_http2 import Http2Peer
from tests.support.steps import LOOPS, WHERES, Loop, Point
from tests.support.sweep import Case, Link, Operation, Outcome, Servers, Way, perform
from tests.support.sweep_operations import OPERATIONS
from tests.support.sweep_ways import WAYS

A_FEW = 3  # ways of each operation, on each loop, and points of each of them
BEYOND = 3  # steps after the last one that was seen
PLAIN, SECURE, SHARED = Link(), Link(secure=True), Link(secure=True, http2=True)
LINKS = [
    *(PLAIN, Link(warm=True), SECURE, Link(secure=True, warm=True)),
    *(SHARED, Link(secure=True, warm=True, http2=True)),
    *(Link(client="httpx2"), Link(client="httpx")),
]

on_loops = pytest.mark.parametrize("loop", LOOPS)
operations = pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)  # pyright: ignore[reportUnknownMemberType]
    choosing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    choosing.set_alpn_protocols(["h2"])
    for context in (theirs, choosing):
        authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    with (
        pytest.MonkeyPatch.context() as patch,
        Peer() as plain,
        Peer(theirs) as secure,
        Http2Peer(choosing) as http2,
        Peer(mute=True) as mute,
        FullPort() as full,
    ):
        patch.setattr("manystream.engine.api.shared_client._ssl_context", lambda: ours)
        servers = Servers(plain, secure, http2, mute, full, ours)
        for loop in LOOPS:
            for link in (PLAIN, SHARED):  # what a loop opens once and keeps, and what is imported once
                perform(Case(loop, OPERATIONS[0], WAYS[0], link, None), servers)
        yield servers


@pytest.fixture(autouse=True, scope="module")
def little_to_collect(servers: Servers) -> Iterator[None]:
    """What was there before these tests, all imports among it, is not looked at by each collection: that would take
    most of their time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def table() -> Iterator[Counter[tuple[str, Loop, str]]]:
    """Points tried and wrong by operation and loop, printed at the end."""
    counts: Counter[tuple[str, Loop, str]] = Counter()
    yield counts
    print("\n" + "operation".ljust(22) + "".join(f"{loop:>20}" for loop in LOOPS) + "   (tried / wrong)")  # noqa: T201
    for name in [*dict.fromkeys(operation for operation, _, _ in counts), "all"]:
        row = ""
        for loop in LOOPS:
            tried, wrong = (
                sum(n for (other, at, kind), n in counts.items() if at == loop and kind == k and name in (other, "all"))
                for k in ("tried", "wrong")
            )
            row += f"{tried} / {wrong}".rjust(20)
        print(name.ljust(22) + row)  # noqa: T201


def links(operation: Operation) -> list[Link]:
    """The connections that make a difference to it."""
    if operation.server == "full":
        return [link for link in LINKS if (link.http2 or not link.secure) and not link.warm]
    if operation.server == "mute":
        return [SECURE, SHARED]
    if operation.name in ("stream", "upload", "no head", "no end"):
        return LINKS
    if operation.name == "enter and leave":
        return [PLAIN]
    return [link for link in LINKS if link.client == "ours"]


def ways(operation: Operation, link: Link, loop: Loop) -> list[Way]:
    """The ways in which it can be cancelled."""
    found: list[Way] = []
    for way in WAYS:
        if loop not in way.loops:
            continue
        if operation.name in ("enter and leave", "drain") and way.place != "engine":
            continue
        if way.name == "connect" and (link.warm or link.client != "ours"):
            continue  # nothing is connected, or not by us
        if way.name == "connect" and operation.stalls and operation.server == "peer":
            continue  # it waits elsewhere
        if way.name == "first event" and operation.name.startswith(("no end", "leave")):
            continue  # it has come
        found.append(way)
    return found


def points(seen: int, loop: Loop) -> list[Point]:
    """All moments of an operation that was seen to take so many steps."""
    return [Point(step, where) for step in range(1, seen + BEYOND + 1) for where in WHERES[loop]]


def steps_of(operation: Operation, way: Way, link: Link, loop: Loop, servers: Servers) -> Outcome:
    """How it goes when nobody cancels it, or only when it is at rest."""
    return perform(Case(loop, operation, way, link, None), servers)


def report(outcomes: list[Outcome]) -> None:
    """Fails with what was wrong, the first few of it in full."""
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    lines = [f"{outcome.case}: {what}" for outcome in wrong for what in outcome.wrong]
    assert not wrong, f"{len(wrong)} of {len(outcomes)} are wrong\n" + "\n".join(lines[:8])


@on_loops
@operations
def test_at_a_few_steps(operation: Operation, loop: Loop, servers: Servers) -> None:
    chance = random.Random(f"{operation.name} {loop}")
    outcomes: list[Outcome] = []
    for _ in range(A_FEW):
        link = chance.choice(links(operation))
        way = chance.choice(ways(operation, link, loop))
        uncancelled = steps_of(operation, way, link, loop, servers)
        moments = chance.choices(points(uncancelled.steps, loop), k=A_FEW)
        outcomes += [uncancelled, *(perform(Case(loop, operation, way, link, point), servers) for point in moments)]
    report(outcomes)


@pytest.mark.slow
@on_loops
@operations
def test_at_every_step(
    operation: Operation, loop: Loop, servers: Servers, table: Counter[tuple[str, Loop, str]]
) -> None:
    outcomes: list[Outcome] = []
    for link in links(operation):
        for way in ways(operation, link, loop):
            uncancelled = steps_of(operation, way, link, loop, servers)
            outcomes.append(uncancelled)
            outcomes += [
                perform(Case(loop, operation, way, link, point), servers) for point in points(uncancelled.steps, loop)
            ]
    table[operation.name, loop, "tried"] += len(outcomes)
    table[operation.name, loop, "wrong"] += sum(bool(outcome.wrong) for outcome in outcomes)
    report(outcomes)
