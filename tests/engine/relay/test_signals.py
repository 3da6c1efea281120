"""A hub hears of the signal to stop and keeps it from nobody, in whatever order hubs come and go."""

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import pytest

from manystream.engine.relay.signals import SignalWatch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture
def set_handler() -> Generator[Callable[[Any], None]]:
    before = signal.getsignal(signal.SIGTERM)

    def set_to(handler: Any) -> None:
        signal.signal(signal.SIGTERM, handler)

    yield set_to
    signal.signal(signal.SIGTERM, before)


def test_both_hear_of_it_and_the_handler_is_there_again_afterwards(set_handler: Callable[[Any], None]) -> None:
    heard: list[str] = []

    def server(number: int, frame: object) -> None:
        heard.append("server")

    set_handler(server)
    watch = SignalWatch(lambda: heard.append("hub"))
    watch.begin()
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["hub", "server"]
    watch.end()
    assert signal.getsignal(signal.SIGTERM) is server


def test_a_handler_that_came_later_stays(set_handler: Callable[[Any], None]) -> None:
    def earlier(number: int, frame: object) -> None: ...

    def later(number: int, frame: object) -> None: ...

    set_handler(earlier)
    watch = SignalWatch(lambda: None)
    watch.begin()
    set_handler(later)
    watch.end()
    assert signal.getsignal(signal.SIGTERM) is later


def test_where_nobody_listens_the_signal_ends_the_process_as_before(set_handler: Callable[[Any], None]) -> None:
    set_handler(signal.SIG_DFL)
    watch = SignalWatch(lambda: None)
    watch.begin()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    watch.end()


def test_elsewhere_than_in_the_main_thread_nothing_happens(set_handler: Callable[[Any], None]) -> None:
    def server(number: int, frame: object) -> None: ...

    set_handler(server)
    watch = SignalWatch(lambda: None)
    thread = threading.Thread(target=watch.begin)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is server


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
