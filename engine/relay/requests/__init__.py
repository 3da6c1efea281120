"""Browsers' bodies as requests: the last user message alone is taken, whatever else a browser says. No I/O."""

from .asked import Asked
from .reading import MAX_BODY, read_body
from .refused import BodyRefused

__all__ = ["MAX_BODY", "Asked", "BodyRefused", "read_body"]
