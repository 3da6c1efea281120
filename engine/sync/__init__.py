"""The engine for synchronous code: its event loop runs in a thread of its own, which other threads ask for work."""

from .incoming import SyncResults
from .sync_engine import SyncEngine
from .sync_stream import SyncHandle, SyncItemStream, SyncPartialStream, SyncStream, SyncTextStream

__all__ = [
    "SyncEngine",
    "SyncHandle",
    "SyncItemStream",
    "SyncPartialStream",
    "SyncResults",
    "SyncStream",
    "SyncTextStream",
]
