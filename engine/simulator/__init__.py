"""A simulator of the Messages API: a real HTTP server on loopback, scripted or generating its answers."""

from .faults import Bytes, Cut, CutHow, Fail, Faults, Point, ScriptStep, Slow, Stall
from .scenario import Scenario, ScenarioError, read_scenario
from .served import ListenError, Outcome, RecordedRequest, Totals
from .service import Cache, Condition, Conditions, Limits, Overload, Ramp, SpendLimit
from .simulator import InThread, Serving, Simulator

__all__ = [
    "Bytes",
    "Cache",
    "Condition",
    "Conditions",
    "Cut",
    "CutHow",
    "Fail",
    "Faults",
    "InThread",
    "Limits",
    "ListenError",
    "Outcome",
    "Overload",
    "Point",
    "Ramp",
    "RecordedRequest",
    "Scenario",
    "ScenarioError",
    "ScriptStep",
    "Serving",
    "Simulator",
    "Slow",
    "SpendLimit",
    "Stall",
    "Totals",
    "read_scenario",
]
