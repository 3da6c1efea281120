"""Responses that are no message: JSON, errors, the page of something in between. And the head of every response."""

from __future__ import annotations

import hashlib
from email.utils import formatdate
from typing import Any

import attrs
import msgspec

from ..faults import HTML_PAGE, Fail
from ..service import RefusalError, Reply, Send, Service
from .call import Call

__all__ = ["Replies"]


class Replies:
    """Makes the responses of one organisation, whose limits their heads tell."""

    def __init__(self, service: Service, seed: int) -> None:
        self._service = service
        self._organisation = _uuid(f"organisation {seed}")

    def json(self, call: Call, body: dict[str, Any]) -> Reply:
        """Returns 200 with this body."""
        data = msgspec.json.encode(body)
        headers = {"content-type": "application/json", "content-length": str(len(data))}
        return Reply(200, self.headers(call, headers), iter((Send(data),)))

    def refusal(self, call: Call, fault: RefusalError) -> Reply:
        """Returns the error that the service answers a request with."""
        data = msgspec.json.encode(fault.body(call.request_id))
        headers = {"content-type": "application/json", "content-length": str(len(data))}
        if fault.retry_after is not None:
            headers["retry-after"] = str(fault.retry_after)
        steps = iter((Send(data),))
        return Reply(fault.status, self.headers(call, headers), steps, refused_by=fault.refused_by)

    def failure(self, call: Call, failure: Fail) -> Reply:
        """Returns the error that the script asks for."""
        data = msgspec.json.encode(failure.body(call.request_id))
        headers = {"content-type": "application/json", "content-length": str(len(data)), **failure.headers}
        return Reply(failure.status, self.headers(call, headers), iter((Send(data),)))

    def page(self, call: Call) -> Reply:
        """Returns 200 with the HTML page of a proxy, which knows of no limits."""
        headers = {"content-type": "text/html", "content-length": str(len(HTML_PAGE))}
        return Reply(200, self.headers(attrs.evolve(call, model=None), headers), iter((Send(HTML_PAGE),)))

    def headers(self, call: Call, own: dict[str, str]) -> tuple[tuple[str, str], ...]:
        """Returns the headers that every response has, with a response's own."""
        headers = {
            "date": formatdate(call.now, usegmt=True),
            "request-id": call.request_id,
            "anthropic-organization-id": self._organisation,
        }
        if call.model is not None:
            headers |= self._service.headers(call.model, call.now)
        return tuple({**headers, **{name.lower(): value for name, value in own.items()}}.items())


def _uuid(name: str) -> str:
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"
