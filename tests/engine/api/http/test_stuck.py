"""Requests that are stuck where the event loops wait in several tasks at once: connecting, and writing what nobody
reads. Cancelled there, or past a deadline, they end as that, on every event loop."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import httpx
import httpx2
import pytest
import trustme
from anyio.lowlevel import checkpoint
from tests.support.engines import AT_ONCE
from tests.support.wire_server import DeafServer, certified, crowded_port

from manystream import AnthropicModel, Deadlines, Engine, State, StreamHandle, StreamRequest, StreamResult
from manystream.engine.api.http import HttpTransport
from manystream.engine.api.http.ungrouped import one_of, ungrouped
from manystream.engine.api.old_httpx import adapt

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("error"),
    # The older httpx leaves a request's pieces to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning"),
]

LARGE = "x" * 8_000_000


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context."""
    return certified(authority, "127.0.0.1")


class Place:
    """Where a request is stuck: `url` leads there; with a server that can tell when one is there."""

    def __init__(self, url: str, server: DeafServer | None = None) -> None:
        self.url = url
        self._server = server

    async def reached(self) -> None:
        """Waits until a request is there."""
        if self._server is not None:
            await anyio.to_thread.run_sync(self._server.wait_until_full)
        for _ in range(20):
            await anyio.wait_all_tasks_blocked()
            await checkpoint()


Stuck = Callable[[], AbstractContextManager[Place]]


@pytest.fixture(params=["connecting", "writing", "writing over TLS"])
def stuck(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> Stuck:
    @contextmanager
    def connecting() -> Generator[Place]:
        with crowded_port() as port:
            yield Place(f"http://127.0.0.1:{port}")

    @contextmanager
    def writing() -> Generator[Place]:
        server = DeafServer(server_context if request.param == "writing over TLS" else None)
        try:
            yield Place(f"http{'s' if request.param == 'writing over TLS' else ''}://127.0.0.1:{server.port}", server)
        finally:
            server.close()
        assert server.received
        assert max(server.received) < len(LARGE)

    return connecting if request.param == "connecting" else writing


async def post(client: httpx2.AsyncClient, url: str) -> None:
    await client.post(url, content=LARGE)


# -- the transport, and the adapter of httpx


@pytest.fixture(params=["our transport", "httpx"])
def client(request: pytest.FixtureRequest, trusting: ssl.SSLContext) -> Any:
    """Makes a client that leaves nothing open at its end."""

    @asynccontextmanager
    async def ours() -> AsyncGenerator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(transport=HttpTransport(ssl_context=trusting), timeout=None) as client:
            yield client

    @asynccontextmanager
    async def older() -> AsyncGenerator[httpx2.AsyncClient]:
        async with httpx.AsyncClient(verify=trusting, timeout=None, trust_env=False) as client:
            yield adapt(client)

    return ours if request.param == "our transport" else older


async def test_a_cancellation_comes_out_as_it_is(stuck: Stuck, client: Any) -> None:
    raised: list[BaseException] = []

    async def ask() -> None:
        try:
            await post(http, place.url)
        except BaseException as exc:
            raised.append(exc)
            raise

    with stuck() as place:
        async with client() as http, anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await place.reached()
            tasks.cancel_scope.cancel()
    (exc,) = raised
    assert type(exc) is anyio.get_cancelled_exc_class() or isinstance(exc, asyncio.CancelledError)
    exc.__traceback__ = None


async def test_a_scope_of_the_callers_is_the_one_that_was_cancelled(stuck: Stuck, client: Any) -> None:
    with stuck() as place:
        async with client() as http:
            with anyio.move_on_after(0.3) as scope:
                await post(http, place.url)
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(0.3):
                await post(http, place.url)


async def test_its_own_time_to_connect(client: Any) -> None:
    with crowded_port() as port:
        async with client() as http:
            with pytest.raises(httpx2.ConnectTimeout):
                await http.post(f"http://127.0.0.1:{port}/", timeout=httpx2.Timeout(None, connect=0.1))
            with pytest.raises(httpx2.ConnectTimeout):
                await http.post(f"https://127.0.0.1:{port}/", timeout=httpx2.Timeout(None, connect=0.1))


async def test_its_own_time_to_write(client: Any, server_context: ssl.SSLContext) -> None:
    for tls in (None, server_context):
        server = DeafServer(tls)
        async with client() as http:
            with pytest.raises(httpx2.WriteTimeout):
                await http.post(
                    f"http{'s' if tls else ''}://127.0.0.1:{server.port}/",
                    content=LARGE,
                    timeout=httpx2.Timeout(None, write=0.2),
                )
        await anyio.to_thread.run_sync(server.close)


# -- the engine


def model_at(url: str, http_client: Any = None) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", api_key="k", base_url=url, http_client=http_client)


@asynccontextmanager
async def engine_at(url: str, kind: str, trusting: ssl.SSLContext, **options: Any) -> AsyncGenerator[Engine]:
    options = {"retry": AT_ONCE, "grace": 0} | options
    if kind == "httpx":
        async with (
            httpx.AsyncClient(verify=trusting, trust_env=False) as client,
            Engine(model_at(url, client), **options) as engine,
        ):
            yield engine
    else:
        async with Engine(model_at(url), **options) as engine:
            yield engine


@pytest.fixture(params=["ours", "httpx"])
def kind(request: pytest.FixtureRequest, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Whose client; ours trusts the authority, since the environment says so."""
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return request.param


def check_ending(result: StreamResult, handle: StreamHandle) -> None:
    assert handle.state is {"failed": State.FAILED, "cancelled": State.CANCELLED}[result.state]
    assert [attempt.number for attempt in result.attempts] == list(range(1, len(result.attempts) + 1))


async def test_a_stream_that_is_cancelled(stuck: Stuck, kind: str, trusting: ssl.SSLContext) -> None:
    with stuck() as place:
        async with engine_at(place.url, kind, trusting) as engine:
            handle = engine.submit(LARGE)
            sibling = engine.submit(LARGE)
            await place.reached()
            assert handle.state is State.CONNECTING
            handle.cancel(reason="the user left")
            with anyio.fail_after(5):
                result = await handle.wait()
            assert (result.state, result.error) == ("cancelled", None)
            assert (result.cancelled_by, result.cancel_reason) == ("handle", "the user left")
            assert len(result.attempts) == 1
            check_ending(result, handle)
            assert sibling.state is State.CONNECTING
    assert (sibling.result.state, sibling.result.cancelled_by) == ("cancelled", "engine")


async def test_a_consumer_that_leaves(stuck: Stuck, kind: str, trusting: ssl.SSLContext) -> None:
    with stuck() as place:
        async with engine_at(place.url, kind, trusting) as engine:
            async with engine.stream(LARGE) as stream:
                await place.reached()
            assert (stream.result.state, stream.result.cancelled_by) == ("cancelled", "consumer")


@pytest.mark.parametrize("kind", ["ours"], indirect=True)  # httpx may lose a socket in TLS's handshake
async def test_many_that_are_cancelled_at_any_time(stuck: Stuck, kind: str, trusting: ssl.SSLContext) -> None:
    async def cancel(number: int) -> None:
        handle = engine.submit(StreamRequest(LARGE, custom_id=str(number)))
        handles.append(handle)
        for _ in range(number):
            await checkpoint()
        handle.cancel(reason=str(number))

    handles: list[StreamHandle] = []
    with stuck() as place:
        async with engine_at(place.url, kind, trusting, max_concurrency=30) as engine:
            async with anyio.create_task_group() as tasks:
                for number in range(0, 60, 3):
                    tasks.start_soon(cancel, number)
            results = [await handle.wait() for handle in handles]
            handle = engine.submit(LARGE)  # at least this one got there
            await place.reached()
            handle.cancel()
            await handle.wait()
    assert {(result.state, result.error) for result in results} == {("cancelled", None)}
    assert all(result.cancel_reason == result.custom_id for result in results)


async def test_the_deadline_total(stuck: Stuck, kind: str, trusting: ssl.SSLContext) -> None:
    with stuck() as place:
        async with engine_at(place.url, kind, trusting, deadlines=Deadlines(total=0.3)) as engine:
            handle = engine.submit(LARGE)
            with anyio.fail_after(5):
                result = await handle.wait()
    assert result.state == "failed"
    assert result.error is not None
    assert (result.error.type, result.error.deadline) == ("deadline_exceeded", "total")
    assert len(result.attempts) == 1
    check_ending(result, handle)


async def test_the_deadline_silence(stuck: Stuck, kind: str, trusting: ssl.SSLContext) -> None:
    deadlines = Deadlines(silence=0.2, connect=None)
    with stuck() as place:
        async with engine_at(place.url, kind, trusting, deadlines=deadlines) as engine:
            handle = engine.submit(StreamRequest(LARGE, retry=attempts(2)))
            with anyio.fail_after(5):
                result = await handle.wait()
    assert result.state == "failed"
    assert [attempt.error and attempt.error.deadline for attempt in result.attempts] == ["silence"] * 2
    check_ending(result, handle)


def attempts(number: int) -> Any:
    return attrs.evolve(AT_ONCE, max_attempts=number)


async def test_the_deadline_connect(kind: str, trusting: ssl.SSLContext) -> None:
    for scheme in ("http", "https"):
        with crowded_port() as port:
            url = f"{scheme}://127.0.0.1:{port}"
            async with engine_at(url, kind, trusting, deadlines=Deadlines(connect=0.1)) as engine:
                handle = engine.submit(StreamRequest(LARGE, retry=attempts(3)))
                with anyio.fail_after(5):
                    result = await handle.wait()
        assert result.state == "failed"
        assert result.error is not None
        assert [attempt.error and attempt.error.deadline for attempt in result.attempts] == ["connect"] * 3
        check_ending(result, handle)


# -- groups


async def test_what_counts_in_a_group(anyio_backend: Any) -> None:
    cancelled: Any = anyio.get_cancelled_exc_class()
    cancellation: BaseException = cancelled._create() if hasattr(cancelled, "_create") else cancelled()
    refused, unreachable = ConnectionRefusedError("refused"), OSError("unreachable")
    broken, bug = httpx2.ReadError("broken"), KeyError("mine")

    def counts(*found: BaseException) -> BaseException:
        nested = BaseExceptionGroup("inner", found[1:]) if found[1:] else None
        return one_of(BaseExceptionGroup("outer", [found[0], nested] if nested else [found[0]]))

    assert counts(refused, cancellation, bug) is cancellation
    assert counts(cancellation, KeyboardInterrupt("now")).args == ("now",)
    assert counts(refused, broken) is broken
    assert counts(refused, bug) is bug
    assert counts(refused) is refused
    assert str(counts(refused, unreachable, OSError("refused"))) == "refused; unreachable"


async def test_an_exception_out_of_a_group_is_freed_at_once(anyio_backend: Any) -> None:
    class Mine(Exception):
        pass

    async def fail() -> None:
        async with anyio.create_task_group():
            raise Mine

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Mine) as caught:
            await ungrouped(fail)
        assert caught.value.__context__ is None
        known = weakref.ref(caught.value)
        del caught
        for _ in range(3):
            await checkpoint()
        assert known() is None
    finally:
        gc.enable()
