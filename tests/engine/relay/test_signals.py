"""Hubs that listen to signals hand them on, in whatever order they come and go."""

import itertools
import signal
import sys
from collections.abc import Generator
from types import FrameType

import pytest

from manystream.engine.relay.signals import SignalWatch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


class Server:
    """What listens first, as a server does."""

    def __init__(self) -> None:
        self.heard = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.heard += 1


@pytest.fixture
def server() -> Generator[Server]:
    made = Server()
    before = signal.signal(signal.SIGTERM, made.handle)
    yield made
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_watches_end_in_any_order(order: tuple[int, ...], server: Server) -> None:
    heard: list[int] = []
    watches = [SignalWatch(lambda number=number: heard.append(number)) for number in range(3)]
    for watch in watches:
        watch.begin()
    left = set(range(3))
    for number in order:
        watches[number].end()
        left.discard(number)
        server.heard = 0
        heard.clear()
        signal.raise_signal(signal.SIGTERM)
        assert sorted(heard) == sorted(left)
        assert server.heard == 1
    assert signal.getsignal(signal.SIGTERM) == server.handle  # and nothing of the hubs is held any more


def test_a_handler_that_was_set_meanwhile_stays_and_reaches_the_server(server: Server) -> None:
    watch = SignalWatch(lambda: None)
    watch.begin()
    wrapped = signal.getsignal(signal.SIGTERM)
    assert callable(wrapped)

    def handle(number: int, frame: FrameType | None) -> None:
        wrapped(number, frame)

    signal.signal(signal.SIGTERM, handle)
    watch.end()
    assert signal.getsignal(signal.SIGTERM) is handle
    signal.raise_signal(signal.SIGTERM)
    assert server.heard == 1
