"""Who may do what with which stream, and from which page."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal
from urllib.parse import urlsplit

from .tab import Scope

__all__ = ["Action", "Authorize", "from_own_page", "header", "origins_of"]

Action = Literal["start", "resume", "stop"]

Authorize = Callable[[Scope, str, Action], Awaitable[bool]]
"""Whether the sender of a request, told by its ASGI scope, may do this with the streams of a key. A stream without a
key is asked for by its id."""

_PORTS = {"http": 80, "https": 443}


def header(scope: Scope, name: bytes) -> str | None:
    """A header's value; None when it was not sent."""
    for found, value in scope.get("headers", ()):
        if found.lower() == name:
            return value.decode("latin-1")
    return None


def origins_of(given: Iterable[str]) -> tuple[str, ...]:
    """Origins as browsers write them. Raises `TypeError` for one that does not stand in a list, and `ValueError` for
    what no browser sends as a page's origin."""
    if isinstance(given, str):
        raise TypeError(f"origins is a list: origins=[{given!r}]")
    found = tuple(origin.lower() for origin in given)
    for origin in found:
        if _place(origin) is None or origin.count("/") != 2:
            raise ValueError(f"an origin is a scheme, a host and no path, as in 'https://example.org', not {origin!r}")
    return found


def from_own_page(scope: Scope, origins: Iterable[str] = ()) -> bool:
    """Whether a request comes from a page of the app's own host, from one of `origins`, or from no page at all.

    Browsers send the page's origin with every POST, and no script can change it.
    """
    origin = header(scope, b"origin")
    if origin is None or origin in origins:
        return True
    host = header(scope, b"host")
    place = _place(origin)
    return place is not None and place == _place(f"{scope.get('scheme', 'http')}://{host or ''}")


def _place(url: str) -> tuple[str, int] | None:
    """A URL's host and port; None when it has none. The scheme is left out: a proxy may speak https for the app, and
    the app's scope then says http."""
    try:
        parts = urlsplit(url)
        if parts.hostname is None:
            return None
        # Behind such a proxy the ports that go without saying differ too.
        port = parts.port
        return parts.hostname.lower(), 0 if port in (None, *_PORTS.values()) else port or 0
    except ValueError:
        return None
