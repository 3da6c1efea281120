"""Runs: a file of requests in, a file of results out, both as Message Batches have them."""

from .figures import Figures
from .input import InputError, RequestFile, read_requests
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
