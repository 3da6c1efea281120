"""What one open connection is doing, as a plain value."""

from typing import Literal

import attrs

__all__ = ["ConnectionStats"]


@attrs.frozen
class ConnectionStats:
    """An open connection to a server, or to a proxy."""

    origin: str
    """Where it leads: scheme, host and port."""
    protocol: Literal["HTTP/1.1", "HTTP/2"]
    streams: int
    """How many responses are read on it: over HTTP/1.1 one, or none when it is idle."""
    limit: int
    """How many may be at once: over HTTP/2 what the server allows, 100 at most."""
    going_away: bool = False
    """Whether it gets no new streams, and ends with those it has: the server said so, or too many were cancelled."""
