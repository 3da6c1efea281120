"""A store from what a hub was given: one of ours, or one in a word."""

from typing import Any

from ....actors.stream import as_given
from .contract import Store
from .sqlite import SQLiteStore

__all__ = ["store_of"]


def store_of(given: Any) -> Store | None:
    """The store that was meant; None for memory alone.

    `"sqlite:PATH"` is a `SQLiteStore`, the URL of a Redis server a `RedisStore`. Raises `TypeError` and `ValueError`
    for what is no store, and `ImportError` for Redis without redis-py.
    """
    if given is None or (not isinstance(given, str) and hasattr(given, "claim")):
        return given
    if not isinstance(given, str):
        raise TypeError(f'store is "sqlite:PATH", "redis://HOST", a store or None, not {as_given(given)}')
    if given.startswith("sqlite:") and given != "sqlite:":
        return SQLiteStore(given.removeprefix("sqlite:"))
    if given.startswith(("redis:", "rediss:", "unix:")):
        from .redis import RedisStore

        return RedisStore(given)
    raise ValueError('store is "sqlite:PATH" or the URL of a Redis server, and this one is neither')  # it may be secret
