"""No key, prompt or answer in what the project shows of itself: reprs, errors, logs, spans, what a command tells."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from manystream import AnthropicModel, Engine, RetryPolicy, StreamError, StreamRequest
from manystream.engine.simulator import Cut, Fail, Simulator

pytestmark = pytest.mark.anyio

KEY, PROMPT, ANSWER = "sk-ant-planted-key", "planted-prompt", "planted answer planted-words"
SECRETS = (KEY, "planted-prompt", "planted answer", "planted-words")
TOOL: dict[str, Any] = {"name": "look", "description": PROMPT, "input_schema": {"type": "object", "properties": {}}}


def check(shown: object) -> None:
    text = shown if isinstance(shown, str) else repr(shown)
    for secret in SECRETS:
        assert secret not in text, text[:2000]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def logs() -> Iterator[LogCapture]:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.reset_defaults()


STEPS: list[Any] = [ANSWER, Fail(400), Fail(529), Cut(2, "reset", text=ANSWER), Cut(2, Fail(529), text=ANSWER)]


async def test_in_nothing_an_app_may_print(
    simulator: Simulator, logs: LogCapture, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.script(STEPS)
    model = AnthropicModel("claude-opus-5-5", api_key=KEY, base_url=simulator.url, defaults={"system": PROMPT})
    with caplog.at_level(logging.DEBUG, logger="manystream"):
        async with Engine(model, retry=RetryPolicy(max_attempts=1)) as engine:
            check(engine)
            check(model)
            for _ in STEPS:
                request = StreamRequest(
                    {"messages": [{"role": "user", "content": PROMPT}], "tools": [TOOL]},
                    extra_headers={"x-secret": KEY},
                    extra_body={"metadata": {"user_id": "planted-words"}},
                )
                check(request)
                async with engine.stream(request) as stream:
                    check(stream)
                    try:
                        async for event in stream:
                            check(event)
                            check(engine.stats())
                    except StreamError as exc:
                        check("".join(traceback.format_exception(exc)))
                        check(exc.result.error)
                        check(exc.result.exception())
                check(stream.result)
                check(stream.snapshot())
                check(stream.result.usage)
                for part in stream.result.parts:
                    check(part)
    assert [entry["event"] for entry in logs.entries].count("stream.ended") == len(STEPS)
    check(logs.entries)
    check(caplog.text)


def test_in_nothing_a_command_tells(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator.script(STEPS)
    (tmp_path / "in.jsonl").write_text("".join(f'{{"prompt": "{PROMPT} {number}"}}\n' for number in range(6)))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    given = ["--concurrency", "1", "--model", "claude-opus-5-5", "--base-url", simulator.url]
    given += ["--log-level", "debug", "--log-format"]
    for style in ("console", "json"):
        done = subprocess.run(
            [sys.executable, "-m", "manystream", "run", "in.jsonl", "-o", f"{style}.jsonl", *given, style],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.stderr.count("stream.ended") == 6
        if style == "json":
            entries = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
            assert {"stream_id", "custom_id", "request_id", "model", "level", "timestamp"} <= set(entries[-1])
        check(done.stderr)
        check(done.stdout)
    for report in (["report", "console.jsonl"], ["report", "console.jsonl", "--json"]):
        told = subprocess.run(
            [sys.executable, "-m", "manystream", *report], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        check(told.stdout + told.stderr)
    assert ANSWER in (tmp_path / "console.jsonl").read_text()  # where it belongs
    journal = (tmp_path / "console.jsonl.journal").read_bytes()
    assert not any(secret.encode() in journal for secret in SECRETS)
