"""A simulator of the Messages API: a real HTTP server on loopback, scripted or generating its answers."""

from .ledger import Outcome, RecordedRequest
from .script import Cut, CutHow, Fail, Point, ScriptStep, Stall
from .server import ListenError
from .simulator import InThread, Serving, Simulator

__all__ = [
    "Cut",
    "CutHow",
    "Fail",
    "InThread",
    "ListenError",
    "Outcome",
    "Point",
    "RecordedRequest",
    "ScriptStep",
    "Serving",
    "Simulator",
    "Stall",
]
