"""The event loops that all is tried on: asyncio's own, uvloop where there is one, and trio."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import trio

__all__ = ["ASYNCIO_RUNS", "BACKENDS", "RUNS", "Main", "run_asyncio", "run_trio", "run_uvloop"]

Main = Callable[[], Coroutine[Any, Any, None]]

BACKENDS: dict[str, Any] = {"asyncio": "asyncio", "trio": "trio", "uvloop": ("asyncio", {"use_uvloop": True})}
"""What anyio's tests run on, by name."""


def run_asyncio(main: Main) -> None:
    asyncio.run(main())


def run_uvloop(main: Main) -> None:
    import uvloop

    uvloop.run(main())


def run_trio(main: Main) -> None:
    trio.run(main)


ASYNCIO_RUNS = [run_asyncio] if sys.platform == "win32" else [run_asyncio, run_uvloop]
"""What runs an app on asyncio."""
RUNS = [*ASYNCIO_RUNS, run_trio]
"""What runs an app."""
