"""The event loop of the commands: uvloop if it is installed, since the process is ours alone."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from ..own_loop import loop_options
from .exported import exported

__all__ = ["run"]

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], backend: str) -> T:
    """Runs `main` on asyncio, with uvloop if it is installed, or on trio; traced if the environment asks for that.
    Returns what it returns."""
    with exported():
        return anyio.run(main, backend=backend, backend_options=loop_options(backend))
