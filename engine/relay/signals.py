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
        self._told: Callable[[], object] | None = told
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
        """Listens no more, and never again. A handler that somebody else has set meanwhile stays; if it calls this one,
        the signal is handed on as before."""
        self._told = None
        for number, before in self._before.items():
            if signal.getsignal(number) == self._signalled:
                signal.signal(number, self._still_listening(number, before))

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._told is not None:
            self._told()
        self._before[number](number, frame)

    @staticmethod
    def _still_listening(number: int, handler: Any) -> Any:
        """The handler, or if it is a watch's that has ended, the one before it that still listens."""
        while True:
            watch = getattr(handler, "__self__", None)
            if not isinstance(watch, SignalWatch) or watch._told is not None:
                return handler
            handler = watch._before[number]
