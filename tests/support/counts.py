"""What the process holds: its tasks and its open files."""

import asyncio
import os
from pathlib import Path

from anyio.lowlevel import current_token

__all__ = ["open_files", "tasks"]


def tasks() -> int:
    """How many tasks the event loop has."""
    if isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        return len(asyncio.all_tasks())
    import trio

    return trio.lowlevel.current_statistics().tasks_living


def open_files() -> int:
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.exists():
            return len(os.listdir(folder))
    return 0
