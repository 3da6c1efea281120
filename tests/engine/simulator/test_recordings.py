"""A folder of recorded streams to answer with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
from tests.support.reference.streams import STREAMS
from tests.support.responder import a_body, a_request, a_responder, body_of, json_of
from tests.support.virtual import virtual_backends

from manystream.engine.simulator import Faults, Simulator
from manystream.engine.simulator.answers.recordings import read_recordings, recorded_events
from manystream.engine.simulator.faults.performance import Tempo
from manystream.engine.simulator.faults.script import Script
from manystream.engine.simulator.served.responder import Responder
from manystream.engine.simulator.service.steps import Reply, Wait

BODIES = {name: STREAMS[name].body for name in ("text", "tool", "thinking") if name in STREAMS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, body in BODIES.items():
        (tmp_path / f"{name}.sse").write_bytes(body)
    (tmp_path / "notes.txt").write_text("not a recording")
    return tmp_path


def replaying(folder: Path, *, seed: int = 0, pace: Tempo | None = None, faults: Faults | None = None) -> Responder:
    recordings = read_recordings(folder)
    return Responder(Script(), pace or Tempo(), seed=seed, recordings=recordings, faults=faults or Faults())


def asked(responder: Responder, question: str, **params: Any) -> Reply:
    return responder.respond(a_request(a_body(question, stream=True, **params)))


def test_a_stream_is_one_of_the_folder_to_the_byte(folder: Path) -> None:
    responder = replaying(folder)
    got = {body_of(asked(responder, f"question {number}")) for number in range(30)}
    assert got == set(BODIES.values())


def test_the_request_and_the_seed_decide_which_one(folder: Path) -> None:
    questions = [f"question {number}" for number in range(12)]

    def answers(order: list[str], seed: int = 0) -> dict[str, bytes]:
        responder = replaying(folder, seed=seed)
        return {question: body_of(asked(responder, question)) for question in order}

    assert answers(questions) == answers(questions[::-1]) == answers(questions * 2)
    assert answers(questions) != answers(questions, seed=1)


def test_what_is_not_streamed_is_generated(folder: Path) -> None:
    message = json_of(replaying(folder).respond(a_request(a_body())))
    assert message["content"] == json_of(a_responder().respond(a_request(a_body())))["content"]


def test_they_come_at_the_models_pace_and_with_its_faults(folder: Path) -> None:
    steps = list(asked(replaying(folder, pace=Tempo(2.0, 10.0)), "x").steps)
    deltas = body_of(asked(replaying(folder), "x")).count(b"event: content_block_delta")
    waits = [step.seconds for step in steps if isinstance(step, Wait)]
    assert len(waits) == 1 + deltas > 2
    assert 1.0 <= waits[0] <= 3.0
    cut = body_of(asked(replaying(folder, faults=Faults(end=1.0)), "x"))
    assert body_of(asked(replaying(folder), "x")).startswith(cut)
    assert not cut.endswith(b'"message_stop"}\n\n')


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_recording_falls_into_its_events(body: bytes, end: bytes) -> None:
    body = body.replace(b"\n", end)
    events = list(recorded_events(body))
    assert b"".join(event.data for event in events) == body
    for event in events:
        data = next(line for line in event.data.splitlines() if line.startswith(b"data:"))
        assert event.kind == json.loads(data.removeprefix(b"data:"))["type"]


def test_what_cannot_be_replayed_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^recordings: there is no folder .*nowhere$"):
        Simulator(recordings=tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"^recordings: there is no \.sse file in "):
        Simulator(recordings=tmp_path)
    (tmp_path / "empty.sse").write_bytes(b"\n")
    with pytest.raises(ValueError, match=r"^recordings: .*empty\.sse holds no event$"):
        Simulator(recordings=str(tmp_path))
    (tmp_path / "empty.sse").unlink()
    (tmp_path / "folder.sse").mkdir()
    with pytest.raises(ValueError, match=r"^recordings: .*folder\.sse cannot be read: "):
        Simulator(recordings=tmp_path)


def test_the_official_client_reads_them_and_they_outlive_their_folder(folder: Path) -> None:
    simulator = Simulator(recordings=folder)
    for file in folder.iterdir():
        file.unlink()

    async def main() -> None:
        http_client = httpx2.AsyncClient(transport=simulator.transport())
        async with anthropic.AsyncAnthropic(api_key="k", base_url="http://sim", http_client=http_client) as client:
            for number in range(6):
                messages: Any = [{"role": "user", "content": f"question {number}"}]
                async with client.messages.stream(model="claude-x", max_tokens=9, messages=messages) as stream:
                    message = await stream.get_final_message()
                assert any(message.id.encode() in body for body in BODIES.values())
        assert simulator.requests[-1].output_tokens > 0

    for backend, options in virtual_backends().values():
        anyio.run(main, backend=backend, backend_options=options)
