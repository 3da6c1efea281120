"""A gateway: takes in foreign requests for an engine, and lets go of those whose caller has gone."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from ...actors.actor import StreamActor
from ...actors.stream import StreamResult
from ...actors.wire import plain_text
from ..admission import EngineBusy
from ..admission.spend_cap import SpendCap
from ..submission import Way
from ..telemetry import warn
from .answers import Answer, error_answer
from .door import Door
from .foreign import Foreign, read
from .host import Host
from .labels import Labels, labelled, labels_in_context
from .transit import Send, Transit

__all__ = ["Gateway", "OnEnd"]

OnEnd = Callable[[StreamResult], None]
"""Hears how each request ended."""


class Gateway:
    """The way into an engine for requests of other people's code."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._key = object()
        self._door: Door | None = None

    def check(self) -> None:
        """Raises `RuntimeError` anywhere but in the event loop of an engine that runs."""
        closing, home = self.host.closing, self.host.home
        assert home is not None
        home.check()
        if closing:
            raise RuntimeError("the engine is shutting down")

    def labelled(self, labels: Labels) -> AbstractContextManager[None]:
        """A block in whose context these are the labels of requests that bring none."""
        return labelled(self._key, labels)

    @property
    def labels(self) -> Labels:
        """The labels in the context of the caller."""
        return labels_in_context(self._key)

    @property
    def door(self) -> Door:
        """The way in for other threads."""
        if self._door is None:
            self._door = Door(self.host)
        return self._door

    def begin(
        self,
        foreign: Foreign,
        send: Send,
        *,
        labels: Labels | None = None,
        credentials: object = None,
        cap: SpendCap | None = None,
        on_end: OnEnd | None = None,
        prepare: Callable[[Transit], None] | None = None,
    ) -> Transit | Answer:
        """Takes a request for a message in, in the engine's thread: it starts now or in its turn. Returns an error's
        answer where the engine does not take it. `send` sends its attempts.

        `labels` are those of its context, by default of this one. `credentials` tell whose limits it counts against,
        by default its base URL and its key; `cap` is one on what they spend. `on_end` hears its end, and `prepare` gets
        its transit before it starts.

        Raises `RuntimeError` when the engine was not entered, or belongs to another event loop.
        """
        host = self.host
        try:
            incoming = read(foreign, self.labels if labels is None else labels, host.deadlines, host.retry)
            deadlines = incoming.request.deadlines or host.deadlines
            transit = Transit(incoming, send, deadlines.connect)
            if prepare is not None:
                prepare(transit)
            base_url = incoming.base_url
            whose = (str(base_url).rstrip("/"), incoming.key) if credentials is None else credentials
            way = Way(transit.open, whose, base_url, cap=cap, told=transit.told)
            host.launch(incoming.request, way=way, released=partial(_released, transit, on_end))
        except EngineBusy as exc:
            return error_answer(529, "overloaded_error", f"the engine is busy: {exc}")
        except (ValueError, TypeError) as exc:
            return error_answer(400, "invalid_request_error", str(exc))
        except RuntimeError as exc:
            if host.closing:
                return error_answer(503, "api_error", str(exc))
            raise
        return transit

    def drop(self, transit: Transit, reason: str) -> None:
        """The caller has gone: stops the stream, if it still runs. In the engine's thread."""
        self.host.request_cancel(transit.actor, "consumer", reason)

    def drop_soon(self, transit: Transit, reason: str) -> None:
        """As `drop`, from any thread and in the middle of anything, as `__del__` is called."""
        home = self.host.home
        if home is not None:
            home.soon(partial(self.drop, transit, reason))


def _released(transit: Transit, on_end: OnEnd | None, actor: StreamActor) -> None:
    try:
        if on_end is not None and actor.result is not None:
            on_end(actor.result)
    except Exception as exc:  # it is the user's, and concerns nobody else
        warn(f"on_end raised {type(exc).__name__}: {plain_text(str(exc))}", stream_id=actor.stream_id)
    finally:
        transit.released()
