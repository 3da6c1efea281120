"""Parity: through the engine and over a socket, `result.message` is what the SDK makes of the same bytes."""

from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx2
import pytest
from anthropic.lib.bedrock import AsyncAnthropicBedrock
from tests.support.engines import AT_ONCE, assert_one_ending, engine_for
from tests.support.eventstream import event_frame, exception_frame
from tests.support.reference.sdk import sdk_final_message
from tests.support.reference.streams import STREAMS, ReferenceStream, recordings

from manystream import AnthropicModel, ApiError, Engine, StreamRequest, StreamResult, UnknownEvent
from manystream.actors import PartEvent
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

COMPARABLE = [stream for stream in (*STREAMS.values(), *recordings()) if stream.comparable]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def request_for(stream: ReferenceStream) -> StreamRequest:
    return StreamRequest("Hi", custom_id=stream.name, betas=["any-2026-01-01"] if stream.beta else [])


_expected: dict[str, dict[str, Any]] = {}


async def expected(stream: ReferenceStream) -> dict[str, Any]:
    """The SDK's message, asked for once: it is the same on asyncio and on trio."""
    if stream.name not in _expected:
        _expected[stream.name] = await sdk_final_message(stream.body, beta=stream.beta)
    return _expected[stream.name]


async def test_every_message_is_the_sdks(simulator: Simulator) -> None:
    async with engine_for(simulator) as engine:
        for stream in COMPARABLE:  # one after the other, as each takes the next step of the script
            simulator.script([stream.body])
            result = await engine.submit(request_for(stream)).wait()
            assert result.state == "complete", (stream.name, result.error)
            assert result.message == await expected(stream), stream.name
    assert simulator.total_connections == 1


# -- legacy Bedrock, which speaks AWS's eventstream


def data_lines(body: bytes) -> Iterable[bytes]:
    return [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]


class Bedrock:
    """A server that answers every request with the same body."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.paths: list[str] = []

    def __enter__(self) -> "Bedrock":
        bedrock = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                bedrock.paths.append(self.path)
                self.send_response(bedrock.status)
                self.send_header("content-type", "application/vnd.amazon.eventstream")
                self.send_header("content-length", str(len(bedrock.body)))
                self.end_headers()
                self.wfile.write(bedrock.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    async def ask(self, body: bytes, *, beta: bool = False) -> tuple[StreamResult, list[PartEvent]]:
        """What the engine makes of the body."""
        self.body = body
        events: list[PartEvent] = []
        async with httpx2.AsyncClient(verify=False) as http_client:
            client = AsyncAnthropicBedrock(
                aws_access_key="a",
                aws_secret_key="s",
                aws_region="us-east-1",
                base_url=self.url,
                http_client=http_client,
            )
            async with Engine(AnthropicModel("anthropic.claude-x", anthropic_client=client), retry=AT_ONCE) as engine:
                handle = engine.submit(StreamRequest("Hi", betas=["any-2026-01-01"] if beta else []))
                async with handle.subscribe() as mailbox:
                    async for event in mailbox:
                        events.append(event)  # noqa: PERF401
                return await handle.wait(), events


@pytest.fixture
def bedrock() -> Iterator[Bedrock]:
    with Bedrock() as bedrock:
        yield bedrock


@pytest.mark.parametrize("name", ["text", *[name for name in STREAMS if name.startswith("tools")][:3]])
async def test_legacy_bedrock_gives_the_same_message(bedrock: Bedrock, name: str) -> None:
    stream = STREAMS[name]
    result, events = await bedrock.ask(b"".join(map(event_frame, data_lines(stream.body))))
    assert result.state == "complete", result.error
    assert result.message == await expected(stream)
    assert_one_ending(events)
    assert bedrock.paths == ["/model/anthropic.claude-x/invoke-with-response-stream"]


async def test_legacy_bedrock_by_the_beta_route(bedrock: Bedrock) -> None:
    stream = next(stream for stream in STREAMS.values() if stream.beta and stream.comparable)
    result, _ = await bedrock.ask(b"".join(map(event_frame, data_lines(stream.body))), beta=True)
    assert result.message == await expected(stream)


async def test_legacy_bedrock_loses_nothing(bedrock: Bedrock) -> None:
    lines = list(data_lines(STREAMS["text"].body))
    novelty = b'{"type":"novelty",\n"x":[1]}'
    result, events = await bedrock.ask(b"".join(map(event_frame, [lines[0], novelty, *lines[1:]])))
    assert result.state == "complete"
    assert [event.raw for event in events if isinstance(event, UnknownEvent)] == [{"type": "novelty", "x": [1]}]


async def test_legacy_bedrock_errors(bedrock: Bedrock) -> None:
    lines = list(data_lines(STREAMS["text"].body))
    begun = b"".join(map(event_frame, lines[:4]))
    result, _ = await bedrock.ask(begun + exception_frame("throttlingException", "slow down"))
    with pytest.raises(ApiError, match="slow down") as caught:
        result.raise_for_state()
    assert (caught.value.type, caught.value.status) == ("rate_limit_error", 429)
    assert result.text
    result, _ = await bedrock.ask(begun)
    assert result.state == "truncated"
    bedrock.status = 400
    result, _ = await bedrock.ask(b'{"message":"no such model"}')
    with pytest.raises(ApiError) as caught:
        result.raise_for_state()
    assert caught.value.status == 400
