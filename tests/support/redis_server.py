"""A Redis server for a test, on a socket of the file system, and a network that is slow or fails on the way to it."""

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["NEEDS_REDIS", "Network", "network", "redis_server"]

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


class Network:
    """What carries bytes between clients and the server. To be changed from any thread."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        """Seconds that bytes take one way."""
        self.parted = False
        """Whether nothing gets through, either way. What was sent meanwhile comes late, as TCP sends it again."""
        self.url = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries what comes from the one to the other until it ends."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def deliver() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                while self.parted:  # noqa: ASYNC110  # another thread says so
                    await asyncio.sleep(0.02)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliver())
            while data := await reader.read(65536):
                under_way.put_nowait((loop.time() + self.delay, data))
            under_way.put_nowait((loop.time() + self.delay, b""))


@contextmanager
def network(url: str, delay: float) -> Generator[Network]:
    """A network to the server at this URL, which is another URL for clients; it runs in a thread of its own."""
    between, ready, over = Network(delay), threading.Event(), threading.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(url.removeprefix("unix://"))
        with suppress(asyncio.CancelledError):  # at the end; a server of asyncio's logs it otherwise
            await asyncio.gather(
                between.carry(reader, there[1]), between.carry(there[0], writer), return_exceptions=True
            )
        there[1].close()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        between.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await asyncio.to_thread(over.wait)
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield between
    finally:
        over.set()
        thread.join(30)
