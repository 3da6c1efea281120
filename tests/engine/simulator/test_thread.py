"""The simulator in a thread of its own, and the pytest fixture made of it: for programs that are not async."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, cast

import anthropic
import pytest
from anthropic.types import Message

from manystream.engine.simulator import ListenError, Simulator, Stall
from manystream.pytest_plugin import manystream_simulator  # noqa: F401  # pyright: ignore[reportUnusedImport]

ASK: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Say something"}],
}


def ask(simulator: Simulator) -> str:
    with anthropic.Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as client:
        message = cast(Message, client.messages.create(**ASK))
    (block,) = message.content
    assert block.type == "text"
    return block.text


def test_the_fixture(manystream_simulator: Simulator) -> None:  # noqa: F811
    manystream_simulator.script([529, "hello"])
    with pytest.raises(anthropic.OverloadedError):
        ask(manystream_simulator)
    assert ask(manystream_simulator) == "hello"
    assert ask(manystream_simulator)
    assert [request.status for request in manystream_simulator.requests] == [529, 200, 200]
    assert [request.outcome for request in manystream_simulator.requests] == ["complete"] * 3
    assert manystream_simulator.requests[0].json["model"] == "claude-opus-5-5"


def test_each_test_gets_a_simulator_of_its_own(manystream_simulator: Simulator) -> None:  # noqa: F811
    assert manystream_simulator.requests == []
    assert manystream_simulator.total_connections == 0


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    program = (
        "import sys; import manystream.pytest_plugin; "
        "print([name for name in sys.modules if name.startswith(('manystream.engine.', 'anyio', 'h11', 'anthropic'))])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_streaming_client_that_leaves_is_noticed() -> None:
    with Simulator().in_thread() as simulator:
        simulator.script([Stall(after=1)])
        with (
            anthropic.Anthropic(api_key="key", base_url=simulator.url) as client,
            client.messages.create(**ASK, stream=True) as events,
        ):
            for event in events:
                if event.type == "content_block_delta":
                    break
        simulator.wait_until(lambda s: s.requests[0].outcome == "disconnected")
        assert simulator.open_connections == 0


def test_the_thread_ends_with_the_context() -> None:
    before = threading.active_count()
    with Simulator().in_thread() as simulator:
        assert ask(simulator)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not being served"):
        _ = simulator.url


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_the_body_comes_out_as_it_is(error: type[BaseException]) -> None:
    before = threading.active_count()
    with pytest.raises(error), Simulator().in_thread():
        raise error
    assert threading.active_count() == before


def test_a_port_in_use_raises_and_leaves_no_thread() -> None:
    with Simulator().in_thread() as simulator:
        before = threading.active_count()
        with pytest.raises(ListenError, match="the port is in use"):
            Simulator().in_thread(port=int(simulator.url.rpartition(":")[2])).__enter__()
        assert threading.active_count() == before


def test_a_program_may_serve_several() -> None:
    with Simulator(seed=1).in_thread() as one, Simulator(seed=2).in_thread() as other:
        assert one.url != other.url
        assert ask(one) != ask(other)


def test_scripts_and_records_may_be_used_from_many_threads() -> None:
    with Simulator().in_thread() as simulator:
        simulator.script(["hello"] * 20)

        def work() -> None:
            with anthropic.Anthropic(api_key="key", base_url=simulator.url, max_retries=0) as client:
                for _ in range(5):
                    assert client.messages.create(**ASK)
                    assert simulator.requests

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        simulator.script(["the end"])
        assert ask(simulator) == "the end"  # each step was taken once
        assert len(simulator.requests) == 21
        assert {request.outcome for request in simulator.requests} == {"complete"}
