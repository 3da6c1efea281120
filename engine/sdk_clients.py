"""The engine under other people's code: the clients of the anthropic package with an engine below.

What makes them is imported when the first is asked for.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..actors.stream import StreamResult

if TYPE_CHECKING:
    import anthropic

    from .gateway import Gateway

__all__ = ["SdkClients"]


class SdkClients:
    """What an `Engine` has for code that is written for the anthropic package."""

    _gateway: "Gateway | None" = None

    def anthropic_client(
        self,
        *,
        client: "anthropic.AsyncAnthropic | None" = None,
        on_end: Callable[[StreamResult], None] | None = None,
        **sdk_options: Any,
    ) -> "anthropic.AsyncAnthropic":
        """The SDK's own `AsyncAnthropic`, whose requests for messages the engine runs: with its admission, attempts,
        deadlines and spend cap, seen in its logs, traces and `stats`. Whatever takes an `AsyncAnthropic` takes it.

        It has the credentials and the base URL of the engine's model; or it is a copy of `client`, with that one's own
        credentials, headers and HTTP client. `on_end` hears how each request ended, in the event loop. `sdk_options`
        are those of the SDK's `with_options`: of `timeout` the engine takes `read` as the deadline `silence` and
        `connect` as `connect`, for each attempt; `max_retries` is how many attempts may follow the first.

        An error that comes before the first content is raised as the SDK's own for its status; a full queue is a 529, a
        spend cap that is reached a 402. Every other bad ending raises an `AnswerFailed`, which is an
        `anthropic.APIConnectionError`. A streamed answer is never begun anew once content was handed on; one that is
        not streamed is. Requests that are not for a message pass through as they are.

        It needs no closing, and is of no use once the engine has been left. Raises `TypeError` for a client of another
        kind, such as those for other clouds, and `RuntimeError` when the engine is not running.
        """
        from .gateway.clients import make_client

        return make_client(self._find_gateway(), client, on_end, sdk_options)

    def sync_anthropic_client(
        self,
        *,
        client: "anthropic.Anthropic | None" = None,
        on_end: Callable[[StreamResult], None] | None = None,
        **sdk_options: Any,
    ) -> "anthropic.Anthropic":
        """The SDK's own `Anthropic`, for other threads than the engine's: as `anthropic_client`, but that it is used in
        threads, any number of them at once. It is made in the engine's event loop; there its requests raise
        `RuntimeError`, since the loop would wait for itself. Of `client` it takes all but the HTTP client."""
        from .gateway.clients import make_sync_client

        return make_sync_client(self._find_gateway(), client, on_end, sdk_options)

    def labels(
        self, *, group: str | None = None, priority: int | None = None, custom_id: str | None = None
    ) -> AbstractContextManager[None]:
        """A block, `with engine.labels(group="nightly")`, for code that hides the headers of its requests: what is sent
        within it by the engine's SDK clients, in this task and those that it starts, has these labels.

        An inner block adds to an outer one. The headers `manystream-group`, `manystream-priority` and
        `manystream-custom-id` of a request come first. Raises `TypeError` for labels that can't be.
        """
        from .gateway.labels import Labels

        return self._find_gateway().labelled(Labels(group=group, priority=priority, custom_id=custom_id))

    def _find_gateway(self) -> "Gateway":
        from .gateway import Gateway

        if self._gateway is None:
            engine: Any = self
            self._gateway = Gateway(engine)
        return self._gateway
