"""`manystream serve`: the engine as a local gateway, for programs in any language that speak the Messages API."""

from .rules import Rules, is_loopback
from .server import Server

__all__ = ["Rules", "Server", "is_loopback"]
