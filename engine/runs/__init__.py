"""Runs: a file of requests in, a file of results out, both in the format of Message Batches.

A run that was stopped continues from its journal; `resume` says how.
"""

from .figures import Figures
from .formats import InputError
from .input import RequestFile, read_requests
from .invalid import InvalidRequestsError
from .output import OutputError
from .run import Run, RunStopped, open_run

__all__ = [
    "Figures",
    "InputError",
    "InvalidRequestsError",
    "OutputError",
    "RequestFile",
    "Run",
    "RunStopped",
    "open_run",
    "read_requests",
]
