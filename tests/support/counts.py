"""What the process holds: its tasks and its open files."""

import os
from pathlib import Path

import sniffio

__all__ = ["open_files", "tasks"]


def tasks() -> int:
    """How many tasks the event loop has."""
    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_statistics().tasks_living
    import asyncio

    return len(asyncio.all_tasks())


def open_files() -> int:
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.exists():
            return len(os.listdir(folder))
    return 0
