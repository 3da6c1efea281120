"""Runs: requests in, a file of results out, in the format of Message Batches.

A run that was stopped continues from its journal; `resume` says how.
"""

from .again import RunAgain
from .figures import Failure, Figures
from .output import OutputError
from .run import Run, RunStopped, Source, open_run
from .stopping import StopReason
from .stores import Resumed
from .totals import Totals

__all__ = [
    "Failure",
    "Figures",
    "OutputError",
    "Resumed",
    "Run",
    "RunAgain",
    "RunStopped",
    "Source",
    "StopReason",
    "Totals",
    "open_run",
]
