"""The options of an event loop that is ours alone: uvloop if it is installed."""

from importlib.util import find_spec
from typing import Any

__all__ = ["loop_options"]


def loop_options(backend: str) -> dict[str, Any]:
    """The `backend_options` of anyio for a loop that nobody else has made."""
    return {"use_uvloop": True} if backend == "asyncio" and find_spec("uvloop") is not None else {}
