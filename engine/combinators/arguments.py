"""What combinators are given, checked when they are called. No error shows a request."""

from collections.abc import AsyncIterable, Iterable, Mapping
from inspect import iscoroutine
from typing import get_args

from ...actors.handle import StreamHandle
from ...actors.stream import StreamRequest, as_given, check_number
from .host import Until

__all__ = ["check_after", "check_limit", "check_requests", "check_until"]


def check_requests(requests: object, *, at_once: bool = False) -> None:
    """Raises `TypeError` for what is no iterable of requests: one request alone is an iterable too, a string of its
    letters and a mapping of its keys. `at_once` allows no asynchronous iterable."""
    kind = type(requests).__name__
    if isinstance(requests, str | bytes | Mapping | StreamRequest):
        raise TypeError(f"requests is an iterable of requests, not one {kind}: put it into a list")
    if iscoroutine(requests):
        requests.close()  # else Python warns that it was never awaited, which is what we say
        raise TypeError("requests is an iterable of requests, not a coroutine: await it first")
    if isinstance(requests, StreamHandle) or type(requests).__name__.endswith("Context"):
        raise TypeError(f"requests is an iterable of requests, not a {kind}: the engine starts the streams itself")
    if at_once and isinstance(requests, AsyncIterable) and not isinstance(requests, Iterable):
        raise TypeError("a race starts all requests at once: give it a list, as in [one async for one in requests]")
    if not isinstance(requests, Iterable | AsyncIterable):
        raise TypeError(f"requests is an iterable of requests, not a {kind}")


def check_limit(limit: object) -> None:
    """Raises unless it is a whole number, at least 1, or None."""
    if limit is not None:
        check_number("limit is at least 1, or None", limit, least=1, whole=True)


def check_after(after: object) -> None:
    """Raises unless it is a number of seconds, or None."""
    if after is not None:
        check_number("after is a number of seconds, 0 or more, or None", after, least=0, infinite=True)


def check_until(until: object) -> None:
    """Raises `ValueError` unless it says what wins a race."""
    if until not in get_args(Until):
        raise ValueError(f'until is "first_content" or "complete", not {as_given(until)}')
