"""What is said to a request for a message, whether it came alone or in a batch."""

from __future__ import annotations

from random import Random
from typing import Any

from ..answers import Answer, generate, interrupted, rest_of
from ..service import Request
from .call import digest_of

__all__ = ["answer_to"]

_ALONE = Request("POST", "/v1/messages", {}, b"")


def answer_to(
    body: dict[str, Any], seed: int, ids: Random, *, scripted: Answer | None = None, digest: str | None = None
) -> Answer:
    """Returns something scripted, or generated, or what an interrupted answer lacks.

    `digest` is the request's own, if it is known. `ids` decide on the ids in the answer, the rest is the same each
    time.
    """
    if (broken := interrupted(body)) is None:
        return scripted or generate(body, Random(f"{seed} {digest or digest_of(_ALONE, body)}"), ids)
    before, said = broken
    return rest_of(answer_to(before, seed, ids, scripted=scripted), said)
