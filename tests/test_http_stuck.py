"""Requests that are stuck where the event loops wait in several tasks at once: connecting, and writing what nobody
reads. Cancelled there, or past a deadline, they end as that, on every event loop."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trustme
from anyio.lowlevel import checkpoint

from manystream import AnthropicModel, Deadlines, Engine, State, StreamHandle, StreamRequest, StreamResult
from manystream.engine.http import HttpTransport
from manystream.engine.http.ungrouped import one_of, ungrouped
from manystream.engine.httpx_adapter import adapt

from .engines import AT_ONCE
from .wire_server import Peer, crowded_port, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("error"),
    # The older httpx leaves a request's pieces to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*ByteStream.__aiter__:pytest.PytestUnraisableExceptionWarning"),
]

BACKENDS = {"asyncio": "asyncio", "trio": "trio", "uvloop": ("asyncio", {"use_uvloop": True})}
LARGE = "x" * 8_000_000


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Cancellation is tried on uvloop too."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> Iterator[None]:
    """What was there before these tests is not looked at by each collection: that would take most of their time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context."""
    context = ssl.create_default_context()
    authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture(scope="module")
def certified(authority: trustme.CA) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


class Place:
    """Where a request is stuck: `url` leads there, `reached` waits until one is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[int] = []
        """How many bytes were received of each request in the end: never all of it."""
        self.connected = anyio.Event()

    async def reached(self) -> None:
        await self.connected.wait()
        for _ in range(20):
            await anyio.wait_all_tasks_blocked()
            await checkpoint()


Places = Callable[[], AbstractAsyncContextManager[Place]]


@pytest.fixture(params=["connecting", "writing", "writing over TLS"])
def stuck(request: pytest.FixtureRequest, certified: ssl.SSLContext) -> Places:
    @asynccontextmanager
    async def connecting() -> AsyncIterator[Place]:
        with crowded_port() as port:
            place = Place(f"http://127.0.0.1:{port}")
            place.connected.set()
            yield place

    @asynccontextmanager
    async def writing() -> AsyncIterator[Place]:
        async def read_late(peer: Peer) -> None:
            place.connected.set()
            await over.wait()
            place.received.append(0)
            while True:
                place.received[-1] += len(await peer.stream.receive())

        over = anyio.Event()
        tls = certified if request.param == "writing over TLS" else None
        async with serving(b"", tls=tls, connected=read_late, receive_buffer=10_000) as server:
            place = Place(f"http{'s' if tls else ''}://127.0.0.1:{server.port}")
            yield place
            over.set()
            with anyio.fail_after(5):
                await server.lost.wait()
            assert place.received
            assert max(place.received) < len(LARGE)

    return connecting if request.param == "connecting" else writing


async def post(client: httpx2.AsyncClient, url: str) -> None:
    await client.post(url, content=LARGE)


# -- the transport, and the adapter of httpx


@pytest.fixture(params=["our transport", "httpx"])
def client(request: pytest.FixtureRequest, trusting: ssl.SSLContext) -> Any:
    """Makes a client that leaves nothing open at its end."""

    @asynccontextmanager
    async def ours() -> AsyncIterator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(transport=HttpTransport(ssl_context=trusting), timeout=None) as client:
            yield client

    @asynccontextmanager
    async def older() -> AsyncIterator[httpx2.AsyncClient]:
        async with httpx.AsyncClient(verify=trusting, timeout=None, trust_env=False) as client:
            yield adapt(client)

    return ours if request.param == "our transport" else older


async def test_a_cancellation_comes_out_as_it_is(stuck: Places, client: Any) -> None:
    raised: list[BaseException] = []

    async def ask() -> None:
        try:
            await post(http, place.url)
        except BaseException as exc:
            raised.append(exc)
            raise

    async with client() as http, stuck() as place, anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await place.reached()
        tasks.cancel_scope.cancel()
    (exc,) = raised
    assert type(exc) is anyio.get_cancelled_exc_class() or isinstance(exc, asyncio.CancelledError)
    exc.__traceback__ = None


async def test_a_scope_of_the_callers_is_the_one_that_was_cancelled(stuck: Places, client: Any) -> None:
    async with client() as http, stuck() as place:
        with anyio.move_on_after(0.1) as scope:
            await post(http, place.url)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await post(http, place.url)


async def test_its_own_time_to_connect(client: Any) -> None:
    with crowded_port() as port:
        async with client() as http:
            with pytest.raises(httpx2.ConnectTimeout):
                await http.post(f"http://127.0.0.1:{port}/", timeout=httpx2.Timeout(None, connect=0.1))
            with pytest.raises(httpx2.ConnectTimeout):
                await http.post(f"https://127.0.0.1:{port}/", timeout=httpx2.Timeout(None, connect=0.1))


async def test_its_own_time_to_write(client: Any, certified: ssl.SSLContext) -> None:
    async def deaf(peer: Peer) -> None:
        await anyio.sleep_forever()

    for tls in (None, certified):
        async with (
            client() as http,
            serving(b"", tls=tls, connected=deaf, receive_buffer=10_000) as server,
        ):
            with pytest.raises(httpx2.WriteTimeout):
                await http.post(
                    f"http{'s' if tls else ''}://127.0.0.1:{server.port}/",
                    content=LARGE,
                    timeout=httpx2.Timeout(None, write=0.1),
                )


# -- the engine


def model_at(url: str, http_client: Any = None) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", api_key="k", base_url=url, http_client=http_client)


@asynccontextmanager
async def engine_at(url: str, kind: str, trusting: ssl.SSLContext, **options: Any) -> AsyncIterator[Engine]:
    options = {"retry": AT_ONCE, "grace": 0} | options
    if kind == "httpx":
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as client:
            async with Engine(model_at(url, client), **options) as engine:
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


async def test_a_stream_that_is_cancelled(stuck: Places, kind: str, trusting: ssl.SSLContext) -> None:
    async with stuck() as place, engine_at(place.url, kind, trusting) as engine:
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


async def test_a_consumer_that_leaves(stuck: Places, kind: str, trusting: ssl.SSLContext) -> None:
    async with stuck() as place, engine_at(place.url, kind, trusting) as engine:
        async with engine.stream(LARGE) as stream:
            await place.reached()
        with anyio.fail_after(5):
            result = await engine_result(stream)
        assert (result.state, result.cancelled_by) == ("cancelled", "consumer")


async def engine_result(stream: Any) -> StreamResult:
    return await stream.handle.wait()


async def test_many_that_are_cancelled_at_any_time(stuck: Places, kind: str, trusting: ssl.SSLContext) -> None:
    async def cancel(number: int) -> None:
        handle = engine.submit(StreamRequest(LARGE, custom_id=str(number)))
        handles.append(handle)
        for _ in range(number):
            await checkpoint()
        handle.cancel(reason=str(number))

    handles: list[StreamHandle] = []
    async with stuck() as place, engine_at(place.url, kind, trusting, max_concurrency=30) as engine:
        async with anyio.create_task_group() as tasks:
            for number in range(0, 60, 3):
                tasks.start_soon(cancel, number)
        results = [await handle.wait() for handle in handles]
        place.received.append(0)  # perhaps none of them got to connect
        if not place.connected.is_set():
            async with engine.stream(LARGE):
                await place.reached()
    assert {(result.state, result.error) for result in results} == {("cancelled", None)}
    assert all(result.cancel_reason == result.custom_id for result in results)


async def test_the_deadline_total(stuck: Places, kind: str, trusting: ssl.SSLContext) -> None:
    async with stuck() as place, engine_at(place.url, kind, trusting, deadlines=Deadlines(total=0.3)) as engine:
        handle = engine.submit(LARGE)
        with anyio.fail_after(5):
            result = await handle.wait()
    assert result.state == "failed"
    assert result.error is not None
    assert (result.error.type, result.error.deadline) == ("deadline_exceeded", "total")
    assert len(result.attempts) == 1
    check_ending(result, handle)


async def test_the_deadline_silence(stuck: Places, kind: str, trusting: ssl.SSLContext) -> None:
    deadlines = Deadlines(silence=0.2, connect=None)
    async with stuck() as place, engine_at(place.url, kind, trusting, deadlines=deadlines) as engine:
        handle = engine.submit(StreamRequest(LARGE, retry=attempts(2)))
        with anyio.fail_after(5):
            result = await handle.wait()
    assert result.state == "failed"
    assert [attempt.error and attempt.error.deadline for attempt in result.attempts] == ["silence"] * 2
    check_ending(result, handle)


def attempts(number: int) -> Any:
    import attrs

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
    cancelled = anyio.get_cancelled_exc_class()
    cancellation = cancelled._create() if hasattr(cancelled, "_create") else cancelled()  # type: ignore[attr-defined]
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
    import weakref

    class Mine(Exception):
        pass

    async def fail() -> None:
        async with anyio.create_task_group():
            raise Mine

    gc.collect()
    gc.disable()
    try:
        try:
            await ungrouped(fail)
        except Mine as exc:
            assert exc.__context__ is None
            known = weakref.ref(exc)
        for _ in range(3):
            await checkpoint()
        assert known() is None
    finally:
        gc.enable()
