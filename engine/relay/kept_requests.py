"""Requests in a store, for whoever goes on with a stream: as JSON, where they can be said so."""

import json
from typing import Any

from ...actors.stream import StreamRequest
from ...actors.wire import json_text

__all__ = ["kept_request", "request_again"]


def kept_request(request: StreamRequest) -> str | None:
    """The request's parameters, betas and extra body. None for one that JSON does not say whole: one with a model of
    its own, with headers, which may be secret, or with an output of a type."""
    if request.model is not None or request.extra_headers or request.extra_query or request.output is not None:
        return None
    try:
        return json_text(
            {"params": dict(request.params), "betas": list(request.betas), "extra_body": dict(request.extra_body)}
        )
    except (TypeError, ValueError):
        return None


def request_again(text: str) -> StreamRequest:
    """The request that `kept_request` wrote. Raises `ValueError` for what another version wrote in another way."""
    try:
        kept: dict[str, Any] = json.loads(text)
        return StreamRequest(kept["params"], betas=kept["betas"], extra_body=kept["extra_body"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("no request that this version kept") from None
