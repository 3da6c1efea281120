"""A Redis server for a test, on a socket of the file system."""

import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["NEEDS_REDIS", "redis_server"]

NEEDS_REDIS = pytest.mark.skipif(
    find_spec("redis") is None or shutil.which("redis-server") is None,
    reason="there is no redis-server, or no redis-py",
)


@contextmanager
def redis_server(folder: Path) -> Generator[str]:
    """Runs one, which keeps nothing; gives its URL."""
    socket = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not socket.exists():
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()
