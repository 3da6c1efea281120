"""The event loop of the commands: uvloop if it is installed, since the process is ours alone."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from ..own_loop import loop_options

__all__ = ["run"]

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], backend: str) -> T:
    """Runs `main` on asyncio, with uvloop if it is installed, or on trio. Returns what it returns."""
    return anyio.run(main, backend=backend, backend_options=loop_options(backend))
