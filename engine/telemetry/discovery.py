"""Which observers an engine has: those for what the app has set up by the time the engine is entered.

Logs are written when structlog is configured; spans and metrics are made when OpenTelemetry has a provider for them. A
library that the app has not imported is not imported here either.
"""

import sys

from .observer import Observer, Observers

__all__ = ["find_observers"]


def find_observers() -> Observers:
    """The observers of an engine that is entered now."""
    found: list[Observer] = []
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        from .logs import LogObserver

        found.append(LogObserver())
    if "opentelemetry" in sys.modules:
        try:
            from .traces import TraceObserver, is_set_up
        except ImportError:
            pass  # something else of that name
        else:
            if is_set_up():
                found.append(TraceObserver())
    return Observers(found)
