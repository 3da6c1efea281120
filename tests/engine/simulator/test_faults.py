"""Misbehaviour down to the byte, for a time, and by chance."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from tests.support.responder import a_body, a_request, a_responder, assembled, body_of, events_of
from tests.support.scripted import deltas_of, steps_of
from tests.support.sockets import connect, http_request, read_all, read_until
from tests.support.virtual import virtual_backends

from manystream.engine.simulator import Bytes, Cut, Fail, Faults, Simulator, Slow, Stall
from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Abort, BadChunk, Close, Send, Step, Wait

ASK: dict[str, Any] = {**a_body(), "max_tokens": 60}
WHOLE = body_of(a_responder().respond(a_request(a_body(stream=True))))


def sent(steps: list[Step]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Send))


def events_in(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(part.split(b"data: ")[1]) for part in body.split(b"\n\n") if part]


# Cut at a byte


@pytest.mark.parametrize("count", [0, 1, 100, 555, len(WHOLE) - 1])
@pytest.mark.parametrize("how", ["end", "close", "reset", "bad-chunk"])
def test_a_cut_comes_at_the_very_byte(count: int, how: Any) -> None:
    steps = steps_of(Cut(Bytes(count), how))
    assert sent(steps) == WHOLE[:count]
    last = {"close": Close(), "reset": Abort(), "bad-chunk": BadChunk()}.get(how)
    assert any(isinstance(step, Send) for step in steps)  # the head, at least
    assert last is None or steps[-1] == last


@pytest.mark.parametrize("count", [0, 700, len(WHOLE) + 5])
def test_an_event_of_the_fault_comes_between_the_others(count: int) -> None:
    *events, error = events_in(sent(steps_of(Cut(Bytes(count), Fail(500)))))
    assert error["error"]["type"] == "api_error"
    assert len(events) == WHOLE[:count].count(b"\n\n") - (count > len(WHOLE))


def test_beyond_the_last_byte_is_before_the_last_event() -> None:
    for count in (len(WHOLE), 10**9):
        assert sent(steps_of(Cut(Bytes(count), "end"))) == WHOLE[: WHOLE.index(b"event: message_stop")]


@pytest.mark.parametrize("count", [0, 17, 10**9])
def test_what_isnt_streamed_is_cut_at_the_byte_too(count: int) -> None:
    whole = body_of(a_responder().respond(a_request(a_body())))
    response = a_responder(Cut(Bytes(count), "end")).respond(a_request(a_body()))
    got = body_of(response)
    assert got == whole[: min(count, len(whole) - 1)]
    assert dict(response.headers)["content-length"] == str(len(got))


# Bytes that make no sense


def test_bytes_that_are_no_utf8() -> None:
    steps = steps_of(Cut(3, "bad-utf8"))
    broken = steps.pop()
    assert isinstance(broken, Send)
    assert deltas_of(steps) == 3
    with pytest.raises(UnicodeDecodeError):
        broken.data.decode()
    assert broken.data.decode(errors="replace").endswith("\n\n")


def test_a_page_instead_of_the_stream() -> None:
    response = a_responder(Cut("nothing", "html")).respond(a_request(a_body(stream=True)))
    assert (response.status, dict(response.headers)["content-type"]) == (200, "text/html")
    page = body_of(response)
    assert page.startswith(b"<!DOCTYPE html>")
    assert sent(steps_of(Cut("head", "html"))) == page  # under the head of an event stream
    assert sent(steps_of(Cut(1, "html"))).endswith(b"\n\n" + page)


@pytest.mark.parametrize(("how", "end"), [("bad-utf8", b"\xf0\x9f\xff"), ("html", b"</html>\n"), ("garbage", b"")])
def test_half_a_body_with_a_strange_end(how: Any, end: bytes) -> None:
    whole = body_of(a_responder().respond(a_request(a_body())))
    response = a_responder(Cut(0, how)).respond(a_request(a_body()))
    got = body_of(response)
    assert dict(response.headers)["content-length"] == str(len(got))
    assert got.startswith(whole[: len(whole) // 2])
    assert got.endswith(end)
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        json.loads(got)


# Slow, and silent for a time


def test_a_trickle_takes_its_time_byte_by_byte() -> None:
    responder = a_responder(Slow(20.0, text="one 🌊"), pace=Tempo(1.0, 1.0))
    steps = list(responder.respond(a_request(a_body(stream=True))).steps)
    body = sent(steps)
    assert assembled(events_in(body))["content"][0]["text"] == "one 🌊"
    assert {len(step.data) for step in steps if isinstance(step, Send)} == {1}
    waits = [step.seconds for step in steps if isinstance(step, Wait)]
    assert 0.5 <= waits[0] <= 1.5  # the first token; then the trickle, and no other pace
    assert sum(waits[1:]) == pytest.approx(len(body) / 20)


def test_a_faster_trickle_has_larger_writes() -> None:
    steps = list(a_responder(Slow(2_000)).respond(a_request(a_body())).steps)
    sizes = [len(step.data) for step in steps if isinstance(step, Send)]
    assert set(sizes[:-1]) == {20}
    assert sum(step.seconds for step in steps if isinstance(step, Wait)) == pytest.approx(sum(sizes) / 2_000)


@pytest.mark.parametrize("after", ["nothing", "head", 0, 4, Bytes(333)], ids=str)
@pytest.mark.parametrize("stream", [True, False])
def test_a_stall_that_recovers_has_left_nothing_out(after: Any, stream: bool) -> None:
    whole = body_of(a_responder().respond(a_request(a_body(stream=stream))))
    steps = steps_of(Stall(after, seconds=9.0), stream=stream)
    assert sent(steps) == whole
    waits = [number for number, step in enumerate(steps) if isinstance(step, Wait)]
    (place,) = waits
    assert steps[place] == Wait(9.0)
    match after:
        case "nothing":
            assert place == 0
        case "head":
            assert sent(steps[:place]) == (b"" if stream else whole[: len(whole) // 2])
        case Bytes():
            assert sent(steps[:place]) == whole[:333]
        case _:
            assert not stream or deltas_of(steps[:place]) == after


def test_a_stall_that_recovers_pings_meanwhile() -> None:
    steps = steps_of(Stall(2, seconds=5.0, pings=2.0))
    place = steps.index(Wait(2.0))
    assert [step.seconds for step in steps if isinstance(step, Wait)] == [2.0, 2.0, 1.0]
    assert [event["type"] for event in events_of(steps[place : place + 5])] == ["ping", "ping"]
    pinged = sent(steps)
    assert pinged.replace(b'event: ping\ndata: {"type": "ping"}\n\n', b"") == WHOLE.replace(
        b'event: ping\ndata: {"type": "ping"}\n\n', b""
    )


def test_a_stall_in_the_middle_of_an_event_does_not_ping_there() -> None:
    for step in islice(steps_of(Stall(Bytes(333), pings=1.0)), 100):
        assert not isinstance(step, Send) or step.data.endswith(b"\n\n")


@pytest.mark.parametrize("how", ["reset", "bad-chunk"])
def test_in_memory_a_broken_connection_is_a_protocol_error(how: Any) -> None:
    async def main() -> None:
        simulator = Simulator()
        simulator.script([Cut(Bytes(500), how)])
        async with httpx2.AsyncClient(transport=simulator.transport(), base_url="http://sim") as client:
            got = b""
            with pytest.raises(httpx2.RemoteProtocolError):
                async with client.stream("POST", "/v1/messages", json={**ASK, "stream": True}, headers=KEY) as response:
                    async for chunk in response.aiter_raw():
                        got += chunk
            assert len(got) == 500
        assert simulator.requests[0].outcome == "cut"

    for backend, options in virtual_backends().values():
        anyio.run(main, backend=backend, backend_options=options)


KEY = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


def test_on_virtual_time_a_stall_and_a_trickle_last_as_long_as_they_say() -> None:
    async def main() -> None:
        simulator = Simulator()
        simulator.script([Stall("nothing", seconds=600), Slow(2_000.0), Stall(1, seconds=1800, pings=60)])
        http_client = httpx2.AsyncClient(transport=simulator.transport())
        async with anthropic.AsyncAnthropic(api_key="k", base_url="http://sim", http_client=http_client) as client:
            took: list[float] = []
            for _ in range(3):
                begun = anyio.current_time()
                async with client.messages.stream(**ASK) as stream:
                    assert await stream.get_final_text()
                took.append(anyio.current_time() - begun)
        assert took[0] == pytest.approx(600)
        assert took[1] == pytest.approx(simulator.requests[1].bytes_sent / 2_000)
        assert took[2] == pytest.approx(1800)
        assert [request.outcome for request in simulator.requests] == ["complete"] * 3

    for backend, options in virtual_backends().values():
        anyio.run(main, backend=backend, backend_options=options)


# On sockets


@pytest.fixture
async def simulator(anyio_backend: str) -> AsyncIterator[Simulator]:
    async with Simulator().serve() as simulator:
        yield simulator


async def got_of(simulator: Simulator, **params: Any) -> bytes:
    async with await connect(simulator) as stream:
        await stream.send(http_request(**params))
        return await read_all(stream)


@pytest.mark.anyio
async def test_a_chunk_that_is_none(simulator: Simulator) -> None:
    for params in ({"stream": True}, {}):
        simulator.script([Cut("head", "bad-chunk")])
        head, _, body = (await got_of(simulator, **params)).partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        size = body.split(b"\r\n")[-2 if body.endswith(b"\r\n") else -1]
        with pytest.raises(ValueError, match="invalid literal"):
            int(size, 16)
    assert [request.outcome for request in simulator.requests] == ["cut", "cut"]


@pytest.mark.anyio
async def test_a_client_takes_a_bad_chunk_for_what_it_is(simulator: Simulator) -> None:
    simulator.script([Cut(1, "bad-chunk"), Cut(Bytes(1_000), "close")])
    async with httpx2.AsyncClient(base_url=simulator.url) as client:
        for _ in range(2):
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.post("/v1/messages", json={**ASK, "stream": True}, headers=KEY)


@pytest.mark.anyio
async def test_after_what_it_cannot_read_the_client_can_go_on(simulator: Simulator) -> None:
    simulator.script([Cut(1, "bad-utf8"), Cut("head", "html"), "fine"])
    async with anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, max_retries=0) as official:
        client: Any = official
        events = await client.messages.create(**ASK, stream=True)
        with pytest.raises(UnicodeDecodeError):
            _ = [event async for event in events]
        events = await client.messages.create(**ASK, stream=True)
        assert [event async for event in events] == []  # the SDK finds nothing in a page, and says nothing
        assert (await client.messages.create(**ASK)).content[0].text == "fine"


@pytest.mark.anyio
async def test_the_bytes_of_a_socket_end_at_the_byte(simulator: Simulator) -> None:
    simulator.script([Cut(Bytes(700), "close")])
    async with await connect(simulator) as stream:
        await stream.send(http_request(stream=True))
        received = await read_all(stream)
    assert unchunked(received.partition(b"\r\n\r\n")[2])[1] == 700
    assert simulator.requests[0].bytes_sent == 700


def unchunked(body: bytes) -> tuple[bytes, int]:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data, len(data)


# Headers of a failure


@pytest.mark.parametrize(
    "headers",
    [
        {"a b": "x"},
        {"": "x"},
        {"naïve": "x"},
        {"x": "a\r\nset-cookie: b"},
        {"x": "a\n"},
        {"x": "→"},
        {"x": "\0"},
        {"x": " a"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
    ],
    ids=str,
)
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^headers: [^\n]*$"):
        Fail(429, headers=headers)


@pytest.mark.anyio
async def test_headers_that_can_be_sent_are(simulator: Simulator) -> None:
    simulator.script([Fail(429, headers={"Retry-After": "7", "x-naïve".replace("ï", "i"): "café\t~", "x-empty": ""})])
    async with await connect(simulator) as stream:
        await stream.send(http_request())
        received = await read_until(stream, b"}")
    assert b"retry-after: 7\r\n" in received
    assert "x-naive: café\t~\r\n".encode("latin-1") in received


# By chance


def outcomes(faults: Faults, *, seed: int = 0, count: int = 300) -> list[bytes]:
    """What each of so many requests gets, with a mark for what breaks it off."""
    responder = Responder(Script(), Tempo(), seed=seed, faults=faults, clock=lambda: 1_800_000_000.0)
    got: list[bytes] = []
    for _ in range(count):
        steps = list(responder.respond(a_request(a_body(stream=True))).steps)
        last = steps[-1]
        got.append(sent(steps) + (b"" if isinstance(last, Send) else str(last).encode()))
    return got


def kind(body: bytes) -> str:
    ends: list[tuple[str, Callable[[bytes], bool]]] = [
        ("close", lambda body: body.endswith(b"Close()")),
        ("reset", lambda body: body.endswith(b"Abort()")),
        ("stall", lambda body: body.endswith(b"Wait(seconds=inf)")),
        ("error", lambda body: b"overloaded_error" in body),
        ("garbage", lambda body: body.endswith(b'"text_de\n\n')),
        (
            "whole",
            lambda body: body.rstrip().endswith(b"}") and b"event: message_stop" in body and body.endswith(b"\n\n"),
        ),
    ]
    return next((name for name, fits in ends if fits(body)), "end")


def test_faults_come_as_often_as_they_should() -> None:
    faults = Faults(end=0.1, close=0.1, reset=0.1, garbage=0.1, error=0.1, stall=0.1)
    counts = Counter(map(kind, outcomes(faults)))
    assert set(counts) == {"end", "close", "reset", "garbage", "error", "stall", "whole"}
    for name in ("end", "close", "reset", "garbage", "error", "stall"):
        assert 15 <= counts[name] <= 48, counts
    lengths = {len(body) for body in outcomes(Faults(close=1.0), count=50)}
    assert len(lengths) > 40
    assert max(lengths) > len(WHOLE) * 0.8
    assert min(lengths) < len(WHOLE) * 0.2


def test_a_run_repeats_event_for_event() -> None:
    faults = Faults(end=0.2, error=0.2, stall=0.2)
    assert outcomes(faults, count=40) == outcomes(faults, count=40)
    assert outcomes(faults, count=40) != outcomes(faults, seed=1, count=40)


def test_without_faults_everything_is_as_it_was() -> None:
    assert set(map(kind, outcomes(Faults(), count=30))) == {"whole"}


def test_a_step_of_the_script_takes_precedence() -> None:
    simulator_script = Script()
    simulator_script.extend(["hello", 500])
    responder = Responder(simulator_script, Tempo(), faults=Faults(end=1.0))
    assert b"event: message_stop" in body_of(responder.respond(a_request(a_body(stream=True))))
    assert responder.respond(a_request(a_body(stream=True))).status == 500
    assert not body_of(responder.respond(a_request(a_body(stream=True)))).endswith(b'"message_stop"}\n\n')


def test_a_fault_has_the_status_and_the_length_it_was_given() -> None:
    responder = Responder(Script(), Tempo(), faults=Faults(error=1.0, error_status=500))
    assert events_of(responder.respond(a_request(a_body(stream=True))).steps)[-1]["error"]["type"] == "api_error"
    assert responder.respond(a_request(a_body())).status == 500
    responder = Responder(Script(), Tempo(), faults=Faults(stall=1.0, stall_seconds=3.0))
    steps = list(responder.respond(a_request(a_body(stream=True))).steps)
    assert [step for step in steps if isinstance(step, Wait)] == [Wait(3.0)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end": 1.5}, "end must be a number between 0 and 1, not 1.5"),
        ({"close": -0.1}, "close must be"),
        ({"reset": math.nan}, "reset must be"),
        ({"stall": "often"}, "stall must be"),
        ({"error": True}, "error must be"),
        ({"error_status": 200}, "error_status must be"),
        ({"stall_seconds": 0}, "stall_seconds must be"),
        ({"end": 0.6, "close": 0.6}, "add up to more than 1, but make 1.2"),
    ],
)
def test_faults_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faults(**settings)


def test_faults_over_sockets_leave_the_server_as_it_was() -> None:
    faults = Faults(end=0.15, close=0.15, reset=0.15, garbage=0.15, error=0.15)
    with Simulator(faults=faults).in_thread() as simulator:
        with anthropic.Anthropic(api_key="k", base_url=simulator.url, max_retries=0) as client:
            for _ in range(40):
                try:
                    with client.messages.stream(**ASK) as stream:
                        stream.until_done()
                except (anthropic.APIError, httpx2.TransportError, ValueError):
                    pass
        simulator.wait_until(lambda s: s.open_connections == 0)
        counts = Counter(request.outcome for request in simulator.requests)
    assert set(counts) == {"complete", "cut"}
    assert counts["cut"] > 4
