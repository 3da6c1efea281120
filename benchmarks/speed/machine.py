"""What the operating system offers for measuring: cores of one's own, many open sockets, how much memory is in use."""

import contextlib
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

__all__ = ["allow_many_files", "describe", "free_cores", "pin", "resident_bytes"]

_PACKAGES = (
    "manystream",
    "anthropic",
    "httpx2",
    "httptools",
    "msgspec",
    "anyio",
    "trio",
    "uvloop",
    "aiohttp",
    "pydantic-ai-slim",
    "pydantic",
    "instructor",
)


def free_cores() -> tuple[int | None, int | None]:
    """A core for the client and one for the server; None where cores can't be chosen, or there is but one."""
    if sys.platform != "linux":
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[-1]) if len(cores) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keeps this process on one core."""
    if core is not None and sys.platform == "linux":
        os.sched_setaffinity(0, {core})


def allow_many_files() -> None:
    """Lets this process open as many sockets as the system allows."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def resident_bytes() -> int:
    """The memory that this process has in use; where the system doesn't tell (it does on Linux), the most it had."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def describe() -> dict[str, object]:
    """The date, the machine and the versions, for the figures to be understood by."""
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
