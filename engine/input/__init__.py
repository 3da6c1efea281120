"""The input of a run: files of requests or of rows, read, checked, and turned into requests.

What a file is shows in its first bytes, never in its name alone.
"""

from .formats import InputError
from .invalid import Invalid, InvalidRequestsError
from .numbered import Beside, Numbered
from .pipe import RequestPipe
from .reading import Columns
from .request_file import RequestFile, read_requests

__all__ = [
    "Beside",
    "Columns",
    "InputError",
    "Invalid",
    "InvalidRequestsError",
    "Numbered",
    "RequestFile",
    "RequestPipe",
    "read_requests",
]
