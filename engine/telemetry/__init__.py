"""What others can see of an engine: its logs, and traces and metrics by OpenTelemetry.

The app chooses where they go: `discovery` looks for what it has set up, structlog or the standard library's logging,
and OpenTelemetry's providers. None of them shows a prompt, an answer or a key.
"""

from .discovery import find_observers
from .logs import warn
from .observer import Observer, Observers

__all__ = ["Observer", "Observers", "find_observers", "warn"]
