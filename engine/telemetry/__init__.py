"""What others can see of an engine: logs by structlog, and traces and metrics by OpenTelemetry.

The app chooses both: `discovery` looks for what it has set up. Without them a request costs nothing more. Neither shows
a prompt, an answer or a key.
"""

from .discovery import find_observers
from .observer import Observer, Observers

__all__ = ["Observer", "Observers", "find_observers"]
