"""Which redirects a client follows: those within the origin, which ask for the same request again.

A request holds prompts and a key. A redirect that leads to another scheme, host or port, or that would make a GET of a
POST, is most often a login page or a wrong base URL: it is returned as the response that it is.
"""

from typing import Any

import httpx2
from httpx2 import USE_CLIENT_DEFAULT

__all__ = ["MAX_REDIRECTS", "SameOriginClient"]

MAX_REDIRECTS = 5
_SAME_REQUEST = (307, 308)


class SameOriginClient(httpx2.AsyncClient):
    """httpx2's client, but it follows at most five redirects, only 307 and 308, and only within the origin. What the
    caller asks for is ignored. Any other redirect is returned as a response, with its status and its `Location`."""

    async def send(
        self,
        request: httpx2.Request,
        *,
        stream: bool = False,
        auth: Any = USE_CLIENT_DEFAULT,
        follow_redirects: Any = USE_CLIENT_DEFAULT,
    ) -> httpx2.Response:
        """Sends a request, and follows the redirects that may be followed; returns the last response, with those before
        it in `history`. Raises httpx2's exceptions. Cancelled, it leaves no response open."""
        history: list[httpx2.Response] = []
        while True:
            response = await super().send(request, stream=stream, auth=auth, follow_redirects=False)
            response.history = [*history, *response.history]
            onward = _onward(response)
            if onward is None or len(history) == MAX_REDIRECTS:
                return response
            await response.aclose()
            history.append(response)
            request = onward
            await request.aread()  # does no I/O: the body is in memory, see `_onward`


def _onward(response: httpx2.Response) -> httpx2.Request | None:
    """The request that a redirect asks for, if it may be sent; else None."""
    request, onward = response.request, response.next_request
    if onward is None or response.status_code not in _SAME_REQUEST or onward.url.origin != request.url.origin:
        return None
    try:
        request.content  # noqa: B018 - raises for a body that was streamed, which is gone by now
    except httpx2.RequestNotRead:
        return None
    return onward
