"""One handle to one browser, in each protocol; and the hub in those that are not our own. On virtual time."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.asgi import Browser, frames_of, told
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Engine, RelayProtocol, Simulator, State, StreamHub, StreamRequest, relay_response
from manystream.engine.relay.requests import Asked
from manystream.engine.simulator import Cut

pytestmark = pytest.mark.anyio

WORDS = " ".join(str(number) for number in range(40))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends(settle=0.001)[request.param]


@asynccontextmanager
async def engine_saying(*script: Any, speed: float = 6.0, **settings: Any) -> AsyncGenerator[Engine]:
    simulator = Simulator(tokens_per_second=speed)
    simulator.script(list(script) or [WORDS])
    async with engine_in_memory(simulator, grace=0, **settings) as engine:
        yield engine


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON of frames that have nothing else."""
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_a_handle_is_told_from_its_beginning_whenever_the_browser_comes() -> None:
    async with engine_saying() as engine:
        handle = engine.submit("count")
        at_once = await Browser(relay_response(handle)).alone()
        assert at_once.text == WORDS
        late = await Browser(relay_response(handle)).alone()  # what came is kept in one piece by now
        assert [event for _, event, _ in frames_of(late.body)] == ["snapshot", "stream_end"]
        assert frames_of(late.body)[0][2]["parts"][0]["text"] == WORDS


@pytest.mark.parametrize("cut", [0.5, 2.0, 5.0])
async def test_an_event_source_that_comes_back_to_a_handle_goes_on_where_it_was(cut: float) -> None:
    async with engine_saying() as engine, anyio.create_task_group() as tasks:
        handle = engine.submit("count")
        first = Browser(relay_response(handle)).among(tasks)
        await anyio.sleep(cut)
        first.leave()
        await first.over.wait()
        last = frames_of(first.body)[-1][0]
        rest = await Browser(relay_response(handle), headers=[("Last-Event-ID", last)]).alone()
        assert told(first.body + rest.body) == WORDS
        assert "reset" not in [event for _, event, _ in frames_of(rest.body)]
        whole = frames_of(rest.body)[-1][0]
        assert (await Browser(relay_response(handle), headers=[("Last-Event-ID", whole)]).alone()).status == 204
        late = await Browser(relay_response(handle), headers=[("Last-Event-ID", last)]).alone()
        assert [event for _, event, _ in frames_of(late.body)] == ["reset", "snapshot", "stream_end"]


async def test_one_that_comes_back_to_another_stream_or_with_a_strange_id_forgets_what_it_has() -> None:
    async with engine_saying("one", "two") as engine:
        first = await Browser(relay_response(engine.submit("count"))).alone()
        handle = engine.submit("count")
        for last in (frames_of(first.body)[-1][0], "1-3", "nonsense", "abcdef-1-999"):
            again = await Browser(relay_response(handle), headers=[("Last-Event-ID", last)]).alone()
            assert frames_of(again.body)[0][1] == "reset"
            parts = [part for _, _, data in frames_of(again.body) for part in data.get("parts", ())]
            assert again.text + "".join(part["text"] for part in parts) == "two"


async def test_one_that_began_anew_is_told_with_what_it_is_now() -> None:
    async with engine_saying(Cut(8, "close", text=WORDS), "at last", recovery="restart") as engine:
        handle = engine.submit("count")
        async with handle.subscribe(start=0) as channel:
            async for event in channel:
                if event.event_kind == "restart":
                    break
        browser = await Browser(relay_response(handle)).alone()
        said = "".join(data.get("text", "") for _, _, data in frames_of(browser.body))
        assert said.endswith("at last")


async def test_what_grows_while_the_head_is_on_its_way_is_told_once() -> None:
    async with engine_saying(Cut(8, "close", text=WORDS), WORDS, recovery="restart") as engine:
        handle = engine.submit("count")
        async with handle.subscribe(start=0) as channel:
            async for event in channel:
                if event.event_kind == "restart":
                    break
        await anyio.sleep(2)
        response = relay_response(handle)

        async def behind_a_slow_server(scope: Any, receive: Any, send: Any) -> None:
            async def slow(message: Any) -> None:
                if message["type"] == "http.response.start":
                    await anyio.sleep(2)
                await send(message)

            await response(scope, receive, slow)

        browser = await Browser(behind_a_slow_server).alone()
        frames = frames_of(browser.body)
        assert [event for _, event, _ in frames][:2] == ["snapshot", "part_delta"]
        begun = frames[0][2]["parts"][0]["text"]
        assert begun + browser.text == WORDS
        assert frames[-1][1] == "stream_end"


async def test_a_browser_that_leaves_a_handle_leaves_it_running() -> None:
    async with engine_saying(speed=0.5) as engine, anyio.create_task_group() as tasks:
        handle = engine.submit("count")
        browser = Browser(relay_response(handle, keepalive=1.0)).among(tasks)
        await anyio.sleep(10)
        assert b": keep-alive" in browser.body
        browser.leave()
        await browser.over.wait()
        assert handle.state is State.STREAMING


async def test_an_unknown_protocol_is_refused() -> None:
    async with engine_saying() as engine:
        with pytest.raises(ValueError, match="protocol is one of"):
            relay_response(engine.submit("count"), protocol="nothing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("protocol", "body", "first"),
    [
        ("vercel", {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]}, "start"),
        (
            "agui",
            {
                "threadId": "c",
                "runId": "r7",
                "messages": [{"id": "1", "role": "user", "content": "hi"}],
                "tools": [],
                "context": [],
                "state": {},
                "forwardedProps": {},
            },
            "RUN_STARTED",
        ),
    ],
)
async def test_the_other_protocols_answer_a_post_with_the_stream_and_a_get_with_all_of_it(
    protocol: RelayProtocol, body: dict[str, Any], first: str
) -> None:
    async def authorize(scope: Any, key: str, action: str) -> bool:
        return key == "c"

    async def build(scope: Any, asked: Asked) -> StreamRequest:
        return asked.request()

    async with engine_saying() as engine, StreamHub(engine, grace=0) as hub, anyio.create_task_group() as tasks:
        app = hub.app(protocol, authorize=authorize, build=build)
        nothing = await Browser(app, "/c/stream").alone()
        assert nothing.status == (204 if protocol == "vercel" else 404)
        asked = Browser(app, method="POST", body=body).among(tasks)
        await anyio.sleep(2)
        again = Browser(app, "/c/stream").among(tasks)
        await asked.over.wait()
        await again.over.wait()
        after = await Browser(app, "/c/stream").alone()
        for browser in (asked, again, after):
            chunks = chunks_of(browser.body)
            assert chunks[0]["type"] == first
            assert "".join(one["delta"] for one in chunks if isinstance(one.get("delta"), str)) == WORDS
        assert chunks_of(asked.body)[0] == chunks_of(after.body)[0]
        assert len(after.sent) <= 5
        if protocol == "agui":
            assert (chunks_of(after.body)[0]["threadId"], chunks_of(after.body)[0]["runId"]) == ("c", "r7")
        else:
            assert not chunks_of(after.body)[0]["messageId"].startswith("msg_")  # the API's own: a restart changes it
        stranger = await Browser(app, "/d/stream").alone()
        assert (stranger.status, stranger.body) == (nothing.status, nothing.body)


def test_what_is_not_used_is_not_imported() -> None:
    program = (
        "import sys\n"
        "from manystream import StreamHub, relay_response\n"
        "import manystream.engine.relay.app, manystream.engine.relay.shared\n"
        "print([name for name in ('starlette', 'redis', 'fastapi', 'uvicorn', 'anthropic') if name in sys.modules])"
    )
    source = Path(__file__).parents[3] / "src"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
        check=True,
    )
    assert done.stdout.strip() == "[]"
