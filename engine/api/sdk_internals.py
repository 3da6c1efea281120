"""What we use of the anthropic package that it does not promise: each name stands here, and nowhere else.

The tests of this module name the release in which one of them is gone.
"""

from typing import Any, cast

import anthropic
import httpx2

__all__ = [
    "REQUEST_METHODS",
    "eventstream_decoder",
    "http_client_of",
    "is_async_client",
    "status_error",
    "streaming_route",
]

REQUEST_METHODS = (
    "auth_headers",
    "default_headers",
    "post",
    "request",
    "_request",
    "_attempt_request",
    "_build_headers",
    "_build_request",
    "_prepare_options",
    "_prepare_request",
    "_process_response",
)
"""The methods and properties of a client through which a request goes out, and its response comes back."""


def is_async_client(client: object) -> bool:
    """Whether it is one of the SDK's asynchronous clients, for whichever cloud."""
    from anthropic._base_client import AsyncAPIClient

    return isinstance(client, AsyncAPIClient)


def http_client_of(client: Any) -> httpx2.AsyncClient:
    """The HTTP client that an SDK client sends its requests through."""
    return client._client


def status_error(client: Any, response: httpx2.Response) -> anthropic.APIStatusError:
    """The exception that an SDK client raises for a response with an error's status, whose body has been read."""
    return client._make_status_error_from_response(response)


def streaming_route(messages: Any) -> Any:
    """The `with_streaming_response` of a client's messages, made anew. The SDK keeps the first one, and with it the
    `create` of that time, which may have been replaced since."""
    cast("dict[str, Any]", vars(messages)).pop("with_streaming_response", None)
    return messages.with_streaming_response


def eventstream_decoder() -> Any:
    """A decoder of AWS event streams. Raises `ImportError` without botocore."""
    from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder

    return AWSEventStreamDecoder()
