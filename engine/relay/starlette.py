"""A relay's response as Starlette and FastAPI know responses. Imported where they are."""

from typing import Any

from starlette.responses import Response

from .tab import Message, Receive, Scope, Send

__all__ = ["StarletteResponse"]

_OWN = (b"content-length", b"content-type")


class StarletteResponse(Response):
    """An ASGI callable of ours as a `Response`: headers and cookies that are set on it are sent, and its background
    task runs when it has ended."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response."""
        more = [(name, value) for name, value in self.raw_headers if name not in _OWN]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, send_with_headers if more else send)
        if self.background is not None:
            await self.background()
