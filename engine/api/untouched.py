"""Whether the SDK and the HTTP client below it are as they were published.

Instrumentation replaces their methods with its own: to trace a call, to sign a request, to give each a key of its own.
A request that goes past those methods goes past the instrumentation. So each request checks whether one of them was
replaced: in its class, before we were imported or since, or in the object itself. A method is the published one when
its code lies in its own package.
"""

import os
import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Any, cast

import attrs

from .http import HttpTransport
from .http.httpx2_internals import SENDING_METHODS
from .sdk_internals import REQUEST_METHODS, http_client_of

__all__ = ["Untouched"]

_TRANSPORT_METHODS = ("handle_async_request",)


_OURS = __name__.rpartition(".")[0]
_PACKAGES = ("anthropic", "httpx2", _OURS)


@attrs.define
class _Method:
    """A method of a class; `genuine` is the published one, as it was last found there."""

    owner: type[Any]
    name: str
    genuine: object = None

    def is_genuine(self) -> bool:
        """Whether the class has the published method now."""
        found: object = getattr(self.owner, self.name)
        if found is not self.genuine:
            if not _is_published(found):
                return False
            self.genuine = found
        return True


class Untouched:
    """Checks one of the SDK's clients, its HTTP client and our transport.

    Calling it returns whether all that a request goes through is as published: on the stable route, or with `beta` on
    the beta one. A call costs two microseconds.
    """

    def __init__(self, client: Any) -> None:
        http_client = http_client_of(client)
        self._http_client = http_client
        self._own: list[tuple[dict[str, Any], frozenset[str]]] = [
            (vars(client), frozenset(REQUEST_METHODS)),
            (vars(http_client), frozenset(SENDING_METHODS)),
        ]
        kind = cast("type[Any]", type(client))
        self._is_sdks = kind.__module__.partition(".")[0] == "anthropic"
        self._methods = [
            *_methods(kind, REQUEST_METHODS),
            *_methods(type(http_client), SENDING_METHODS),
            *_methods(HttpTransport, _TRANSPORT_METHODS),
        ]
        self._creates: dict[bool, _Method] = {}

    def __call__(self, *, beta: bool) -> bool:
        create = self._creates.get(beta)
        if create is None:
            create = self._creates[beta] = _Method(_messages_class(beta=beta), "create")
        if not self._is_sdks or not create.is_genuine():
            return False
        for method in self._methods:
            if getattr(method.owner, method.name) is not method.genuine and not method.is_genuine():
                return False
        for own, names in self._own:
            if not names.isdisjoint(own):
                return False
        hooks = self._http_client.event_hooks
        return not (hooks["request"] or hooks["response"])


def _methods(owner: type[Any], names: Iterable[str]) -> list[_Method]:
    """These methods of a class, and those that they override, which they may call."""
    found = [_Method(owner, name) for name in names if hasattr(owner, name)]
    before = [
        _Method(kind, method.name)
        for method in found
        for kind in owner.__mro__
        if vars(kind).get(method.name, getattr(owner, method.name)) is not getattr(owner, method.name)
    ]
    return found + before


def _messages_class(*, beta: bool) -> type[Any]:
    if beta:
        from anthropic.resources.beta.messages import AsyncMessages as BetaMessages

        return BetaMessages
    from anthropic.resources.messages import AsyncMessages

    return AsyncMessages


def _is_published(found: object) -> bool:
    """Whether a function's or a property's code lies in the package that it names as its own."""
    function = found.fget if isinstance(found, property) else found
    if not isinstance(function, FunctionType):
        return False
    for name in _PACKAGES:
        if function.__module__ == name or function.__module__.startswith(name + "."):
            file: object = getattr(sys.modules.get(name), "__file__", None)
            return isinstance(file, str) and function.__code__.co_filename.startswith(os.path.dirname(file) + os.sep)
    return False
