"""What a server answers that is no event stream: through whole engines, by every kind of client, over real sockets."""

import gzip
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import anyio
import httpx
import httpx2
import pytest
from anthropic.lib.bedrock import AsyncAnthropicBedrock
from tests.support.engines import AT_ONCE, assert_one_ending, model_for
from tests.support.eventstream import event_frame, exception_frame
from tests.support.wire_server import Peer, WireServer, head, serving

from manystream import AnthropicModel, Engine, RetryPolicy, StreamResult
from manystream.actors.stream.failure import ErrorInfo
from manystream.engine.api import acceptance, failures, responses
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [
        {"type": "text", "text": "A river,\r\nrising \u2028 \U0001f30a", "citations": None},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sea"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}
EVENTS = (
    b"event: message_start\ndata: %b\n\nevent: message_stop\ndata: "
    % (json.dumps({"type": "message_start", "message": MESSAGE}).encode())
    + b'{"type":"message_stop"}\n\n'
)
GOOD = head("content-type: text/event-stream", f"content-length: {len(EVENTS)}") + EVENTS


def answer(
    body: bytes | str, content_type: str | None = "application/json", status: str = "200 OK", *more: str
) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    types = [] if content_type is None else [f"content-type: {content_type}"]
    return head(*types, f"content-length: {len(body)}", *more, status=status) + body


ROUTES = ["sdk", "repeat", "httpx2", "httpx", "brought"]


class Asked:
    """What came of one request to a server that answers so; the server has been well until then, and is so after."""

    def __init__(self, url: str, result: StreamResult, server: WireServer) -> None:
        self.url = f"{url}/v1/messages"
        self.result = result
        self.server = server

    @property
    def error(self) -> ErrorInfo:
        assert self.result.error is not None, self.result.state
        return self.result.error


async def ask(what: bytes, route: str = "repeat", retry: RetryPolicy = AT_ONCE, **options: Any) -> Asked:
    answers = [GOOD, GOOD] if route == "repeat" else []
    bad = len(answers)

    async def serve(peer: Peer) -> None:
        await peer.stream.send(answers[peer.number - 1] if peer.number <= bad else what if peer.number < 9 else GOOD)
        if peer.number > bad and b"content-length" not in what and b"chunked" not in what:
            await peer.close()

    async with serving(serve) as server, model_by(route, f"http://127.0.0.1:{server.port}") as model:
        async with Engine(model, retry=retry, **options) as engine:
            for _ in range(bad):
                assert (await engine.submit("hi").wait()).state == "complete"
            handle = engine.submit("hi")
            with anyio.fail_after(20):
                async with handle.subscribe() as mailbox:
                    events = [event async for event in mailbox]
                result = await handle.wait()
        assert_one_ending(events)
        return Asked(f"http://127.0.0.1:{server.port}", result, server)


@asynccontextmanager
async def model_by(route: str, url: str) -> AsyncGenerator[AnthropicModel]:
    arguments: dict[str, Any] = {"api_key": "k", "base_url": url}
    match route:
        case "httpx2":
            async with httpx2.AsyncClient(verify=False) as client:
                yield AnthropicModel("claude-opus-5-5", http_client=client, **arguments)
        case "httpx":
            async with httpx.AsyncClient(verify=False) as client:
                yield AnthropicModel("claude-opus-5-5", http_client=client, **arguments)
        case "brought":
            async with anthropic.AsyncAnthropic(http_client=httpx2.AsyncClient(verify=False), **arguments) as sdk:
                yield AnthropicModel("claude-opus-5-5", anthropic_client=sdk)
        case _:
            yield AnthropicModel("claude-opus-5-5", **arguments)


# -- a whole message


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(MESSAGE)),
        ("application/json; charset=utf-8", "\ufeff\r\n" + json.dumps(MESSAGE, indent=2, ensure_ascii=False)),
        ("text/plain", json.dumps(MESSAGE, indent=1).replace("\n", "\r\n")),
    ],
)
async def test_a_whole_message_is_the_answer(route: str, content_type: str, body: str) -> None:
    asked = await ask(answer(body, content_type, "200 OK", "request-id: req_7"), route)
    result = asked.result
    assert result.state == "complete", result.error
    assert (len(result.attempts), result.stop_reason, result.request_id) == (1, "tool_use", "req_7")
    assert result.text == MESSAGE["content"][0]["text"]
    assert [call.args_as_dict() for call in result.tool_calls] == [{"at": "sea"}]
    assert result.message is not None
    assert result.message["content"] == MESSAGE["content"]
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 5)


@pytest.mark.parametrize("route", ["sdk", "httpx2"])
async def test_a_compressed_message_too(route: str) -> None:
    body = gzip.compress(json.dumps(MESSAGE).encode())
    asked = await ask(answer(body, "application/json", "200 OK", "content-encoding: gzip"), route)
    assert asked.result.state == "complete", asked.result.error


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"content": []}, "complete"),
        ({"extra": "\ud83d", "deep": json.loads("[" * 150 + "]" * 150)}, "complete"),
        ({"content": None}, "failed"),
        ({"content": [7]}, "failed"),
        ({"content": "words"}, "failed"),
        ({"type": "completion"}, "failed"),
    ],
    ids=str,
)
async def test_what_is_a_message_and_what_is_not(change: dict[str, Any], state: str) -> None:
    asked = await ask(answer(json.dumps({**MESSAGE, **change})))
    assert (asked.result.state, len(asked.result.attempts)) == (state, 1), asked.result.error
    if state == "failed":
        assert asked.error.type == "protocol_error"


async def test_a_long_message_and_one_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "_LARGEST_ANSWER", 3 << 20)
    for size, state in ((2 << 20, "complete"), (4 << 20, "failed")):
        message = {**MESSAGE, "content": [{"type": "text", "text": "x" * size}]}
        asked = await ask(answer(json.dumps(message)))
        assert (asked.result.state, len(asked.result.attempts)) == (state, 1)
        assert len(asked.result.text) == (size if state == "complete" else 0)
    assert asked.error.message == f"{asked.url} answered 200 application/json, not an event stream: more than 3 MiB"


async def test_a_message_that_is_cut_off_is_asked_for_again() -> None:
    body = json.dumps(MESSAGE).encode()
    cut = head("content-type: application/json", "content-length: 5000") + body[:50]

    async def serve(peer: Peer) -> None:
        await peer.send(cut if peer.number == 1 else answer(body))
        if peer.number == 1:
            await peer.close()

    async with (
        serving(serve) as server,
        model_by("sdk", f"http://127.0.0.1:{server.port}") as model,
        Engine(model, retry=AT_ONCE) as engine,
    ):
        result = await engine.submit("hi").wait()
    assert (result.state, len(result.attempts)) == ("complete", 2)
    assert result.attempts[0].error is not None
    assert result.attempts[0].error.type == "connection_error"


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "application/json", None])
async def test_what_is_evidently_a_stream_is_read_as_one(content_type: str | None) -> None:
    for beginning in (b"", b": hello\n\n", b"\xef\xbb\xbf", b"\n"):
        asked = await ask(answer(beginning + EVENTS, content_type))
        assert asked.result.state == "complete", asked.result.error


# -- an error with 200


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("body", "type", "status", "message", "retryable"),
    [
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "too large"}, "request_id": "r"},
            "invalid_request_error",
            400,
            "too large",
            False,
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            "overloaded_error",
            529,
            "busy",
            True,
        ),
        ({"error": "no such tenant"}, "api_error", 500, "no such tenant", True),
        ({"error": {"message": "slow down", "code": 429}}, "rate_limit_error", 429, "slow down", True),
        ({"__type": "com.amazon#ThrottlingException", "message": "slow"}, "rate_limit_error", 429, "slow", True),
        ([{"error": {"code": 404, "message": "gone"}}], "not_found_error", 404, "gone", False),
        ({"detail": "broken"}, "api_error", 500, "broken", True),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_error_with_200_as_with_its_own_status(
    route: str, body: Any, type: str, status: int, message: str, retryable: bool
) -> None:
    asked = await ask(answer(json.dumps(body)), route, ONCE)
    error = asked.error
    assert (error.type, error.status, error.message, error.retryable) == (type, status, message, retryable)
    if isinstance(body, dict) and "request_id" in body:
        assert error.request_id == "r"


async def test_an_error_with_200_is_tried_again_as_its_type_says() -> None:
    for type, attempts in (("overloaded_error", 4), ("invalid_request_error", 1)):
        asked = await ask(answer(json.dumps({"type": "error", "error": {"type": type, "message": "m"}})))
        assert len(asked.result.attempts) == attempts


# -- what is no answer at all


PAGE = "<html><head><title>Sign in</title><script>x</script></head><body><p></p></body></html>"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (answer(PAGE, "text/html; charset=utf-8"), '200 text/html, not an event stream: "Sign in"'),
        (head("content-type: text/html") + PAGE.encode(), '200 text/html, not an event stream: "Sign in"'),
        (answer("Hello\x1b[31m\0you", "text/plain"), '200 text/plain, not an event stream: "Hello\\x1b[31m\\x00you"'),
        (head(status="204 No Content"), "204, not an event stream: an empty body"),
        (answer("", "application/json"), "200 application/json, not an event stream: an empty body"),
        (answer("null"), '200 application/json, not an event stream: "null"'),
        (answer('{"status": "ok"}'), '200 application/json, not an event stream: "{"status": "ok"}"'),
        (answer("[" * 100_000), '200 application/json, not an event stream: "[[['),
        (answer('{"n": ' + "9" * 5000 + "}"), '200 application/json, not an event stream: "{"n": 999'),
        (answer("%PDF-1.7", "application/pdf"), '200 application/pdf, not an event stream: "%PDF-1.7"'),
        (answer(b"\xff\xfe\x00", "image/png"), "200 image/png, not an event stream: "),
        (
            answer(EVENTS, "text/event-stream", "200 OK", "content-encoding: snappy"),
            "200 text/event-stream, not an event stream: its body is encoded as snappy, which is not understood",
        ),
    ],
    ids=lambda value: repr(value)[-40:],
)
async def test_what_is_no_answer_ends_in_one_attempt_and_says_what_came(route: str, what: bytes, said: str) -> None:
    asked = await ask(what, route, recovery="restart")
    error = asked.error
    assert (asked.result.state, error.type, error.retryable) == ("failed", "protocol_error", False)
    assert len(asked.result.attempts) == 1
    if "snappy" in said:
        assert "snappy" in error.message  # our own client finds it before
    else:
        assert error.message.startswith(f"{asked.url} answered {said}")
    assert len(error.message) <= 300


async def test_where_from_is_told_without_what_a_url_may_hide() -> None:
    async with serving(answer(PAGE, "text/html")) as server:
        model = AnthropicModel(
            "m", api_key="k", base_url=f"http://user:secret@127.0.0.1:{server.port}/base?token=secret"
        )
        async with Engine(model) as engine:
            result = await engine.submit("hi").wait()
    assert result.error is not None
    assert "secret" not in result.error.message
    assert f"http://127.0.0.1:{server.port}/base" in result.error.message


async def test_a_page_without_end_is_read_as_far_as_it_is_wanted() -> None:
    page = b"<p>Sign in</p>" + b" " * (2 << 20)
    asked = await ask(head("content-type: text/html", f"content-length: {1 << 40}") + page, "sdk")
    assert asked.error.message.endswith('"Sign in"')


async def test_an_empty_stream_is_a_cut() -> None:
    for content_type in ("text/event-stream", None):
        asked = await ask(answer("", content_type))
        assert (asked.result.state, asked.error.type, len(asked.result.attempts)) == ("truncated", "truncated", 4)


async def test_a_body_that_is_not_what_its_encoding_says() -> None:
    for route in ("sdk", "httpx2"):
        asked = await ask(answer(EVENTS, "text/event-stream", "200 OK", "content-encoding: gzip"), route)
        assert asked.error.type == "protocol_error"


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
async def test_who_waits_for_the_whole_can_leave(kind: str) -> None:
    begun = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.send(head(f"content-type: {kind}", "content-length: 1000"), b"{")
        begun.set()
        await peer.receive_head()

    async with (
        serving(serve) as server,
        model_by("sdk", f"http://127.0.0.1:{server.port}") as model,
        Engine(model) as engine,
    ):
        handle = engine.submit("hi")
        with anyio.fail_after(5):
            await begun.wait()
            handle.cancel(reason="enough")
            assert (await handle.wait()).state == "cancelled"
            await server.lost.wait()


# -- refusals


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("status", "body", "content_type", "type", "message"),
    [
        ("502 Bad Gateway", "", None, "api_error", "the API answered 502"),
        ("502 Bad Gateway", "<html><h1>502</h1>Bad &amp; ugly</html>", "text/html", "api_error", "502 Bad & ugly"),
        ("503 Busy", "upstream\nconnect error", "text/plain", "api_error", "upstream connect error"),
        (
            "422 No",
            '{"detail": [{"loc": ["a"], "msg": "bad", "input": "SECRET"}]}',
            "application/json",
            "invalid_request_error",
            "bad",
        ),
        ("400 No", '{"error": "text"}', "application/json", "invalid_request_error", "text"),
        ("401 No", '{"message": "who?"}', "application/json", "authentication_error", "who?"),
        ("429 No", '[{"error": {"message": "many"}}]', "application/json", "rate_limit_error", "many"),
        (
            "400 No",
            '{"error": {"type": ["a"], "message": {"b": 1}}}',
            "application/json",
            "invalid_request_error",
            '"b": 1',
        ),
        ("500 No", '{"error": {"type": {"a": 1}, "message": 7}}', "application/json", "api_error", "7"),
        ("500 No", '{"error": {"type": "truncated", "message": "m"}}', "application/json", "api_error", "m"),
        ("500 No", '{"error": {"type": "x\\ud83d", "message": "\\ud83d"}}', "application/json", "x\\ud83d", "\\ud83d"),
        ("500 No", "[" * 5000, "application/json", "api_error", "[[["),
        ("500 No", '{"error": {"details": [1], "message": null}}', "application/json", "api_error", ""),
        ("400 No", '{"message": "slow"}\n', "application/json", "rate_limit_error", "slow"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_refusal_keeps_its_words_whatever_its_shape(
    route: str, status: str, body: str, content_type: str | None, type: str, message: str
) -> None:
    more = ["x-amzn-errortype: ThrottlingException:http://x"] if type == "rate_limit_error" else []
    asked = await ask(answer(body, content_type, status, "request-id: req_1", *more), route, ONCE)
    error = asked.error
    assert error.type == type
    assert message in error.message
    assert "SECRET" not in error.message
    assert len(error.message) <= 300
    assert error.request_id == "req_1"
    assert isinstance(error.cause, anthropic.APIStatusError)
    assert error.retryable == (int(status[:3]) >= 500 or type == "rate_limit_error")


async def test_the_request_id_is_the_bodys_when_no_header_has_it() -> None:
    body = json.dumps({"type": "error", "error": {"type": "api_error", "message": "m"}, "request_id": "req_9"})
    for status in ("500 No", "200 OK"):
        assert (await ask(answer(body, "application/json", status), retry=ONCE)).error.request_id == "req_9"


LOCATIONS = {
    "https://user:pw@login.example/in?next=secret#x": "https://login.example/in",
    "/elsewhere?x=1": "{base}/elsewhere",
    "http://[": "http://%5b",
}


@pytest.mark.parametrize("route", ["sdk", "repeat"])
@pytest.mark.parametrize(
    ("status", "location"),
    [
        (status, location)
        for status in (301, 302, 304, 307, 308)
        for location in LOCATIONS
        if status < 307 or not location.startswith("/")  # else it is followed
    ],
)
async def test_a_redirect_that_is_not_followed_says_where_to(route: str, status: int, location: str) -> None:
    asked = await ask(answer("", None, f"{status} Odd", f"location: {location}"), route)
    shown = LOCATIONS[location].format(base=asked.url.removesuffix("/v1/messages"))
    assert asked.error.message == f"{asked.url} answered {status} to {shown} (not followed)"
    assert (asked.error.type, asked.error.status, len(asked.result.attempts)) == ("protocol_error", status, 1)


# -- legacy Bedrock


async def ask_bedrock(what: bytes, retry: RetryPolicy = AT_ONCE) -> StreamResult:
    async with serving(what) as server, httpx2.AsyncClient(verify=False) as http_client:
        url = f"http://127.0.0.1:{server.port}"
        client = AsyncAnthropicBedrock(
            aws_access_key="a", aws_secret_key="s", aws_region="us-east-1", base_url=url, http_client=http_client
        )
        async with Engine(AnthropicModel("anthropic.claude-x", anthropic_client=client), retry=retry) as engine:
            with anyio.fail_after(20):
                return await engine.submit("hi").wait()


STREAM = "application/vnd.amazon.eventstream"
START = event_frame(
    json.dumps({"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}}).encode()
)


@pytest.mark.parametrize(
    ("what", "type", "attempts"),
    [
        (answer(PAGE, STREAM), "protocol_error", 1),
        (answer(b"\0" * 100, STREAM), "protocol_error", 1),
        (answer(START[:-4] + b"\0\0\0\0", STREAM), "protocol_error", 1),
        (answer(PAGE, "text/html"), "protocol_error", 1),
        (answer(START + b"\0" * 100, STREAM), "protocol_error", 2),  # the same again: it is no accident
        (answer('{"error": {"type": "overloaded_error"}}'), "overloaded_error", 4),
    ],
    ids=lambda value: repr(value)[-30:],
)
async def test_bedrocks_bodies_that_are_no_event_stream(what: bytes, type: str, attempts: int) -> None:
    result = await ask_bedrock(what)
    assert result.error is not None
    assert (result.state, result.error.type, len(result.attempts)) == ("failed", type, attempts), result.error


async def test_bedrocks_whole_message_and_its_sse() -> None:
    for what in (answer(json.dumps(MESSAGE)), GOOD):
        result = await ask_bedrock(what)
        assert (result.state, len(result.attempts)) == ("complete", 1), result.error


@pytest.mark.parametrize(
    ("name", "type", "status", "retried"),
    [
        ("throttlingException", "rate_limit_error", 429, True),
        ("modelTimeoutException", "timeout_error", 504, True),
        ("serviceUnavailableException", "overloaded_error", 529, True),
        ("internalServerException", "api_error", 500, True),
        ("modelStreamErrorException", "api_error", 500, True),
        ("validationException", "invalid_request_error", 400, False),
        ("accessDeniedException", "permission_error", 403, False),
    ],
)
async def test_bedrocks_exceptions(name: str, type: str, status: int, retried: bool) -> None:
    inside = exception_frame(name, "said so") if type != "permission_error" else b""  # which comes before any stream
    for what in (
        *(answer(begun + inside, STREAM) for begun in (b"", START) if inside),
        answer('{"message": "said so"}', "application/json", f"{status} No", f"x-amzn-errortype: {name}:http://x"),
        answer(json.dumps({"__type": f"com.x#{name}", "Message": "said so"}), "application/json", "424 No"),
    ):
        result = await ask_bedrock(what, ONCE)
        assert result.error is not None
        assert (result.error.type, result.error.message, result.error.code) == (type, "said so", name)
        assert result.error.retryable == retried
        assert result.error.status in ((status, 424) if not retried else (status,))


# -- what is raised on the way


class Oddity(Exception):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


URL = "http://user:pw@host.example/path?key=secret"

RAISED: list[tuple[Exception, str, bool]] = [
    (OSError(5, "I/O error"), "connection_error", True),
    (TimeoutError(), "connection_error", True),
    (ConnectionResetError(f"at {URL}"), "connection_error", True),
    (anyio.ClosedResourceError(), "connection_error", True),
    (anyio.BrokenResourceError(), "connection_error", True),
    (anyio.EndOfStream(), "connection_error", True),
    (EOFError(), "connection_error", True),
    (socket.gaierror(-2, "Name or service not known"), "connection_error", True),
    (httpx.ReadError("old"), "connection_error", True),
    (httpx.RemoteProtocolError("old"), "connection_error", True),
    (httpx2.ReadTimeout("late"), "connection_error", True),
    (httpx2.LocalProtocolError("ours"), "connection_error", False),
    (ExceptionGroup("both", [OSError("one"), ConnectionRefusedError("two")]), "connection_error", True),
    (ExceptionGroup("odd", [OSError("one"), Oddity("two")]), "internal_error", False),
    (Oddity(f"what\x1b {URL}"), "internal_error", False),
    (Mute(), "internal_error", False),
    (ValueError("value"), "internal_error", False),
    (RecursionError("deep"), "internal_error", False),
    (httpx2.StreamConsumed(), "internal_error", False),
]


class Raising(httpx2.AsyncBaseTransport):
    """Raises, in place of a response or after a part of its body."""

    def __init__(self, exc: Exception, content_type: str | None) -> None:
        self.exc = exc
        self.content_type = content_type

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.content_type is None:
            raise self.exc
        transport = self

        class Body(httpx2.AsyncByteStream):
            async def __aiter__(self) -> AsyncGenerator[bytes]:
                yield b" "
                raise transport.exc

        return httpx2.Response(200, headers={"content-type": self.content_type}, stream=Body(), request=request)


@pytest.mark.parametrize("where", [None, "text/event-stream", "application/json"], ids=str)
@pytest.mark.parametrize(("exc", "type", "retryable"), RAISED, ids=lambda value: type(value).__name__)
async def test_whatever_is_raised_on_the_way_ends_one_stream(
    exc: Exception, type: str, retryable: bool, where: str | None
) -> None:
    async with (
        httpx2.AsyncClient(transport=Raising(exc, where)) as client,
        Engine(AnthropicModel("m", api_key="k", http_client=client), retry=ONCE) as engine,
    ):
        results = await engine.gather(["hi", "hi"])
    for result in results:
        error = result.error
        assert error is not None
        if where == "text/event-stream" and type == "connection_error":
            type = "truncated"
            retryable = True
        assert (error.type, error.retryable) == (type, retryable)
        assert "secret" not in error.message
        assert "pw" not in error.message
        assert error.message.isprintable()
        assert error.cause is not None
        links = list(failures._chain(error.cause))  # pyright: ignore[reportPrivateUsage]
        assert exc in links


@pytest.mark.parametrize("route", ["sdk", "httpx2", "httpx"])
async def test_a_certificate_that_does_not_verify_is_not_tried_again(route: str) -> None:
    async with Simulator().serve(tls=True) as simulator:
        clients: dict[str, Any] = {"httpx2": httpx2.AsyncClient, "httpx": httpx.AsyncClient}
        client = clients[route]() if route in clients else None
        async with Engine(model_for(simulator, http_client=client), retry=AT_ONCE) as engine:
            result = await engine.submit("hi").wait()
        if client is not None:
            await client.aclose()
    error = result.error
    assert error is not None
    assert (error.type, error.retryable, len(result.attempts)) == ("connection_error", False, 1), error
    assert "certificate" in error.message.lower()


async def test_what_the_sink_raises_is_given_through() -> None:
    class Sink:
        def __call__(self, piece: bytes) -> bool:
            raise OSError("mine")

        def method(self, piece: bytes) -> bool:
            return self(piece)

    def function(piece: bytes) -> bool:
        return Sink()(piece)

    async with serving(GOOD) as server, httpx2.AsyncClient(verify=False) as client:
        for sink in (Sink(), Sink().method, function):
            for route in ("ours", "theirs"):
                if route == "ours":
                    lease = responses_client()
                    http, close = lease.client, lease.aclose
                else:
                    http, close = client, anyio.lowlevel.checkpoint
                async with http.stream("POST", f"http://127.0.0.1:{server.port}/") as http_response:
                    exchange = http_response.extensions.get("exchange")
                    assert (exchange is None) is (route == "theirs")
                    if exchange is None:
                        response = responses.SdkResponse(http_response, http_response.aclose)
                    else:
                        response = responses.DirectResponse(exchange)
                    with pytest.raises(OSError, match="mine"):
                        await response.pump(sink)
                await close()


def responses_client() -> Any:
    from manystream.engine.api.shared_client import acquire_shared_client

    return acquire_shared_client()
