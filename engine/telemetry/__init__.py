"""What others can see of an engine: logs by structlog, and traces and metrics by OpenTelemetry.

Both are the app's choice: logs are written when structlog is configured, and spans and metrics made when OpenTelemetry
has a provider for them, at the time that the engine is entered. Without them a request costs nothing more. Neither
shows a prompt, an answer or a key.
"""

import sys

from .observer import Observer, Observers

__all__ = ["Observer", "Observers", "find_observers"]


def find_observers() -> Observers:
    """Those who are to be told, for an engine that is entered now."""
    found: list[Observer] = []
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured():
        from .logs import LogObserver

        found.append(LogObserver())
    if "opentelemetry" in sys.modules:
        try:
            from .traces import TraceObserver, is_set_up
        except ImportError:
            pass  # something of that name, without its API
        else:
            if is_set_up():
                found.append(TraceObserver())
    return Observers(found)
