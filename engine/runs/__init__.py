"""Runs: a file of requests in, a file of results out, both in the format of Message Batches.

A run that was stopped continues from its journal; `resume` says how.
"""

from .entries import InputError
from .figures import Figures
from .input import RequestFile, read_requests
from .output import OutputError
from .run import Run, RunStopped, open_run

__all__ = [
    "Figures",
    "InputError",
    "OutputError",
    "RequestFile",
    "Run",
    "RunStopped",
    "open_run",
    "read_requests",
]
