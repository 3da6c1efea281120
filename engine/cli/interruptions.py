"""The signals that people and systems send a run, told in the order in which they come.

A signal that is ignored when the process starts stays ignored: `nohup` does that with SIGHUP, and a shell with the
SIGINT of what it starts in the background.
"""

import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import anyio

__all__ = ["SIGHUP", "STOP", "default_again", "interruptions", "stop_process"]

SIGHUP: int | None = getattr(signal, "SIGHUP", None)
"""The terminal is gone; None on Windows."""
STOP: int | None = getattr(signal, "SIGTSTP", None)
"""Ctrl-Z; None on Windows."""

_ENDING = (signal.SIGINT, signal.SIGTERM, SIGHUP)


def _wanted() -> list[signal.Signals]:
    numbers = [number for number in (*_ENDING, STOP) if number is not None]
    return [signal.Signals(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def interruptions() -> Generator[AsyncIterator[signal.Signals] | None]:
    """The signals, inside the block; None where the event loop can't receive any, as on Windows."""
    try:
        receiver = anyio.open_signal_receiver(*_wanted())
        signals = receiver.__enter__()
    except NotImplementedError:
        yield None
        return
    try:
        yield signals
    finally:
        receiver.__exit__(None, None, None)


def default_again() -> None:
    """From now on a signal that ends a run ends the process on the spot."""
    for number in _ENDING:
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def stop_process() -> None:
    """Stops this process, as Ctrl-Z does. Returns when it goes on."""
    assert STOP is not None
    handler = signal.signal(STOP, signal.SIG_DFL)
    try:
        signal.raise_signal(STOP)
    finally:
        signal.signal(STOP, handler)
