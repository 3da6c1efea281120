"""A simulator of the Messages API: a real HTTP server on loopback, scripted or generating its answers."""

from .answers import Structured, Thinking, ToolUse
from .batches import Batches, BatchOperation, BatchOutcome, BatchStep, RecordedBatch, Scheduler
from .faults import Bytes, Cut, CutHow, Fail, Faults, Point, ScriptStep, Slow, Stall
from .scenario import Scenario, ScenarioError, read_scenario
from .served import ListenError, Outcome, RecordedRequest, Tally
from .service import Cache, Condition, Conditions, Overload, Ramp, ServiceLimits, SpendKind, SpendLimit
from .simulator import InThread, Serving, Simulator

__all__ = [
    "BatchOperation",
    "BatchOutcome",
    "BatchStep",
    "Batches",
    "Bytes",
    "Cache",
    "Condition",
    "Conditions",
    "Cut",
    "CutHow",
    "Fail",
    "Faults",
    "InThread",
    "ListenError",
    "Outcome",
    "Overload",
    "Point",
    "Ramp",
    "RecordedBatch",
    "RecordedRequest",
    "Scenario",
    "ScenarioError",
    "Scheduler",
    "ScriptStep",
    "ServiceLimits",
    "Serving",
    "Simulator",
    "Slow",
    "SpendKind",
    "SpendLimit",
    "Stall",
    "Structured",
    "Tally",
    "Thinking",
    "ToolUse",
    "read_scenario",
]
