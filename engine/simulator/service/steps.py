"""One HTTP exchange as plain data: the request that came in, and the response that is to go out.

The responder makes these values and a transport performs them. Neither knows of the other, so the same answers can
travel over a socket or over an in-memory transport on virtual time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import attrs
import msgspec

from ..answers import NOTHING, Usage
from .conditions import Condition

__all__ = ["NO_JSON", "Abort", "BadChunk", "Close", "Reply", "Request", "Send", "Step", "Wait"]

NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a body raises when it isn't JSON, or is nested too deep to be read."""


@attrs.frozen
class Request:
    """An HTTP request, received whole. `target` is the request target as sent, `headers` have lower-case names.

    `scheme` is how the client came: `"http"` or `"https"`.
    """

    method: str
    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    scheme: str = attrs.field(default="http", kw_only=True)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """What follows the path, decoded: the values of each name."""
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)

    @cached_property
    def json(self) -> Any:
        """The body, decoded; None when it isn't JSON."""
        try:
            return msgspec.json.decode(self.body)
        except NO_JSON:
            return None


@attrs.frozen
class Send:
    """Hand these bytes of the body to the connection, as one write.

    The first `Send` takes the status line and the headers along; `Send(b"")` sends just those. `kind` says what it
    begins: an event's type, or "message" for one that isn't streamed; `tokens` is how many were made for it.
    Two that hand over the same bytes are equal.
    """

    data: bytes = attrs.field(repr=False)
    kind: str = attrs.field(default="", eq=False)
    tokens: int = attrs.field(default=0, eq=False)


@attrs.frozen
class Wait:
    """Let this many seconds pass; `math.inf` means until the client has gone."""

    seconds: float


@attrs.frozen
class Close:
    """Close the connection in good order but before its time: an announced body is left incomplete."""


@attrs.frozen
class Abort:
    """Reset the connection, as a crashed server or a dropped route does."""


@attrs.frozen
class BadChunk:
    """Break the rules of HTTP: where a chunk should begin, send what is none, and close the connection."""


Step: TypeAlias = Send | Wait | Close | Abort | BadChunk


def _free(_: Send) -> Usage:
    return NOTHING


@attrs.frozen
class Reply:
    """What is to be sent. A body without `content-length` is chunked.

    When `steps` run out, the body ends in good order. Nothing follows `Close`, `Abort` and `BadChunk`. `performed` is
    to be called with each `Send` when its time has come, and returns what is billed for it; the ledger does that.
    `refused_by` is the condition of the service that refused the request, if one did.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    steps: Iterator[Step] = attrs.field(repr=False)
    performed: Callable[[Send], Usage] = attrs.field(default=_free, kw_only=True, repr=False)
    refused_by: Condition | None = attrs.field(default=None, kw_only=True)

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they are on the wire."""
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.headers]
