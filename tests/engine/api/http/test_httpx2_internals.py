"""The names private to httpx2 are where we use them. A release without one of them fails here first."""

import sys

import httpx2
import pytest

from manystream.engine.api.http import httpx2_internals

RELEASE = f"httpx2 {httpx2.__version__}"


class Chosen(httpx2.AsyncBaseTransport):
    """A transport that is told apart by its class."""


class Client(httpx2_internals.TransportChoosingClient):
    """Chooses a transport for all but SOCKS."""

    def make_transport(self, proxy: httpx2.Proxy | None) -> httpx2.AsyncBaseTransport | None:
        return None if proxy is not None and proxy.url.scheme == "socks5" else Chosen()


@pytest.mark.parametrize("name", httpx2_internals.SENDING_METHODS)
def test_a_client_has_the_methods_that_requests_go_through(name: str) -> None:
    assert hasattr(httpx2.AsyncClient, name), f"{RELEASE} has no AsyncClient.{name}"


def test_the_decoders_that_are_installed_are_known() -> None:
    assert "httpx2._decoders" in sys.modules, f"{RELEASE} has no module httpx2._decoders"
    found: dict[str, object] = getattr(sys.modules["httpx2._decoders"], "SUPPORTED_DECODERS", {})
    assert "identity" in found, f"{RELEASE} has no httpx2._decoders.SUPPORTED_DECODERS"
    assert httpx2_internals.content_decoders() == {*found, "gzip", "deflate"}


@pytest.mark.parametrize("proxy", [None, "http://proxy.invalid", "https://proxy.invalid"])
def test_a_client_asks_for_its_transports(monkeypatch: pytest.MonkeyPatch, proxy: str | None) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if proxy is not None:
        monkeypatch.setenv("http_proxy", proxy)
    for name in ("_init_transport", "_init_proxy_transport", "_transport_for_url"):
        assert hasattr(httpx2.AsyncClient, name), f"{RELEASE} has no AsyncClient.{name}"
    client = Client(verify=False)
    transport = client._transport_for_url(httpx2.URL("http://api.invalid"))  # pyright: ignore[reportPrivateUsage]
    assert isinstance(transport, Chosen), f"{RELEASE} makes its transports elsewhere"


def test_a_client_without_a_choice_has_httpx2_s_own_transport() -> None:
    client = httpx2_internals.TransportChoosingClient(verify=False)
    transport = client._transport_for_url(httpx2.URL("http://api.invalid"))  # pyright: ignore[reportPrivateUsage]
    assert isinstance(transport, httpx2.AsyncHTTPTransport)
