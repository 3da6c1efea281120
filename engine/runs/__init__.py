"""Runs: a file of requests in, a file of results out, both in the format of Message Batches.

A run that was stopped continues from its journal; `resume` says how.
"""

from .again import RunAgain
from .figures import Failure, Figures
from .formats import InputError
from .input import RequestFile, read_requests
from .invalid import Invalid, InvalidRequestsError
from .output import OutputError
from .pipe import RequestPipe
from .run import Run, RunStopped, Source, open_run
from .stopping import StopReason
from .stores import Resumed
from .totals import Totals

__all__ = [
    "Failure",
    "Figures",
    "InputError",
    "Invalid",
    "InvalidRequestsError",
    "OutputError",
    "RequestFile",
    "RequestPipe",
    "Resumed",
    "Run",
    "RunAgain",
    "RunStopped",
    "Source",
    "StopReason",
    "Totals",
    "open_run",
    "read_requests",
]
