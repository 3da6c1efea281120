"""Observers are told of an engine's requests, a few times in the life of each. When one fails, no request does."""

import contextvars
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ...actors.actor import StreamActor

__all__ = ["Observer", "Observers"]


class Observer(Protocol):
    """Is told of an engine's requests. It is called in the middle of a step, and returns at once."""

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: str, context: contextvars.Context
    ) -> None:
        """A request was taken in. The call comes in the submitter's context; the stream will run in `context`.

        `params` are the parameters that are sent, and `base_url` says where."""
        ...

    def retrying(self, actor: StreamActor, delay: float) -> None:
        """An attempt failed; another follows in `delay` seconds."""
        ...

    def ended(self, actor: StreamActor) -> None:
        """The stream has ended, and its connection is released."""
        ...


class Observers:
    """All observers of an engine.

    They call code of the app's (its log's processors, its exporters), which may raise: a full disk, a closed pipe. A
    stream must end all the same. The first failure is logged by the standard library's logger, by its type alone, since
    its message may quote anything.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._told = False

    def submitted(
        self, actor: StreamActor, params: Mapping[str, Any], base_url: object, context: contextvars.Context
    ) -> None:
        """Tells all that a request was taken in. What an observer raises is logged once."""
        if self._observers:
            self._tell(lambda observer: observer.submitted(actor, params, str(base_url), context))

    def retrying(self, actor: StreamActor, delay: float) -> None:
        """Tells all that another attempt follows."""
        self._tell(lambda observer: observer.retrying(actor, delay))

    def ended(self, actor: StreamActor) -> None:
        """Tells all that the stream has ended."""
        if self._observers:
            self._tell(lambda observer: observer.ended(actor))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception as exc:
                if not self._told:
                    self._told = True
                    logging.getLogger("manystream.engine").warning(
                        "%s failed with %s: requests go on, some are missing in what is logged or traced",
                        type(observer).__name__,
                        type(exc).__name__,
                    )
