"""Models: which Claude to ask, with which credentials, over which HTTP client. A model is a description: it opens
nothing until an engine connects it."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Self

from attrs import evolve

from ...actors.message import EMPTY
from ...actors.stream import StreamRequest, check_kind, check_names, own_copy
from .connected_model import ConnectedModel, credentials_of
from .given import check_base_url, check_key, check_name, check_switch
from .output_limits import output_limit
from .parameters import BODY_PARAMETERS, DEFAULT_MAX_TOKENS, sdk_parameters
from .shared_client import acquire_shared_client, client_timeout

if TYPE_CHECKING:
    import httpx
    import httpx2
    from anthropic import AsyncAnthropic

    from .clients import AnthropicClient

__all__ = ["AnthropicModel", "MissingCredentialsError"]


class MissingCredentialsError(RuntimeError):
    """There are no credentials: no API key, and nothing that replaces one."""


class AnthropicModel:
    """A Claude model, by name.

    Give at most one of: `anthropic_client`, any of the SDK's asynchronous clients, which brings its own credentials
    and HTTP client; or `api_key`, `http_client` and `base_url`, in any combination. `http_client` is an
    `httpx2.AsyncClient`, or an `httpx.AsyncClient` with the extra `httpx` installed; it stays the caller's to close.
    Without either client, all engines of an event loop share one HTTP client. Without `api_key` the environment
    decides, as in the SDK.

    `defaults` are Messages parameters, merged under each request's own. They are copied: later changes of the caller's
    object change nothing. `limits_pool` names the rate-limit pool of the model, if it isn't the API's model group.

    Our own HTTP client follows a redirect only within the same origin, and only by 307 and 308. A client that is given
    keeps its own policy. The SDK's clients follow every redirect, and make a GET of a POST that is redirected by 301,
    302 or 303. They also do not bound, as ours does, how much of a compressed body or of an error's body they hold.

    Requests that differ in their bodies alone share the head that the SDK has built for the first two of them, if the
    HTTP client is ours and the SDK's methods are the published ones. With `reuse_heads=False` the SDK builds each.

    With `http2=True` our own HTTP client speaks HTTP/2 with servers that choose it in TLS's handshake: up to 100
    streams share a connection. Without `http2` the environment variable `MANYSTREAM_HTTP2` decides, and without that
    it is HTTP/1.1. `http2` excludes `http_client` and `anthropic_client`.

    A model can be pickled, with its name, base URL, defaults, `limits_pool`, `reuse_heads` and `http2`. Credentials,
    those in the base URL included, and clients are left out. Unpickled, the model takes the key from the environment
    and shares the HTTP client of its event loop, even if it had a client of its own. A copy, deep or not, is the model
    itself, which never changes.

    Raises `TypeError` for arguments that exclude each other, or an object that is none of the clients, and `ValueError`
    for a name, a key or a URL that can't be one; no error shows a key.
    """

    def __init__(
        self,
        model_name: str,
        *,
        api_key: str | None = None,
        anthropic_client: "AnthropicClient | None" = None,
        http_client: "httpx2.AsyncClient | httpx.AsyncClient | None" = None,
        base_url: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        limits_pool: str | None = None,
        reuse_heads: bool = True,
        http2: bool | None = None,
    ) -> None:
        check_name("model_name", model_name)
        if anthropic_client is not None:
            given = {"api_key": api_key, "http_client": http_client, "base_url": base_url, "http2": http2}
            if excluded := [name for name, value in given.items() if value is not None]:
                raise TypeError(f"anthropic_client excludes {' and '.join(excluded)}: it brings its own")
            _check_sdk_client(anthropic_client)
        if http2 is not None:
            check_kind("http2", http2, bool, "True or False")
        if http_client is not None and http2 is not None:
            raise TypeError("http_client excludes http2: it brings its own way to the server")
        if api_key is not None:
            check_key("api_key", api_key)
        if base_url is not None:
            check_base_url("base_url", base_url)
        if defaults is not None:
            check_kind("defaults", defaults, Mapping, 'a mapping of parameters, as in {"max_tokens": 1000}')
        if limits_pool is not None:
            check_name("limits_pool", limits_pool)
        for name in ("stream", "timeout", "model"):
            if name in (defaults or EMPTY):
                raise TypeError(f"defaults can't hold {name!r}")
        check_names(defaults or EMPTY)
        self._model_name = model_name
        self._api_key = api_key
        self._anthropic_client = anthropic_client
        self._http_client = None if http_client is None else _check_http_client(http_client)
        self._base_url = base_url
        self._defaults: dict[str, Any] = own_copy(dict(defaults or EMPTY))
        self._reuse_heads = reuse_heads
        given = {"api_key": api_key, "anthropic_client": anthropic_client, "http_client": http_client}
        self._left_out = tuple(name for name, value in given.items() if value is not None)
        self._http2 = http2
        self.limits_pool = limits_pool
        """The rate-limit pool of the model; None for the model group of the model that a request asks for."""

    @property
    def model_name(self) -> str:
        """The name of the model, as it was given."""
        return self._model_name

    @property
    def system(self) -> Literal["anthropic"]:
        """The provider of the model: always "anthropic"."""
        return "anthropic"

    @property
    def left_out(self) -> tuple[str, ...]:
        """The arguments with credentials or clients that it was given, and that its pickle does not hold. An unpickled
        model tells them, too."""
        if self._base_url is not None and _has_userinfo(self._base_url):
            return (*self._left_out, "base_url")
        return self._left_out

    def __dir__(self) -> list[str]:
        for_engines = ("connect", "left_out", "params_for", "with_longest_answer")
        return [name for name in super().__dir__() if name not in for_engines]

    def __repr__(self) -> str:
        return f"AnthropicModel({self._model_name!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model_name": self._model_name,
            "base_url": None if self._base_url is None else _without_userinfo(self._base_url),
            "defaults": self._defaults,
            "limits_pool": self.limits_pool,
            "reuse_heads": self._reuse_heads,
            "left_out": self.left_out,
            "http2": self._http2,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        left_out: tuple[str, ...] = state.pop("left_out", ())
        AnthropicModel.__init__(self, **state)
        self._left_out = left_out

    def params_for(self, request: StreamRequest) -> dict[str, Any]:
        """The parameters to send for `request`, with the defaults merged under it, and what asks for its output.

        Raises `TypeError` for a parameter that the Messages API doesn't have, and `ValueError` for an output that it
        doesn't take.
        """
        params = {"max_tokens": DEFAULT_MAX_TOKENS, "model": self._model_name, **self._defaults, **request.params}
        known = sdk_parameters(beta=bool(request.betas))
        for name in params:
            if name in known:
                continue
            if name in sdk_parameters(beta=True):
                raise TypeError(f"the parameter {name!r} is in beta: name its beta header in betas=")
            if name not in BODY_PARAMETERS:
                near = get_close_matches(name, known | BODY_PARAMETERS, 1)
                hint = f"did you mean {near[0]!r}?" if near else "newer ones go into extra_body"
                raise TypeError(f"the Messages API has no parameter {name!r}; {hint}")
        if request.output is not None:
            from ..output import typed_output  # the machinery of types is for those who use it

            return typed_output(request.output).asked_of(params, request)
        return params

    def with_longest_answer(self, request: StreamRequest) -> StreamRequest:
        """The request with the `max_tokens` that its model gives at most, unless it or the defaults say otherwise, or
        nobody knows."""
        if "max_tokens" in self._defaults or "max_tokens" in request.params or "max_tokens" in request.extra_body:
            return request
        longest = output_limit(str(request.params.get("model", self._model_name)))
        return request if longest is None else evolve(request, params={**request.params, "max_tokens": longest})

    def connect(self) -> ConnectedModel:
        """The model with an SDK client for the running event loop, to be closed with `aclose`.

        Raises `MissingCredentialsError` when neither the arguments nor the environment hold credentials, and
        `ValueError` for an environment variable that can't be what it has to be.
        """
        import anthropic

        if self._anthropic_client is not None:
            from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle

            # A copy: retries, tracing and timeouts are the engine's. The caller's own client is left as it is.
            client: Any = self._anthropic_client
            copy = client.copy(max_retries=0, timeout=client_timeout(), open_telemetry=False)
            on_bedrock = isinstance(client, AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle)
            return ConnectedModel(copy, None, credentials_of(client) or id(client), bills_dropped=on_bedrock)
        lease = None
        http_client = self._http_client
        if http_client is None:
            lease = acquire_shared_client(
                http2=check_switch("MANYSTREAM_HTTP2") if self._http2 is None else self._http2
            )
            http_client = lease.client
        try:
            client = anthropic.AsyncAnthropic(
                api_key=self._api_key,
                base_url=self._base_url,
                http_client=http_client,
                max_retries=0,
                timeout=client_timeout(),
                open_telemetry=False,
            )
            _check_environment(client, given_key=self._api_key is not None, given_url=self._base_url is not None)
            headers = {name.lower() for name in client.default_headers}
            if client.credentials is None and not headers & {"x-api-key", "authorization"}:
                raise MissingCredentialsError(
                    "no API key: set the environment variable ANTHROPIC_API_KEY, or pass api_key= to AnthropicModel"
                )
        except BaseException as exc:
            if lease is not None:
                lease.drop()
            if isinstance(exc, anthropic.AnthropicError):  # a profile that is not there, say
                raise MissingCredentialsError(str(exc)) from exc
            raise
        repeatable = (
            self._reuse_heads and lease is not None and client.credentials is None and client.custom_auth is None
        )
        return ConnectedModel(client, lease, credentials_of(client) or id(client), repeatable=repeatable)


def _check_environment(client: "AsyncAnthropic", *, given_key: bool, given_url: bool) -> None:
    """Raises `ValueError` for what the SDK took from the environment and can't use."""
    if not given_key and client.api_key is not None:
        check_key("the environment variable ANTHROPIC_API_KEY", client.api_key)
    if client.auth_token is not None:
        check_key("the environment variable ANTHROPIC_AUTH_TOKEN", client.auth_token)
    if not given_url and "ANTHROPIC_BASE_URL" in os.environ:
        check_base_url("the environment variable ANTHROPIC_BASE_URL", os.environ["ANTHROPIC_BASE_URL"])


def _check_sdk_client(client: object) -> None:
    from .sdk_internals import is_async_client

    if not is_async_client(client):
        raise TypeError(
            f"anthropic_client is an asynchronous client of the anthropic package, such as AsyncAnthropic,"
            f" not {type(client).__module__}.{type(client).__name__}"
        )


def _check_http_client(client: object) -> "httpx2.AsyncClient":
    import httpx2

    if isinstance(client, httpx2.AsyncClient):
        return client
    if type(client).__module__.partition(".")[0] == "httpx":
        import httpx

        if isinstance(client, httpx.AsyncClient):
            from .old_httpx import adapt

            return adapt(client)
    raise TypeError(
        f"http_client is an httpx2.AsyncClient (httpx2 is the maintained continuation of httpx; a client of the older"
        f" httpx needs the extra manystream[httpx]), not {type(client).__module__}.{type(client).__name__}"
    )


def _has_userinfo(url: str) -> bool:
    import httpx2

    return bool(httpx2.URL(url).userinfo)


def _without_userinfo(url: str) -> str:
    import httpx2

    return str(httpx2.URL(url).copy_with(userinfo=b""))
