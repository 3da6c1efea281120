"""What the SDK makes of a stream: the bytes are served over loopback, and `get_final_message()` reads them."""

import asyncio
import itertools
import json
import threading
import warnings
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio.to_thread
import httpx2
from anthropic import AsyncAnthropic

__all__ = ["sdk_final_message"]

_bodies: dict[str, bytes] = {}
_numbers = itertools.count()
_one_at_a_time = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    """Answers `POST /<key>/v1/messages` with the body under that key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = _bodies[self.path.split("/")[1]]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("request-id", "req_reference")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@cache
def _address() -> str:
    """Start the server, once in a process and for its whole life. Returns its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="reference-server", daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


async def sdk_final_message(body: bytes, *, beta: bool) -> dict[str, Any]:
    """Returns the SDK's `get_final_message().to_dict(mode="json")` of a response with this body, by the stable or the
    beta route. Raises whatever the SDK raises. Runs on asyncio and on trio; can't be cancelled.
    """
    return await anyio.to_thread.run_sync(_in_a_loop_of_its_own, body, beta)


def _in_a_loop_of_its_own(body: bytes, beta: bool) -> dict[str, Any]:
    # On trio the SDK's generators complain when they are dropped after an error, and everywhere pydantic complains of
    # kinds that the SDK doesn't know. Filters belong to the process, so one at a time.
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
        return asyncio.run(_final_message(body, beta))


async def _final_message(body: bytes, beta: bool) -> dict[str, Any]:
    key = str(next(_numbers))
    _bodies[key] = body
    # Plain HTTP on loopback needs no certificates, and to load them takes longer than all else.
    http_client = httpx2.AsyncClient(trust_env=False, verify=False, timeout=10)
    try:
        async with AsyncAnthropic(
            api_key="none", base_url=f"{_address()}/{key}", http_client=http_client, max_retries=0
        ) as client:
            messages = client.beta.messages if beta else client.messages
            async with messages.stream(
                model="claude-opus-5-5", max_tokens=1024, messages=[{"role": "user", "content": "Hello"}]
            ) as stream:
                message = await stream.get_final_message()
                # As JSON: Python tells two halves of a surrogate pair from their character, JSON doesn't.
                return json.loads(json.dumps(message.to_dict(mode="json", warnings=False)))
    finally:
        del _bodies[key]
