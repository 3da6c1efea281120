"""A request on its way to its response."""

from __future__ import annotations

import hashlib
from random import Random

import attrs
import msgspec

from ..answers import is_object
from ..service import Request

__all__ = ["Call", "digest_of"]


@attrs.frozen
class Call:
    """A request with what is drawn for it.

    `random` is for what differs between two calls with the same content: ids and waits. `luck` is the seed of what
    comes by chance. `model` is None until the request is known to be a valid one for a message.
    """

    request: Request
    digest: str
    request_id: str
    random: Random
    luck: str
    now: float
    model: str | None = None


def digest_of(request: Request, body: object) -> str:
    """Returns what makes two requests the same question: all but the headers, and whether the answer is streamed."""
    content = request.body
    if is_object(body):
        asked = {name: value for name, value in body.items() if name != "stream"}
        content = msgspec.json.encode(asked, order="deterministic")
    digest = hashlib.blake2b(f"{request.method} {request.path}\n".encode(), digest_size=16)
    digest.update(content)
    return digest.hexdigest()
