"""Which HTTP/2 connection a stream gets, and when another one is made. No connection is."""

from collections.abc import Callable

import attrs
import pytest

from manystream.engine.api.http.origin import Origin


@attrs.define(eq=False)
class Link:
    load: int = 0
    limit: int = 100
    going: bool = False
    broke_http2: bool = False
    wants_http1: bool = False
    answered: bool = True

    @property
    def has_room(self) -> bool:
        return not self.going and self.load < self.limit


def origin_with(*links: Link) -> Origin[Link]:
    origin: Origin[Link] = Origin()
    for link in links:
        origin.finish(origin.begin(), link)
    return origin


@pytest.mark.parametrize(
    ("links", "chosen"),
    [
        ([], None),
        ([Link(3), Link(1), Link(2)], 1),
        ([Link(0, limit=0), Link(99)], 1),
        ([Link(7, limit=7), Link(100)], None),
        ([Link(0, going=True), Link(5)], 1),
        ([Link(8, limit=7), Link(3, limit=7)], 1),  # the limit was lowered meanwhile
    ],
)
def test_the_least_loaded_that_has_room(links: list[Link], chosen: int | None) -> None:
    assert origin_with(*links).choose() is (None if chosen is None else links[chosen])


def dials(origin: Origin[Link], requests: int) -> int:
    """How many connections are begun when so many requests come at once."""
    begun = 0
    for _ in range(requests):
        if origin.join() is None:
            origin.begin()
            begun += 1
    return begun


@pytest.mark.parametrize(
    ("known", "requests", "begun"), [(None, 100, 1), (None, 101, 2), (None, 300, 3), (7, 300, 43), (1, 3, 3), (0, 3, 3)]
)
def test_no_more_are_begun_than_the_requests_need(known: int | None, requests: int, begun: int) -> None:
    origin = origin_with() if known is None else origin_with(Link(known, limit=known))
    assert dials(origin, requests) == begun


def test_one_that_failed_can_be_begun_again() -> None:
    origin = origin_with()
    dial = origin.begin()
    assert origin.join() is dial
    origin.finish(dial, None)
    assert dial.done.is_set()
    assert origin.join() is None


def test_a_server_that_breaks_http2_three_times_in_a_row_is_spoken_to_in_http1() -> None:
    origin = origin_with()
    for link in (Link(broke_http2=True), Link(broke_http2=True), Link(), Link(broke_http2=True), Link(answered=False)):
        origin.remove(link)
    assert not origin.speaks_http1(0)
    origin.remove(Link(broke_http2=True))
    origin.remove(Link(broke_http2=True))
    assert origin.speaks_http1(0)


def wants(origin: Origin[Link]) -> None:
    origin.remove(Link(wants_http1=True))


def breaks(origin: Origin[Link]) -> None:
    for _ in range(3):
        origin.remove(Link(broke_http2=True))


@pytest.mark.parametrize("why", [Origin[Link].speak_http1, wants, breaks])
def test_after_an_hour_of_http1_http2_is_offered_once_more(why: Callable[[Origin[Link]], None]) -> None:
    origin = origin_with()
    assert [origin.speaks_http1(now) for now in (0, 10_000)] == [False, False]
    for begun in (20_000, 40_000):
        why(origin)
        hour = [origin.speaks_http1(begun + seconds) for seconds in (0, 1800, 3599, 3600, 3601)]
        assert hour == [True, True, True, False, False]


def test_one_failure_after_the_hour_is_enough() -> None:
    origin = origin_with()
    breaks(origin)
    assert [origin.speaks_http1(now) for now in (0, 3600)] == [True, False]
    origin.remove(Link(answered=False))  # it was lost, as any connection may be
    assert not origin.speaks_http1(3601)
    origin.remove(Link(broke_http2=True))
    assert origin.speaks_http1(3601)


def test_a_connection_that_wants_http1_and_is_still_open_gets_no_stream() -> None:
    origin = origin_with(Link(wants_http1=True))
    assert origin.speaks_http1(0)
