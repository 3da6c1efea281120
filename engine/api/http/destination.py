"""Where a connection leads, and what a proxy on the way there is told."""

import base64

import attrs
import httpx2

__all__ = ["Destination", "proxy_headers"]


@attrs.frozen
class Destination:
    """Where a connection leads. `server_name` is the name that the certificate must have, if it isn't the host."""

    secure: bool
    host: str
    port: int
    server_name: str | None = None

    @property
    def authority(self) -> str:
        """Host and port, as a request has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as in `https://api.anthropic.com:443`."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"


def proxy_headers(proxy: httpx2.Proxy) -> list[tuple[bytes, bytes]]:
    """The headers for the proxy, with its credentials."""
    headers = list(proxy.headers.raw)
    if proxy.raw_auth is not None:
        headers.append((b"Proxy-Authorization", b"Basic " + base64.b64encode(b":".join(proxy.raw_auth))))
    return headers
