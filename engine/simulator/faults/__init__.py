"""What goes wrong on purpose: scripted faults and chances, and the pace of an answer."""

from .chance import NO_FAULTS, Chance, Faults
from .misbehaviour import HTML_PAGE, announced_length, strike_body, trickle
from .performance import Tempo, perform_body, perform_events
from .script import (
    Bytes,
    Cut,
    CutHow,
    Fail,
    Fault,
    Point,
    QueuedStep,
    Script,
    ScriptStep,
    Slow,
    Stall,
    check_steps,
    said,
)

__all__ = [
    "HTML_PAGE",
    "NO_FAULTS",
    "Bytes",
    "Chance",
    "Cut",
    "CutHow",
    "Fail",
    "Fault",
    "Faults",
    "Point",
    "QueuedStep",
    "Script",
    "ScriptStep",
    "Slow",
    "Stall",
    "Tempo",
    "announced_length",
    "check_steps",
    "perform_body",
    "perform_events",
    "said",
    "strike_body",
    "trickle",
]
