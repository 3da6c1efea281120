"""Who is told of the requests of an engine, a few times in the life of each."""

import contextvars
from collections.abc import Mapping
from typing import Any, Protocol

from ...actors.actor import StreamActor

__all__ = ["Observer"]


class Observer(Protocol):
    """Called in the middle of a step: it returns at once and raises nothing."""

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: str, context: contextvars.Context
    ) -> None:
        """A request was taken in, in the submitter's context; `context` is the one it will run in."""
        ...

    def retrying(self, actor: StreamActor, delay: float) -> None:
        """An attempt failed; another follows in so many seconds."""
        ...

    def ended(self, actor: StreamActor) -> None:
        """The stream has ended, and its connection is released."""
        ...
