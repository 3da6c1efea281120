"""Many streams: admission, HTTP clients, combinators, runs, the command line and the simulator.

The names are imported when they are first used: the command's help and the pytest fixture need none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .admission import EngineBusy, Group, Limits
    from .api import AnthropicModel, LimitsError, MissingCredentialsError
    from .combinators import CompletionChannel, MergeChannel, Stream
    from .engine import Engine
    from .prices import Price
    from .runs import (
        Figures,
        InputError,
        InvalidRequestsError,
        OutputError,
        RequestFile,
        Run,
        RunStopped,
        open_run,
        read_requests,
    )
    from .simulator import Simulator
    from .stats import EngineStats, LimitStats, PoolStats, WaitingRequest

_HOMES = {
    "AnthropicModel": "api",
    "CompletionChannel": "combinators",
    "Engine": "engine",
    "EngineBusy": "admission",
    "EngineStats": "stats",
    "Group": "admission",
    "LimitStats": "stats",
    "Limits": "admission",
    "LimitsError": "api",
    "MergeChannel": "combinators",
    "MissingCredentialsError": "api",
    "PoolStats": "stats",
    "Price": "prices",
    "Simulator": "simulator",
    "Stream": "combinators",
    "WaitingRequest": "stats",
    "Figures": "runs",
    "InputError": "runs",
    "InvalidRequestsError": "runs",
    "OutputError": "runs",
    "RequestFile": "runs",
    "Run": "runs",
    "RunStopped": "runs",
    "open_run": "runs",
    "read_requests": "runs",
}

__all__ = [
    "AnthropicModel",
    "CompletionChannel",
    "Engine",
    "EngineBusy",
    "EngineStats",
    "Figures",
    "Group",
    "InputError",
    "InvalidRequestsError",
    "LimitStats",
    "Limits",
    "LimitsError",
    "MergeChannel",
    "MissingCredentialsError",
    "OutputError",
    "PoolStats",
    "Price",
    "RequestFile",
    "Run",
    "RunStopped",
    "Simulator",
    "Stream",
    "WaitingRequest",
    "open_run",
    "read_requests",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
