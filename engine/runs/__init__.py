"""Runs: a file of requests in, a file of results out, both in the format of Message Batches.

A run that was stopped continues from its journal; `resume` says how.
"""

from .figures import Failure, Figures
from .formats import InputError
from .input import RequestFile, read_requests
from .invalid import Invalid, InvalidRequestsError
from .output import OutputError
from .pipe import RequestPipe
from .run import Run, RunStopped, Source, open_run
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
    "RunStopped",
    "Source",
    "Totals",
    "open_run",
    "read_requests",
]
