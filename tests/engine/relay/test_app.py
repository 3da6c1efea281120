"""A hub as an ASGI app: who may start, read and stop what, and what strangers are told. On virtual time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.support.asgi import Browser, frames_of
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Simulator, StreamHub, StreamRequest, StreamResult, relay_response
from manystream.engine.relay.access import from_own_page, header, origins_of
from manystream.engine.relay.app import RelayApp
from manystream.engine.relay.ids import issued_by, new_id, new_instance
from manystream.engine.relay.requests import MAX_BODY, Asked
from manystream.engine.relay.response import RelayResponse

pytestmark = pytest.mark.anyio

ALICE = ("x-user", "alice")
BOB = ("x-user", "bob")
_TEXT_PART = {"type": "text", "text": "hi"}
TEXT = "one two three four five six seven eight nine ten"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends(settle=0.001)[request.param]


class Service:
    """An app in which a chat belongs to the user whose name it begins with."""

    def __init__(self, hub: StreamHub) -> None:
        self.hub = hub
        self.asked: list[tuple[str, str]] = []
        self.built: list[Asked] = []
        self.app: RelayApp = hub.app("native", authorize=self.authorize, build=self.build)

    async def authorize(self, scope: Any, key: str, action: str) -> bool:
        self.asked.append((key, action))
        return key.partition("-")[0] == header(scope, b"x-user")

    async def build(self, scope: Any, asked: Asked) -> StreamRequest:
        self.built.append(asked)
        return asked.request()

    async def start(self, key: str, *headers: tuple[str, str], **more: Any) -> Browser:
        asked = {"id": key, "message": "hi"}
        return await Browser(self.app, method="POST", headers=headers, body=asked, **more).alone()


@asynccontextmanager
async def service(*script: Any, speed: float = 0.0) -> AsyncGenerator[Service]:
    simulator = Simulator(tokens_per_second=speed)
    simulator.script(list(script) or [TEXT])
    async with engine_in_memory(simulator, grace=0) as engine, StreamHub(engine, grace=0) as hub:
        yield Service(hub)


@pytest.mark.parametrize("root", ["", "/chat", "/deep/er"])
async def test_a_stream_is_started_read_and_stopped_by_its_owner(root: str) -> None:
    async with service(speed=1) as served, anyio.create_task_group() as tasks:
        started = await served.start("alice-1", ALICE, root_path=root)
        assert started.status == 201
        for name in ("alice-1", started.json["id"]):
            tab = Browser(served.app, f"/{name}/stream", headers=[ALICE], root_path=root).among(tasks)
            await anyio.sleep(1)
            assert tab.status == 200
        stopped = await Browser(served.app, "/alice-1/stop", method="POST", headers=[ALICE], root_path=root).alone()
        assert stopped.status == 204
        await tab.over.wait()
        assert frames_of(tab.body)[-1][2]["state"] == "cancelled"
        assert {action for _, action in served.asked} == {"start", "resume", "stop"}
        assert {key for key, _ in served.asked} == {"alice-1"}


async def test_the_stop_of_a_chat_stops_all_that_run_for_it() -> None:
    async with service(speed=1) as served, anyio.create_task_group() as tasks:
        ids = [(await served.start("alice-1", ALICE)).json["id"] for _ in range(2)]
        tabs = [Browser(served.app, f"/{name}/stream", headers=[ALICE]).among(tasks) for name in ids]
        await anyio.sleep(1)
        assert (await Browser(served.app, "/alice-1/stop", method="POST", headers=[ALICE]).alone()).status == 204
        for tab in tabs:
            await tab.over.wait()
            assert frames_of(tab.body)[-1][2]["state"] == "cancelled"


async def test_a_stranger_is_told_of_another_s_stream_what_is_told_of_none() -> None:
    async with service(speed=1) as served:
        started = await served.start("alice-1", ALICE)
        told = set[tuple[Any, ...]]()
        for name in ("alice-1", "alice-2", "bob-2", started.json["id"], "nonsense"):
            for method, verb in (("GET", "stream"), ("POST", "stop")):
                browser = await Browser(served.app, f"/{name}/{verb}", method=method, headers=[BOB]).alone()
                told.add((browser.status, browser.body, tuple(sorted(browser.headers.items()))))
        started = await served.start("alice-1", BOB)
        told.add((started.status, started.body, tuple(sorted(started.headers.items()))))
        assert len(told) == 1
        assert next(iter(told))[0] == 404
        assert len(served.built) == 1


async def test_a_key_opens_nothing_without_an_authorize_and_an_id_does() -> None:
    async with service() as served:
        ticket = await served.hub.start("hi", key="alice-1")
        assert (await Browser(served.hub.response("alice-1")).alone()).status == 404
        assert (await Browser(served.hub.response(ticket.id)).alone()).text == TEXT
        asked = served.hub.response("alice-1", authorize=served.authorize)
        assert (await Browser(asked, headers=[ALICE]).alone()).text == TEXT
        assert (await Browser(asked, headers=[BOB]).alone()).status == 404


async def test_an_id_of_another_process_is_not_taken_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as served:
        foreign = new_id(new_instance())
        for app in (served.hub.response(foreign), served.app):
            browser = await Browser(app, f"/{foreign}/stream", headers=[("x-user", "ms")]).alone()
            assert (browser.status, browser.json["error"]["type"]) == (409, "stream_elsewhere")
        assert "shared store" in caplog.text
        own = (await served.hub.start("hi")).id
        mine = own[:-3] + "xxx"  # of this process, and none of its streams
        assert (await Browser(served.hub.response(mine)).alone()).status == 404


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 201),
        ("http://app.test", 201),
        ("https://app.test", 201),
        ("https://APP.test:443", 201),
        ("https://other.test", 403),
        ("http://app.test:8080", 403),
        ("http://app.test.evil", 403),
        ("null", 403),
        ("http://[", 403),
        ("https://told.test", 201),
    ],
)
def test_a_page_of_another_origin_is_told_from_the_app_s_own(origin: str | None, status: int) -> None:
    headers = [(b"host", b"app.test")] + ([] if origin is None else [(b"Origin", origin.encode())])
    assert from_own_page({"scheme": "http", "headers": headers}, ["https://told.test"]) == (status == 201)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("https://a.test", TypeError),
        (["https://a.test/"], ValueError),
        (["https://a.test/chat"], ValueError),
        (["a.test"], ValueError),
        (["null"], ValueError),
        (["*"], ValueError),
        ([""], ValueError),
    ],
)
def test_what_no_page_has_for_an_origin_is_refused_at_once(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="origin"):
        origins_of(given)


async def test_another_page_needs_the_origin_and_the_headers_of_a_middleware() -> None:
    from starlette.middleware.cors import CORSMiddleware

    page = "https://other.test"
    async with service() as served:
        app: Any = served.hub.app(
            "native", authorize=served.authorize, build=served.build, origins=(one for one in ["HTTPS://Other.test"])
        )
        served.app = CORSMiddleware(app, [page], ["GET", "POST"], ["content-type", "x-user"])  # type: ignore[assignment]
        asks = ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,x-user")
        before = await Browser(served.app, method="OPTIONS", headers=[("origin", page), *asks]).alone()
        assert (before.status, before.headers["access-control-allow-origin"]) == (200, page)
        started = await served.start("alice-1", ALICE, ("origin", page))
        assert (started.status, started.headers["access-control-allow-origin"]) == (201, page)


async def test_a_post_from_a_page_of_another_origin_is_refused() -> None:
    async with service() as served:
        headers = [ALICE, ("origin", "https://other.test")]
        assert (await served.start("alice-1", *headers)).status == 403
        stopped = await Browser(served.app, "/alice-1/stop", method="POST", headers=headers).alone()
        assert stopped.status == 403
        assert served.asked == []
        served.app = served.hub.app(
            "native", authorize=served.authorize, build=served.build, origins=["https://other.test"]
        )
        assert (await served.start("alice-1", *headers)).status == 201


@pytest.mark.parametrize("origin", ["http://a.test", "null", "", "file://", "http://["])
@pytest.mark.parametrize("host", [None, "", ":80", "[", "/", "?", "a.test:x"])
def test_where_the_host_says_no_place_no_page_is_ours(origin: str, host: str | None) -> None:
    headers = [(b"origin", origin.encode())] + ([] if host is None else [(b"host", host.encode())])
    assert not from_own_page({"headers": headers})


async def test_bodies_that_are_none_are_refused() -> None:
    async with service() as served:
        for body in (
            b"",
            b"{",
            b"[" * 100_000,
            b"[]",
            b"\xff",
            {},
            {"id": 1},
            {"message": "x"},
            {"id": "", "message": "x"},
            {"id": "x" * 201, "message": "x"},
        ):
            assert (await Browser(served.app, method="POST", headers=[ALICE], body=body).alone()).status == 400
        large = b" " * (MAX_BODY + 1)
        assert (await Browser(served.app, method="POST", headers=[ALICE], body=large).alone()).status == 413
        assert served.built == []


async def test_an_app_says_how_large_a_body_it_reads() -> None:
    async with service() as served:
        given: Any = {"authorize": served.authorize, "build": served.build}
        served.app = served.hub.app("native", **given, max_body=100)
        small, large = ({"id": "alice-1", "message": "x" * size} for size in (10, 100))
        assert (await Browser(served.app, method="POST", headers=[ALICE], body=small).alone()).status == 201
        refused = await Browser(served.app, method="POST", headers=[ALICE], body=large).alone()
        assert refused.status == 413
        with pytest.raises(ValueError, match="max_body"):
            served.hub.app("native", **given, max_body=0)


@pytest.mark.parametrize("key", ["alice-100%", "alice-%41", "alice-%2541", "alice-a/b", "alice-a//", "alice-é?#", " "])
async def test_a_key_is_found_by_itself_as_the_server_has_read_it_from_the_path(key: str) -> None:
    async with service() as served:
        await served.hub.start("hi", key=key)
        headers = [("x-user", key.partition("-")[0])]
        read = await Browser(served.app, f"/{key}/stream", headers=headers).alone()
        assert (read.status, read.text) == (200, TEXT)
        stopped = await Browser(served.app, f"/{key}/stop", method="POST", headers=headers).alone()
        assert stopped.status == 204
        assert {asked for asked, _ in served.asked} == {key}
    async with service() as served:
        await served.hub.start("hi", key="/alice")
        read = await Browser(served.app, "//alice/stream", headers=[("x-user", "/alice")]).alone()
        assert (read.status, read.text) == (200, TEXT)


async def test_other_paths_and_methods() -> None:
    async with service() as served:
        for method, path, status, allowed in (
            ("GET", "/", 405, "POST"),
            ("HEAD", "/", 405, "POST"),
            ("PUT", "/", 405, "POST"),
            ("GET", "/alice-1/stop", 405, "POST"),
            ("DELETE", "/alice-1/stop", 405, "POST"),
            ("POST", "/alice-1/stream", 405, "GET, HEAD"),
            ("OPTIONS", "/alice-1/stream", 405, "GET, HEAD"),
            ("GET", "/alice-1", 404, None),
            ("GET", "/stream", 404, None),
            ("POST", "/stop", 404, None),
            ("GET", "/a/b/c", 404, None),
        ):
            told = await Browser(served.app, path, method=method, headers=[ALICE]).alone()
            assert (told.status, told.headers.get("allow")) == (status, allowed), (method, path)


async def test_head_is_told_what_get_would_be_without_the_stream() -> None:
    async with service(speed=0.1) as served:
        started = (await served.start("alice-1", ALICE)).json["id"]
        handle = served.hub._streams.shelf.get(started)  # pyright: ignore[reportPrivateUsage]
        assert handle is not None
        assert handle.handle is not None
        for app, path in (
            (served.app, "/alice-1/stream"),
            (served.hub.response(started, "vercel"), "/"),
            (relay_response(handle.handle), "/"),
        ):
            told = await Browser(app, path, method="HEAD", headers=[ALICE]).alone()
            assert (told.status, told.body, told.finished) == (200, b"", True)
            assert told.headers["content-type"].startswith("text/event-stream")
        assert (await Browser(served.app, "/alice-1/stream", method="HEAD", headers=[BOB]).alone()).status == 404


async def test_a_hub_that_goes_and_an_engine_that_is_full_start_nothing() -> None:
    simulator = Simulator(tokens_per_second=1)
    async with (
        engine_in_memory(simulator, grace=0, max_concurrency=1, max_queued=1) as engine,
        StreamHub(engine, grace=0) as hub,
    ):
        served = Service(hub)
        for _ in range(2):
            assert (await served.start("alice-1", ALICE)).status == 201
        busy = await served.start("alice-1", ALICE)
        assert (busy.status, busy.json["error"]["type"]) == (503, "busy")
        assert int(busy.headers["retry-after"]) > 0
        await hub.drain()
        going = await served.start("alice-1", ALICE)
        assert (going.status, going.json["error"]["type"]) == (503, "going_away")


@pytest.mark.parametrize("protocol", ["native", "vercel"])
@pytest.mark.parametrize("goes", ["hub", "engine"])
async def test_one_that_goes_while_a_request_is_built_starts_nothing(goes: str, protocol: Any) -> None:
    gone = anyio.Event()

    async def build(scope: Any, asked: Asked) -> StreamRequest:
        await gone.wait()
        return asked.request()

    async def yes(scope: Any, key: str, action: str) -> bool:
        return True

    simulator = Simulator()
    engine = engine_in_memory(simulator, grace=0)
    await engine.open()
    async with StreamHub(engine, grace=0) as hub, anyio.create_task_group() as tasks:
        app = hub.app(protocol, authorize=yes, build=build)
        asked = {"native": {"message": "hi"}, "vercel": {"messages": [{"role": "user", "parts": [_TEXT_PART]}]}}
        posted = Browser(app, method="POST", body={"id": "c", **asked[protocol]}).among(tasks)
        await anyio.sleep(1)
        await (hub.drain() if goes == "hub" else engine.aclose())
        gone.set()
        await posted.over.wait()
        assert (posted.status, posted.json["error"]["type"]) == (503, "going_away")
        assert int(posted.headers["retry-after"]) > 0
    await engine.aclose()
    assert simulator.requests == []


async def test_what_goes_wrong_in_a_start_is_not_taken_for_going_away() -> None:
    async with service() as served:

        async def start(*args: Any, **more: Any) -> Any:
            raise RuntimeError("a bug")

        served.hub.start = start  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="a bug"):
            await served.start("alice-1", ALICE)


@pytest.mark.parametrize("stopped", [False, True])
async def test_the_next_question_waits_for_the_last_answer_to_be_stored(stopped: bool) -> None:
    history: list[str] = []

    async def on_end(key: str, result: StreamResult) -> None:
        await anyio.sleep(2)  # a slow database
        history.append(f"{key}: {result.state}")

    async def build(scope: Any, asked: Asked) -> StreamRequest:
        history.append(f"{asked.key} asks")
        return asked.request()

    async def yes(scope: Any, key: str, action: str) -> bool:
        return True

    simulator = Simulator(tokens_per_second=1 if stopped else 0)
    async with engine_in_memory(simulator, grace=0) as engine, StreamHub(engine, grace=0, on_end=on_end) as hub:
        app = hub.app("native", authorize=yes, build=build)

        async def ask(key: str) -> None:
            assert (await Browser(app, method="POST", body={"id": key, "message": "hi"}).alone()).status == 201

        await ask("c")
        if stopped:
            await anyio.sleep(2)
            assert (await Browser(app, "/c/stop", method="POST").alone()).status == 204
        else:
            tab = await Browser(app, "/c/stream").alone()
            assert frames_of(tab.body)[-1][1] == "stream_end"
        await ask("other")
        await ask("c")
        assert history.index("other asks") == 1
        own = [line for line in history if line.startswith("c")]
        assert own[:3] == ["c asks", f"c: {'cancelled' if stopped else 'complete'}", "c asks"]


async def test_the_next_question_does_not_wait_for_an_answer_that_runs_or_for_a_hanging_on_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def on_end(key: str, result: StreamResult) -> None:
        await anyio.sleep_forever()

    simulator = Simulator(tokens_per_second=1)
    async with engine_in_memory(simulator, grace=0) as engine, StreamHub(engine, grace=0, on_end=on_end) as hub:
        ticket = await hub.start("hi", key="c")
        began = anyio.current_time()
        await hub.settled("c")
        assert anyio.current_time() - began < 1
        await hub.stop(ticket.id)
        await hub.settled("c")
        assert 4.5 < anyio.current_time() - began < 6
        assert "on_end takes long" in caplog.text


async def test_a_client_that_leaves_before_its_body_came_starts_nothing() -> None:
    async with service() as served:

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        browser = Browser(served.app, method="POST", headers=[ALICE])
        browser._receive = receive  # type: ignore[method-assign,assignment]
        await browser.run()
        assert served.built == []


async def test_the_app_takes_part_in_a_server_s_lifespan() -> None:
    async with service() as served:
        told: list[str] = []
        asked = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> dict[str, str]:
            return {"type": next(asked)}

        async def send(message: Any) -> None:
            told.append(message["type"])

        await served.app({"type": "lifespan"}, receive, send)
        assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        with pytest.raises(RuntimeError, match="http"):
            await served.app({"type": "something"}, receive, send)


async def test_a_websocket_is_turned_away_without_a_trace() -> None:
    async with service() as served:
        told: list[str] = []

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            told.append(message["type"])

        await served.app({"type": "websocket", "path": "/", "headers": []}, receive, send)
        assert told == ["websocket.close"]


async def test_both_functions_are_asked_for() -> None:
    async with service() as served:
        for name in ("authorize", "build"):
            given: Any = {"authorize": served.authorize, "build": served.build, name: None}
            with pytest.raises(TypeError, match=f"{name} is an async function"):
                served.hub.app("native", **given)


async def test_nothing_of_the_request_and_its_costs_crosses() -> None:
    async with service() as served:
        ticket = await served.hub.start(StreamRequest("a secret prompt", custom_id="secret-id"), key="secret-key")
        browser = await Browser(served.hub.response(ticket.id)).alone()
        assert browser.text == TEXT
        seen = browser.body.decode() + repr(browser.headers)
        for secret in ("secret", "req_", "ratelimit", "request_id", ticket.id):
            assert secret not in seen


def test_ids_say_who_issued_them_and_nothing_else_is_one() -> None:
    instance = new_instance()
    assert issued_by(new_id(instance)) == instance
    assert len({new_id(instance) for _ in range(1000)}) == 1000
    for name in ("", "ms--", "ms-12345678-", f"{new_id(instance)}x", "alice-1", new_id("nothex!!")):
        assert issued_by(name) is None


async def test_where_starlette_is_in_use_the_response_is_one_of_its_own() -> None:
    from starlette.background import BackgroundTask
    from starlette.responses import Response

    async with service() as served:
        ticket = await served.hub.start("hi")
        response: Any = served.hub.response(ticket.id)
        assert isinstance(response, Response)
        assert not isinstance(response, RelayResponse)
        response.headers["x-more"] = "1"
        response.set_cookie("seen", "yes")
        done: list[str] = []

        async def background() -> None:
            done.append("done")

        response.background = BackgroundTask(background)
        browser = await Browser(response).alone()
        assert (browser.text, browser.headers["x-more"], done) == (TEXT, "1", ["done"])
        assert "seen=yes" in browser.headers["set-cookie"]
        assert "content-length" not in browser.headers
