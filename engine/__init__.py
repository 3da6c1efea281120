"""Many streams: admission, HTTP clients, combinators, runs, the command line and the simulator."""

from .admission import EngineBusy
from .combine import MergeChannel
from .engine import Engine, EngineStats
from .model import AnthropicModel, MissingCredentialsError
from .stream import Stream

__all__ = [
    "AnthropicModel",
    "Engine",
    "EngineBusy",
    "EngineStats",
    "MergeChannel",
    "MissingCredentialsError",
    "Stream",
]
