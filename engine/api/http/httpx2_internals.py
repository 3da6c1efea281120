"""What we use of httpx2 that it does not promise: each name stands here, and nowhere else.

The tests of this module name the release in which one of them is gone.
"""

import sys
from typing import Any, cast

import httpx2

__all__ = ["SENDING_METHODS", "TransportChoosingClient", "content_decoders"]

SENDING_METHODS = (
    "build_request",
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
)
"""The methods of a client through which a request goes out, and its response comes back."""


def content_decoders() -> frozenset[str]:
    """The content codings that httpx2 undoes with the packages that are installed."""
    known: object = getattr(sys.modules.get("httpx2._decoders"), "SUPPORTED_DECODERS", ())
    return frozenset(("identity", "gzip", "deflate", *cast("dict[str, object]", known)))


class TransportChoosingClient(httpx2.AsyncClient):
    """httpx2's client, whose transports a subclass makes: also those that lead through the environment's proxies."""

    def make_transport(self, proxy: httpx2.Proxy | None) -> httpx2.AsyncBaseTransport | None:
        """The transport through `proxy`, or straight to the servers; None for httpx2's own."""
        return None

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return self.make_transport(None) or super()._init_transport(*args, **kwargs)

    def _init_proxy_transport(self, proxy: httpx2.Proxy, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return self.make_transport(proxy) or super()._init_proxy_transport(proxy, *args, **kwargs)
