"""The event loop of the commands: uvloop if it is installed, since the process is ours alone."""

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

__all__ = ["run"]

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], backend: str) -> T:
    """Runs `main` on asyncio, with uvloop if it is installed, or on trio. Returns what it returns."""
    options: dict[str, Any] = {}
    if backend == "asyncio" and find_spec("uvloop") is not None:
        options["use_uvloop"] = True
    return anyio.run(main, backend=backend, backend_options=options)
