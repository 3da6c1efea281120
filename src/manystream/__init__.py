"""manystream: hundreds to thousands of Claude streams in one process, on asyncio and on trio.

The names below come from `manystream.actors` (one stream) and `manystream.engine` (many), and are imported when they
are first used, so that `import manystream` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .actors import *  # noqa: F403
    from .engine import *  # noqa: F403

__version__ = "0.1.0"

_FACES = ("actors", "engine")


if not TYPE_CHECKING:  # a type checker that saw it would take every name

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return _names()
        if name in _FACES:
            return import_module(f".{name}", __name__)
        if not name.startswith("_"):
            for face in _FACES:
                module = import_module(f".{face}", __name__)
                if name in module.__all__:
                    value = getattr(module, name)
                    globals()[name] = value
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    ours = [name for name in globals() if name.startswith("__")]
    return sorted({*ours, *_FACES, *_names()})


def _names() -> list[str]:
    return [name for face in _FACES for name in import_module(f".{face}", __name__).__all__]
