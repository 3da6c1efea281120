"""Which of the API's endpoints a request is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeAlias
from urllib.parse import unquote

import attrs

from ..service import RefusalError, Reply
from .call import Call

__all__ = ["Endpoint", "Route", "Routes"]

Endpoint: TypeAlias = Callable[..., Reply]
"""Called with the `Call`, and by name with what the path names; raises RefusalError for a request it can't answer."""


@attrs.frozen
class Route:
    """An endpoint. `path` may hold names in braces, each of which stands for one segment of a request's path."""

    method: str
    path: str
    endpoint: Endpoint


class Routes:
    """All endpoints. Of two that match a path, the one that came first answers."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(_pattern(route.path), route) for route in routes]

    def find(self, method: str, path: str) -> Callable[[Call], Reply]:
        """Returns what answers; raises RefusalError, 404 for an unknown path and 405 for another method's."""
        known = False
        for pattern, route in self._routes:
            if (found := pattern.fullmatch(path)) is None:
                continue
            if route.method == method:
                named = {name: unquote(value) for name, value in found.groupdict().items()}
                return lambda call: route.endpoint(call, **named)
            known = True
        raise RefusalError(405, "Method Not Allowed") if known else RefusalError(404, "Not found")


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
