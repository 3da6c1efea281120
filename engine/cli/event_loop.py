"""Which event loop the commands run in: uvloop where it is installed, since here nobody else has a say in it."""

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

__all__ = ["run"]

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], backend: str) -> T:
    """Runs `main` on asyncio, by uvloop if it is installed, or on trio."""
    options: dict[str, Any] = {}
    if backend == "asyncio" and find_spec("uvloop") is not None:
        options["use_uvloop"] = True
    return anyio.run(main, backend=backend, backend_options=options)
