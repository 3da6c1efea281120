"""The SDK's own clients with an engine below: each is a copy of one of the SDK's, of a class derived from its class.

The derived class does two things. For requests that the engine runs it turns the SDK's retries off, and tells the
engine how many attempts were asked for: else both would try again. And it raises what says that the engine is used
wrongly, as from another event loop, instead of a failed connection.
"""

from copy import copy
from functools import cache
from typing import Any

import anthropic
import httpx2
from anthropic import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT

from ..api.connected_model import credentials_of
from ..api.sdk_internals import http_client_of
from .asynchronous import EngineTransport
from .foreign import is_messages
from .gateway import Gateway, OnEnd
from .threads import ThreadTransport

__all__ = ["make_client", "make_sync_client"]

_ATTEMPTS = "manystream-max-attempts"
_OPEN_ENDED = httpx2.Timeout(None)
"""No timeout of the SDK's: the engine's deadlines hold."""


def make_client(
    gateway: Gateway, given: object, on_end: OnEnd | None, options: dict[str, Any]
) -> anthropic.AsyncAnthropic:
    """The SDK's asynchronous client over `gateway`: a copy of the one that was `given`, or of the engine's own."""
    gateway.check()
    connection = gateway.host.connection
    base: Any = connection.client if given is None else given
    _check(base, anthropic.AsyncAnthropic)
    credentials = None if credentials_of(base) is not None else connection.credentials if given is None else id(base)
    upstream = http_client_of(base)
    transport = EngineTransport(gateway, upstream, credentials=credentials, on_end=on_end)
    http_client = httpx2.AsyncClient(transport=transport, follow_redirects=False, trust_env=False)
    return _copied(base, given is not None, http_client, options)


def make_sync_client(
    gateway: Gateway, given: object, on_end: OnEnd | None, options: dict[str, Any]
) -> anthropic.Anthropic:
    """The SDK's synchronous client over `gateway`, for other threads: a copy of the one that was `given`, with its
    credentials, or one with those of the engine's own model."""
    gateway.check()
    if given is not None:
        _check(given, anthropic.Anthropic)
    connection = gateway.host.connection
    own: Any = connection.client
    _check(own, anthropic.AsyncAnthropic)
    base: Any = given
    credentials = None if credentials_of(own if given is None else base) is not None else id(base)
    transport = ThreadTransport(gateway, http_client_of(own), credentials=credentials, on_end=on_end)
    http_client = httpx2.Client(transport=transport, follow_redirects=False, trust_env=False)
    if given is None:
        base = _synchronous(own)
    return _copied(base, given is not None, http_client, options)


def _check(client: object, kind: type[Any]) -> None:
    """Raises `TypeError` for a client whose requests the engine can't run: those for other clouds sign or rewrite what
    is sent."""
    if not isinstance(client, kind) or type(client).__module__.startswith("anthropic.lib."):
        raise TypeError(
            f"the engine runs the requests of {kind.__name__}, not those of"
            f" {type(client).__module__}.{type(client).__name__}"
        )
    if hasattr(client, "_sdk_kind"):
        raise TypeError("this client has an engine below already")


def _synchronous(client: Any) -> anthropic.Anthropic:
    if client.credentials is not None:
        raise TypeError("the engine's model has credentials that are fetched: give client=, an anthropic.Anthropic")
    return anthropic.Anthropic(
        api_key=client.api_key,
        auth_token=client.auth_token,
        base_url=client.base_url,
        default_headers=client._custom_headers,
        default_query=client._custom_query,
        http_client=httpx2.Client(transport=httpx2.MockTransport(_nowhere)),
    )


def _nowhere(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("this client is only a description", request=request)


def _copied(base: Any, is_given: bool, http_client: Any, options: dict[str, Any]) -> Any:
    """A copy of `base` with another HTTP client, of the class that is derived from its own."""
    asked = options.pop("max_retries", None)
    if is_given:
        if asked is None and base.max_retries != DEFAULT_MAX_RETRIES:
            asked = base.max_retries
        if base.timeout == DEFAULT_TIMEOUT:
            options.setdefault("timeout", _OPEN_ENDED)
    else:
        options.setdefault("timeout", _OPEN_ENDED)
    options.setdefault("open_telemetry", False)
    retries = DEFAULT_MAX_RETRIES if asked is None else asked
    client: Any = base.copy(http_client=http_client, max_retries=retries, **options)
    client.__class__ = _derived(client.__class__)
    client._engine_http_client = http_client
    client._asked_retries = asked
    return client


def _copy(self: Any, *, max_retries: Any = anthropic.NOT_GIVEN, **options: Any) -> Any:
    """As the SDK's own. `max_retries` is for the engine to obey."""
    kind = _sdk_kind(self)
    plain = copy(self)
    plain.__class__ = kind  # the SDK's classes alone hand on credentials that are fetched
    client = plain.copy(max_retries=max_retries, **options)
    client.__class__ = type(self)
    client._engine_http_client = self._engine_http_client
    client._asked_retries = max_retries if isinstance(max_retries, int) else self._asked_retries
    return client


async def _request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
    try:
        return await _sdk_kind(self).request(self, cast_to, _prepared(self, options), **more)
    except anthropic.APIConnectionError as exc:
        _raise_misuse(exc)
        raise


def _sync_request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
    try:
        return _sdk_kind(self).request(self, cast_to, _prepared(self, options), **more)
    except anthropic.APIConnectionError as exc:
        _raise_misuse(exc)
        raise


@cache
def _derived(kind: type[Any]) -> type[Any]:
    """The class that is derived from one of the SDK's. It has a single base: else an object of the SDK's class could
    not become one of this."""
    request = _request if issubclass(kind, anthropic.AsyncAnthropic) else _sync_request
    retries = property(_max_retries, _set_max_retries)
    names = {"copy": _copy, "with_options": _copy, "request": request, "max_retries": retries, "_sdk_kind": kind}
    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__, **names})


def _max_retries(self: Any) -> int:
    return DEFAULT_MAX_RETRIES if self._asked_retries is None else self._asked_retries


def _set_max_retries(self: Any, retries: int) -> None:
    self._asked_retries = retries


def _sdk_kind(client: Any) -> Any:
    return client._sdk_kind


def _prepared(client: Any, options: Any) -> Any:
    """The options of a request; if the engine runs it, without retries of the SDK's own."""
    if http_client_of(client) is not client._engine_http_client:
        return options  # a copy with an HTTP client of its own
    if not is_messages(options.method.upper(), f"/{options.url.partition('?')[0].lstrip('/')}"):
        return options
    asked = options.max_retries if isinstance(options.max_retries, int) else client._asked_retries
    prepared = copy(options)
    prepared.max_retries = 0
    if asked is not None:
        given: Any = {} if isinstance(options.headers, anthropic.NotGiven) else options.headers
        prepared.headers = {_ATTEMPTS: str(max(0, asked) + 1), **given}
    return prepared


def _raise_misuse(exc: anthropic.APIConnectionError) -> None:
    """Raises what a transport said of a wrong use, where the SDK made a failed connection of it."""
    if type(exc) is anthropic.APIConnectionError and isinstance(exc.__cause__, RuntimeError):
        raise exc.__cause__ from None
