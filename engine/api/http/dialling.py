"""Tells a stream's actor that its request waits for a connection: nothing of it has been sent meanwhile."""

from collections.abc import Generator
from contextlib import contextmanager

from ....actors.response import told_of_dialling

__all__ = ["dialling"]


@contextmanager
def dialling() -> Generator[None]:
    """What is done within it is to get a connection."""
    told = told_of_dialling.get(None)
    tell = None if told is None else told()
    if tell is None:
        yield
        return
    tell(True)
    try:
        yield
    finally:
        tell(False)
