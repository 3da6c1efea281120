"""Which observers an engine has: those for what the app has set up by the time the engine is entered.

Logs go to structlog when that is configured, else to the standard library's logging; spans and metrics are made when
OpenTelemetry has a provider for them. A library that the app has not imported is not imported here either.
"""

import sys

from .logs import LogObserver, find_log
from .observer import Observer, Observers

__all__ = ["find_observers"]


def find_observers() -> Observers:
    """The observers of an engine that is entered now."""
    found: list[Observer] = [LogObserver(find_log())]
    if "opentelemetry" in sys.modules:
        try:
            from .traces import TraceObserver, is_set_up
        except ImportError:
            pass  # something else of that name
        else:
            if is_set_up():
                found.append(TraceObserver())
    return Observers(found)
