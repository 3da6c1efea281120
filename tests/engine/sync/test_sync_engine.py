"""The engine for synchronous code: what it gives, in which thread things happen, and how it ends."""

from __future__ import annotations

import contextvars
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_type_hints

import anyio
import pytest
from tests.support.engines import AT_ONCE, assert_one_ending, model_for, outcomes

from manystream import (
    Conflate,
    Engine,
    Lossless,
    MissingCredentialsError,
    StreamError,
    StreamRequest,
    StreamTruncated,
    SyncEngine,
    SyncHandle,
)
from manystream.actors.actor import StreamActor
from manystream.engine.simulator import Cut, Simulator, Stall
from manystream.engine.sync.sync_engine import EngineSettings

Backend = Literal["asyncio", "trio"]
CALLS = [
    "stream",
    "gather",
    *(pytest.param(call, marks=pytest.mark.slow) for call in ("as_completed", "wait", "close")),
]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def engine(simulator: Simulator, backend: Backend) -> Iterator[SyncEngine]:
    with SyncEngine(model_for(simulator), backend=backend, retry=AT_ONCE, grace=5) as engine:
        yield engine


def test_its_settings_are_the_engine_s() -> None:
    parameters = inspect.signature(Engine).parameters
    theirs = {name: str(one.annotation) for name, one in parameters.items() if name != "model"}
    ours = {name: str(kind) for name, kind in get_type_hints(EngineSettings).items()}
    assert ours.keys() == theirs.keys()
    assert {name: str(kind) for name, kind in get_type_hints(Engine.__init__).items() if name in ours} == ours


@pytest.mark.parametrize("policy", [None, Conflate(), Lossless(1), Lossless()], ids=repr)
def test_a_stream_gives_all_events(
    simulator: Simulator, engine: SyncEngine, policy: Conflate | Lossless | None
) -> None:
    text = " ".join(f"word{number}" for number in range(500))
    simulator.script([text])
    stream = engine.stream("hi", policy=policy)
    events = list(stream)
    end = assert_one_ending(events)
    assert end.result is stream.result
    assert end.result.text == text
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_s_text(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script(["one two three"])
    with engine.stream("hi") as stream:
        assert "".join(stream.text_stream) == "one two three"
    assert stream.result.state == "complete"
    assert stream.custom_id is None
    assert "done" in repr(stream)


def test_half_an_answer_raises_after_its_last_event(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script([Cut(1, "close", text="one two three four")])
    got: list[Any] = []
    with pytest.raises(StreamTruncated) as caught:
        got.extend(engine.stream("hi"))
    assert caught.value.result.state == "truncated"


def test_what_is_no_request_is_told_where_it_is_given(engine: SyncEngine) -> None:
    with pytest.raises(TypeError):
        engine.stream(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.submit(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        list(engine.as_completed([7]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="limit"):
        engine.gather(["hi"], limit=0)
    wrongs: list[Any] = ["hi", {"messages": []}, StreamRequest("hi"), 3, None]
    for wrong in wrongs:
        for call in (engine.gather, engine.as_completed):
            with pytest.raises(TypeError, match="requests is an iterable of requests, not"):
                call(wrong)


def test_a_stream_that_is_dropped_is_cancelled(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script([Stall(1, text="one two three four")])
    for _ in engine.stream("hi"):
        break
    simulator.wait_until(lambda seen: outcomes(seen) == ["disconnected"])


@pytest.mark.parametrize("leave", ["close", "with"])
def test_a_stream_that_is_left_has_stopped(simulator: Simulator, engine: SyncEngine, leave: str) -> None:
    simulator.script([Stall(1, text="one two three four")])
    stream = engine.stream("hi")
    next(stream)
    if leave == "close":
        stream.close()
        stream.close()
    else:
        with stream:
            pass
    assert stream.result.state == "cancelled"
    assert engine.stats().running == 0
    with pytest.raises(anyio.ClosedResourceError):
        next(stream)


def test_gather_keeps_the_order_and_takes_requests_in_the_caller_s_thread(
    simulator: Simulator, engine: SyncEngine
) -> None:
    drawn: list[int] = []

    def requests() -> Iterator[StreamRequest]:
        for number in range(20):
            drawn.append(threading.get_ident())
            yield StreamRequest("hi", custom_id=str(number))

    results = engine.gather(requests(), limit=3)
    assert [result.custom_id for result in results] == [str(number) for number in range(20)]
    assert set(drawn) == {threading.get_ident()}
    assert engine.gather([]) == []
    assert [result.state for result in engine.gather(("a", "b"))] == ["complete"] * 2


def test_failures_are_among_the_results(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script([400, "well"])
    assert [result.state for result in engine.gather(["a", "b"], limit=1)] == ["failed", "complete"]


@pytest.mark.parametrize("how", ["gather", "as_completed"])
def test_what_the_iterable_raises_is_raised(simulator: Simulator, engine: SyncEngine, how: str) -> None:
    simulator.script([Stall(1, text="one two three four")])

    def requests() -> Iterator[str]:
        yield "hi"
        simulator.wait_until(lambda seen: len(seen.requests) == 1)
        raise LookupError("planted")

    with pytest.raises(LookupError, match="planted"):
        if how == "gather":
            engine.gather(requests())
        else:
            with engine.as_completed(requests()) as results:
                list(results)
    simulator.wait_until(lambda seen: outcomes(seen) == ["disconnected"])


def test_requests_that_come_asynchronously_are_refused(engine: SyncEngine) -> None:
    async def requests() -> AsyncIterator[str]:
        yield "hi"

    with pytest.raises(TypeError, match="asynchronous one is for Engine"):
        engine.gather(requests())  # type: ignore[arg-type]


def test_results_as_they_come(simulator: Simulator, engine: SyncEngine) -> None:
    requests = (StreamRequest("hi", custom_id=str(number)) for number in range(30))
    results = list(engine.as_completed(requests))
    assert sorted(int(str(result.custom_id)) for result in results) == list(range(30))


def test_results_that_are_dropped_stop_what_runs(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script(["quick", Stall(1, text="one two three four"), Stall(1, text="one two three four")])
    for result in engine.as_completed(["a", "b", "c"]):
        assert result.text == "quick"
        break
    simulator.wait_until(lambda seen: sorted(outcomes(seen)) == ["complete", "disconnected", "disconnected"])


def test_results_that_are_not_taken_keep_their_places(simulator: Simulator, backend: Backend) -> None:
    drawn: list[int] = []

    def requests() -> Iterator[str]:
        for number in range(100):
            drawn.append(number)
            yield "hi"

    with SyncEngine(model_for(simulator), backend=backend, max_concurrency=2) as engine:
        results = engine.as_completed(requests())
        next(results)
        simulator.wait_until(lambda seen: len(seen.requests) >= 2)
        assert len(drawn) < 10  # a batch ahead, and as many as run
        results.close()


def test_a_handle_is_waited_for(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script([Stall(1, text="one two three four")])
    handle = engine.submit("hi")
    with pytest.raises(TimeoutError):
        handle.wait(0.01)
    simulator.wait_until(lambda seen: len(seen.requests) == 1)
    with pytest.raises(RuntimeError, match="still running"):
        _ = handle.result
    found = engine.get(handle.id)
    assert found is not None
    assert found.id == handle.id
    assert handle.snapshot().stream_id == handle.id
    handle.cancel("enough")
    assert handle.wait().state == "cancelled"
    assert handle.snapshot().stream_id == handle.id
    assert engine.get(handle.id) is None


def test_what_has_ended_is_found_for_a_while(simulator: Simulator, backend: Backend) -> None:
    with SyncEngine(model_for(simulator), backend=backend, keep_ended=60) as engine:
        handle, stream = engine.submit("hi"), engine.stream("hi")
        list(stream)
        result = handle.wait()
        for one in (handle, stream):
            found = engine.get(one.id)
            assert found is not None
            assert found.state == one.state
        found = engine.get(handle.id)
        assert found is not None
        assert found.wait() == result


def test_a_wrong_policy_sends_nothing(simulator: Simulator, engine: SyncEngine) -> None:
    with pytest.raises(TypeError):
        engine.stream("hi", policy="lossless")  # type: ignore[arg-type]
    assert engine.stats().running == 0
    assert not simulator.requests


def test_a_group_is_cancelled(simulator: Simulator, engine: SyncEngine) -> None:
    simulator.script([Stall(1, text="one two three four")])
    handle = engine.submit(StreamRequest("hi", group="g"))
    engine.cancel_group("g", reason="enough")
    assert handle.wait().state == "cancelled"


def test_many_threads_at_once(simulator: Simulator, engine: SyncEngine) -> None:
    def work(number: int) -> list[str]:
        if number % 3 == 0:
            return ["".join(engine.stream("hi").text_stream)]
        if number % 3 == 1:
            return [result.text for result in engine.gather(["hi", "hi"])]
        return [engine.submit("hi").wait().text]

    with ThreadPoolExecutor(24) as threads:
        texts = list(threads.map(work, range(96)))
    assert all(all(group) for group in texts)
    assert engine.stats().running == 0


def test_leaving_lets_what_runs_finish(simulator: Simulator, backend: Backend) -> None:
    simulator.script(["well"])
    with SyncEngine(model_for(simulator), backend=backend) as engine:
        handle = engine.submit("hi")
    assert handle.wait().text == "well"
    assert handle.wait(0).text == "well"
    assert handle.snapshot().parts


def test_leaving_with_an_exception_cancels(simulator: Simulator, backend: Backend) -> None:
    simulator.script([Stall(1, text="one two three four")])
    handles: list[SyncHandle] = []
    with pytest.raises(LookupError), SyncEngine(model_for(simulator), backend=backend) as engine:
        handles.append(engine.submit("hi"))
        simulator.wait_until(lambda seen: len(seen.requests) == 1)
        raise LookupError
    assert handles[0].result.state == "cancelled"


def test_leaving_ends_what_other_threads_wait_for(simulator: Simulator, backend: Backend) -> None:
    simulator.script([Stall(1, text="one two three four")] * 4)
    with SyncEngine(model_for(simulator), backend=backend, grace=0) as engine, ThreadPoolExecutor(4) as threads:
        stream = engine.stream("a")
        waits = [
            threads.submit(lambda: list(stream)),
            threads.submit(lambda: engine.gather(["b", "b"], limit=1)),
            threads.submit(lambda: list(engine.as_completed(iter(["c"])))),
            threads.submit(lambda: engine.submit("d").wait()),
        ]
        simulator.wait_until(lambda seen: len(seen.requests) == 4)
        engine.close()
        ends = [wait.exception(5) for wait in waits]
    assert isinstance(ends[0], StreamError)
    # The others end in one way or another, as the engine was closed under them, but they end.
    assert all(end is None or isinstance(end, RuntimeError | anyio.ClosedResourceError) for end in ends[1:]), ends


def test_what_is_unread_does_not_hold_up_the_end(simulator: Simulator, backend: Backend) -> None:
    with SyncEngine(model_for(simulator), backend=backend) as engine:
        stream, results = engine.stream("a", policy=Lossless(1)), engine.as_completed(["b"] * 5)
        simulator.wait_until(lambda seen: len(seen.requests) == 6)
        engine.close()
    stream.close()
    results.close()


def test_it_is_opened_once_and_used_while_it_is_open(simulator: Simulator, backend: Backend) -> None:
    engine = SyncEngine(model_for(simulator), backend=backend)
    with pytest.raises(RuntimeError, match=r"open the engine first: with SyncEngine"):
        engine.submit("hi")
    engine.close()
    engine.open()
    with pytest.raises(RuntimeError, match="opened once"):
        engine.open()
    assert engine.submit("hi").wait().state == "complete"
    with ThreadPoolExecutor(4) as threads:
        for closed in [threads.submit(engine.close) for _ in range(4)]:
            closed.result(5)
    with pytest.raises(RuntimeError, match="the engine is closed"):
        engine.gather(["hi"])
    with pytest.raises(ValueError, match="backend"):
        SyncEngine(model_for(simulator), backend="curio")  # type: ignore[arg-type]


def test_what_opening_raises(simulator: Simulator, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    before = threading.active_count()
    with pytest.raises(MissingCredentialsError), SyncEngine(model_for(simulator, api_key=None), backend=backend):
        pass
    assert threading.active_count() == before


def test_the_caller_s_context_goes_along(
    simulator: Simulator, engine: SyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = contextvars.ContextVar[str]("user")
    seen: list[str] = []
    inner: Engine = engine._engine  # pyright: ignore[reportPrivateUsage]
    launch = inner.launch

    def noted(*args: Any, **named: Any) -> StreamActor:
        seen.append(user.get())
        return launch(*args, **named)

    monkeypatch.setattr(inner, "launch", noted)
    user.set("me")
    engine.submit("hi").wait()
    list(engine.stream("hi"))
    engine.gather(["hi"])
    list(engine.as_completed(["hi"]))
    assert seen == ["me"] * 4


def test_nothing_of_a_stream_is_kept(engine: SyncEngine) -> None:
    stream = engine.stream("hi")
    list(stream)
    kept = weakref.ref(stream)
    exchange = weakref.ref(stream._exchange)  # pyright: ignore[reportPrivateUsage]
    del stream
    gc.collect()
    assert kept() is None
    assert exchange() is None


_LEFT_OPEN = """
import sys
from manystream import AnthropicModel, SyncEngine
engine = SyncEngine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=sys.argv[1]), backend=sys.argv[2])
engine.open()
stream = engine.stream("hi")
print(next(stream).stream_id == stream.id)
"""


def test_a_process_that_leaves_it_open_ends(simulator: Simulator, backend: Backend) -> None:
    simulator.script([Stall(1, text="one two three four")])
    command = [sys.executable, "-c", _LEFT_OPEN, simulator.url, backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "True\n"
    simulator.wait_until(lambda seen: outcomes(seen) == ["disconnected"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_in_a_forked_process(simulator: Simulator, engine: SyncEngine) -> None:
    stream = engine.stream("hi")
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        said: list[bool] = []
        for call in (lambda: engine.submit("hi"), lambda: next(stream), engine.stats):
            try:
                call()
            except RuntimeError as exc:
                said.append("parent process" in str(exc))
        engine.close()
        stream.close()
        os._exit(0 if said == [True] * 3 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(list(stream)) > 1


def test_one_that_is_never_closed_warns(simulator: Simulator, backend: Backend) -> None:
    engine = SyncEngine(model_for(simulator), backend=backend)
    engine.open()
    loop = engine._loop  # pyright: ignore[reportPrivateUsage]
    kept = [engine]
    del engine
    with pytest.warns(ResourceWarning, match="never closed"):
        kept.clear()
    loop.close()


def test_what_crashes_the_engine_is_raised_when_it_is_closed(simulator: Simulator, backend: Backend) -> None:
    engine = SyncEngine(model_for(simulator), backend=backend)
    engine.open()
    simulator.script([Stall(1, text="one two three four")])
    stream = engine.stream("hi")
    inner: Engine = engine._engine  # pyright: ignore[reportPrivateUsage]

    async def crash() -> None:
        raise LookupError("planted")

    engine._loop.call(lambda: [inner.start_side_task(crash())])  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(StreamError):
        list(stream)
    with pytest.raises(LookupError, match="planted"):
        engine.close()


_INTERRUPTED = """
import os, signal, sys, threading
from manystream import AnthropicModel, SyncEngine
url, backend, what = sys.argv[1:]
model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=url)

def interrupt():
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    with SyncEngine(model, backend=backend) as engine:
        try:
            if what == "stream":
                for event in engine.stream("hi"):
                    pass
            elif what == "gather":
                engine.gather(["hi"])
            elif what == "as_completed":
                for result in engine.as_completed(iter(["hi"])):
                    pass
            elif what == "wait":
                engine.submit("hi").wait()
            else:
                engine.submit("hi")
                engine.close()
        finally:
            print("left the call", flush=True)
except KeyboardInterrupt:
    assert not [thread for thread in threading.enumerate() if "manystream" in thread.name]
    print("interrupted", flush=True)
"""


_TERMINATED = """
import os, signal, sys, threading
from manystream import AnthropicModel, SyncEngine
url, backend = sys.argv[1:]
engine = SyncEngine(AnthropicModel("claude-opus-5-5", api_key="k", base_url=url), backend=backend, grace=0.5)
engine.open()
signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), engine.close()))
handle = engine.submit("hi")
sys.stdin.readline()
threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
engine.close()
print(handle.result.state)
"""


def test_a_signal_handler_may_close_it_while_it_is_closed(simulator: Simulator, backend: Backend) -> None:
    simulator.script([Stall(1, text="one two three four")])
    process = subprocess.Popen(
        [sys.executable, "-c", _TERMINATED, simulator.url, backend],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    simulator.wait_until(lambda seen: len(seen.requests) == 1, timeout=20)
    said, _ = process.communicate("\n", timeout=20)
    assert said.split() == ["asked", "cancelled"]


@pytest.mark.parametrize("what", CALLS)
def test_ctrl_c_cancels_the_call_and_leaves(simulator: Simulator, backend: Backend, what: str) -> None:
    simulator.script([Stall(1, text="one two three four")])
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, simulator.url, backend, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    simulator.wait_until(lambda seen: len(seen.requests) == 1, timeout=20)
    said, _ = process.communicate("\n", timeout=20)
    assert said.splitlines() == ["left the call", "interrupted"]
    simulator.wait_until(lambda seen: outcomes(seen) == ["disconnected"])
