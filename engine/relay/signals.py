"""Servers are told to stop by a signal, and then wait for open responses before they tell the app. So a hub listens to
the signal too, and hands it on."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["SignalWatch"]

_SIGNALS = ("SIGTERM", "SIGINT")


class SignalWatch:
    """Calls `told` for each signal to stop, before whoever listened till now is called.

    Only where somebody does listen, as servers do: otherwise the signal ends the process, as it should. Signals can be
    listened to in the main thread alone; elsewhere nothing happens.
    """

    def __init__(self, told: Callable[[], object]) -> None:
        self._told = told
        self._before: dict[int, Any] = {}

    def begin(self) -> None:
        """Listens from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in _SIGNALS:
            number = getattr(signal, name)
            before = signal.getsignal(number)
            if callable(before) and before is not signal.default_int_handler:
                self._before[number] = before
                signal.signal(number, self._signalled)

    def end(self) -> None:
        """Listens no more. A handler that somebody else has set meanwhile stays."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._signalled:
                signal.signal(number, before)
        self._before.clear()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._told()
        self._before[number](number, frame)
