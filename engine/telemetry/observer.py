"""Who is told of the requests of an engine, a few times in the life of each; what fails in telling harms no request."""

import contextvars
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ...actors.actor import StreamActor

__all__ = ["Observer", "Observers"]

_log = logging.getLogger("manystream")


class Observer(Protocol):
    """Called in the middle of a step: it returns at once."""

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


class Observers:
    """All those of an engine.

    What they call is the app's (its log's processors, its exporters) and may raise: a full disk, a closed pipe. A
    stream must end all the same. The first failure is told to the standard library's logger `manystream`, by its type
    alone, since its message may quote anything.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._told = False

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: object, context: contextvars.Context
    ) -> None:
        """See `Observer`."""
        if self._observers:
            self._tell(lambda observer: observer.submitted(actor, params, str(base_url), context))

    def retrying(self, actor: StreamActor, delay: float) -> None:
        """See `Observer`."""
        self._tell(lambda observer: observer.retrying(actor, delay))

    def ended(self, actor: StreamActor) -> None:
        """See `Observer`."""
        if self._observers:
            self._tell(lambda observer: observer.ended(actor))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception as exc:
                if not self._told:
                    self._told = True
                    _log.warning(
                        "%s failed with %s: requests go on, some are missing in what is logged or traced",
                        type(observer).__name__,
                        type(exc).__name__,
                    )
