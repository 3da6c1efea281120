"""The chat among the examples, as its page uses it: against the simulator, over HTTP without a socket."""

import importlib.util
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from manystream import AnthropicModel, EngineBusy, Simulator, StreamHub
from tests.support.asgi import frames_of, told

pytest.importorskip("fastapi")
from starlette.testclient import TestClient

FOLDER = Path(__file__).parent.parent / "examples" / "chat"


@pytest.fixture
def example() -> Generator[Any]:
    spec = importlib.util.spec_from_file_location("chat_example", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chat_example"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["chat_example"]


def test_a_chat_is_asked_reloaded_and_asked_again(
    example: Any, tmp_path: Path, manystream_simulator: Simulator
) -> None:
    simulator = manystream_simulator
    simulator.script(["a river is water", "the sea is salt"])
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url, defaults={"max_tokens": 50})
    app = example.make_app(model, tmp_path)
    with TestClient(app) as client:
        assert "EventSource" in client.get("/").text
        assert client.get("/history/c1").status_code == 404
        assert client.post("/chat/", json={"id": "c1", "message": "What is a river?"}).status_code == 201
        answer = client.get("/chat/c1/stream")
        assert told(answer.content) == "a river is water"
        (started,) = [data for _, event, data in frames_of(answer.content) if event == "stream_start"]
        assert told(client.get("/chat/c1/stream").content) == "a river is water"  # a second tab, or a reload
        said = client.get("/history/c1").json()
        assert [(one["role"], one["text"]) for one in said] == [
            ("user", "What is a river?"),
            ("assistant", "a river is water"),
        ]
        assert said[1]["message_id"] == started["message_id"]  # so the page knows that it has it already
        client.post("/chat/", json={"id": "c1", "message": "And the sea?"})
        assert told(client.get("/chat/c1/stream").content) == "the sea is salt"
        sent = simulator.requests[-1].json
        assert [one["content"] for one in sent["messages"]] == [
            "What is a river?",
            "a river is water",
            "And the sea?",
        ]
        assert sent["system"] == example.SYSTEM
        assert client.post("/chat/c1/stop").status_code == 204
        client.cookies.clear()
        client.get("/")  # somebody else
        assert client.get("/history/c1").status_code == client.get("/chat/c1/stream").status_code == 404
        assert client.post("/chat/", json={"id": "c1", "message": "What did they ask?"}).status_code == 404


def test_a_question_that_was_refused_and_asked_again_stands_in_the_chat_once(
    example: Any, tmp_path: Path, manystream_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = manystream_simulator
    simulator.script(["a river is water"])
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url, defaults={"max_tokens": 50})

    async def busy(*given: Any, **named: Any) -> None:
        raise EngineBusy("the queue is full")

    with TestClient(example.make_app(model, tmp_path)) as client:
        client.get("/")
        asked = {"id": "c1", "message": "What is a river?"}
        with monkeypatch.context() as patched:
            patched.setattr(StreamHub, "start", busy)
            assert client.post("/chat/", json=asked).status_code == 503
        assert client.post("/chat/", json=asked).status_code == 201
        assert told(client.get("/chat/c1/stream").content) == "a river is water"
        assert [one["content"] for one in simulator.requests[-1].json["messages"]] == ["What is a river?"]
        assert [one["role"] for one in client.get("/history/c1").json()] == ["user", "assistant"]


def test_its_page_needs_no_build_step_and_nothing_from_elsewhere() -> None:
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert "src=" not in page
