"""Where the socket lies by which a run can be watched: in a folder that is ours alone, under a name that is made from
the results file's real path, so that whoever names the results finds it.

A socket's path has to be short: 103 bytes everywhere. Where the environment's folders are deeper, `/tmp` is left.
"""

import os
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256

__all__ = ["found_sockets", "new_socket"]

_MOST_BYTES = 103  # macOS has room for 104 and Linux for 108, the last zero included
_OURS = "manystream"


def new_socket(output: str) -> str | None:
    """The path for the socket of a run that writes `output`. Its folder exists. None where there is no safe place."""
    for path in _paths(output):
        folder = os.path.dirname(path)
        with suppress(OSError):
            os.mkdir(folder, 0o700)
        if _is_ours_alone(folder):
            return path
    return None


def found_sockets(output: str) -> list[str]:
    """The paths that there are of sockets of runs that write `output`, or did until they were killed."""
    return [path for path in _paths(output) if _is_ours_alone(os.path.dirname(path)) and _is_our_socket(path)]


def _paths(output: str) -> list[str]:
    """Where a socket may lie, the best place first. The environment may differ between two terminals."""
    name = f"{sha256(os.fsencode(os.path.realpath(output))).hexdigest()[:24]}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    private = f"{_OURS}-{os.geteuid()}"
    folders = [os.path.join(runtime, _OURS)] if os.path.isabs(runtime) else []
    folders += [os.path.join(tempfile.gettempdir(), private), os.path.join("/tmp", private)]
    paths = [os.path.join(folder, name) for folder in dict.fromkeys(folders)]
    return [path for path in paths if len(os.fsencode(path)) <= _MOST_BYTES]


def _is_ours_alone(folder: str) -> bool:
    """Whether nobody else could have put anything there: a link's target might change."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _is_our_socket(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
