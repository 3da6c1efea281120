"""Admission: who may run, and when. Plain objects without I/O, driven by time and by how the API answers."""

from .admission import Admission, EngineBusy
from .model_groups import ModelGroups
from .prompt import measure
from .settings import Group, Limits, Reason
from .ticket import Ticket

__all__ = [
    "Admission",
    "EngineBusy",
    "Group",
    "Limits",
    "ModelGroups",
    "Reason",
    "Ticket",
    "measure",
]
