"""`manystream serve` in a process of its own: its first lines, its end, and what it refuses to begin with."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from typer.testing import CliRunner

from manystream import AnthropicModel, HostBudget, SyncEngine
from manystream.__main__ import app
from manystream.engine.simulator import Simulator, Stall

TOKEN = "a-token-of-24-letters-ok"
ASK: Any = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "a secret prompt"}]}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("token").write_text(f"{TOKEN}\n")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@contextmanager
def served(simulator: Simulator, *options: str, **environment: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The command while it runs, and its URL."""
    command = [sys.executable, "-m", "manystream", "serve", "--port", "0", "--base-url", simulator.url, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        assert process.stdout is not None
        greeting = "".join([process.stdout.readline() for _ in range(4)])
        found = re.search(r"ANTHROPIC_BASE_URL=(http://127\.0\.0\.1:\d+)", greeting)
        assert found is not None, greeting + process.stderr.read() if process.stderr else greeting
        assert "A gateway to" in greeting
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_asked_to_stop(simulator: Simulator, number: int) -> None:
    with served(simulator, "--log-level", "debug") as (process, url):
        client: Any = anthropic.Anthropic(api_key="sk-callers", base_url=url)
        message = client.messages.create(**ASK)
        assert message.stop_reason == "end_turn"
        with client.messages.stream(**ASK) as stream:
            assert "".join(stream.text_stream)
        assert httpx2.get(f"{url}/stats").json()["endings"] == {"complete": 2}
        status, told = ended(process, number)
    assert status == 0
    assert told.endswith("stopped\n")
    assert "sk-callers" not in told
    assert "a secret prompt" not in told


def test_what_runs_may_finish(simulator: Simulator) -> None:
    simulator.script([Stall(2, text="one two three four", seconds=1.0)])
    with served(simulator) as (process, url):
        with httpx2.stream("POST", f"{url}/v1/messages", json={**ASK, "stream": True}, headers=HEADERS) as response:
            lines = response.iter_lines()
            while "text_delta" not in next(lines):
                pass
            process.send_signal(signal.SIGTERM)
            rest = "\n".join(lines)
        assert "message_stop" in rest
        assert "event: error" not in rest
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "stopping: 1 still run" in told


HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


def test_a_second_signal_breaks_off(simulator: Simulator) -> None:
    simulator.script([Stall(2, text="one two three four", seconds=600.0)])
    with served(simulator) as (process, url):
        with httpx2.stream("POST", f"{url}/v1/messages", json={**ASK, "stream": True}, headers=HEADERS) as response:
            lines = response.iter_lines()
            while "text_delta" not in next(lines):
                pass
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "stopping: 1 still run" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = "\n".join(lines)
        assert "the gateway shut down" in rest
        process.communicate(timeout=60)
        assert process.returncode == 0


def test_a_key_that_it_holds(simulator: Simulator) -> None:
    options = ("--hold-key", "--token-file", "token", "--spend-cap", "5")
    with served(simulator, *options, ANTHROPIC_API_KEY="sk-held") as (process, url):
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(api_key="sk-other-one", base_url=url).messages.create(**ASK)
        client: Any = anthropic.Anthropic(api_key=TOKEN, base_url=url)
        assert client.messages.create(**ASK).stop_reason == "end_turn"
        told = httpx2.get(f"{url}/stats", headers={"x-api-key": TOKEN}).text
        assert json.loads(told)["callers"][0]["cap"] == 5
        status, said = ended(process)
    assert status == 0
    for text in (told, said):
        assert "sk-held" not in text
        assert TOKEN not in text
    sent = simulator.requests[-1]
    assert sent.headers["x-api-key"] == "sk-held"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hold-key"], "--hold-key: whoever reaches the gateway could spend by your key: give --token-file"),
        (["--hold-key", "--token-file", "token"], "--hold-key: there is no key to hold: set"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0: other machines reach that address: give --token-file"),
        (["--host", "0.0.0.0", "--token-file", "token"], "with --allowed-host the name"),
        (["--allow", "/v1/files"], "--allow goes with --hold-key"),
        (["--hold-key", "--token-file", "token", "--allow", "v1"], "--allow 'v1' is not a path"),
        (["--token-file", "nowhere"], "nowhere: can't be read: no such file"),
        (["--token-file", "short"], "short: holds no token: one line of at least 16"),
        (["--token-file", "binary"], "binary: is not text"),
        (["--limits", "requests"], "--limits"),
        (["--spend-cap", "inf"], "--spend-cap is a number of dollars, not inf"),
        (["--allowed-host", "box.lan:80"], "--allowed-host 'box.lan:80' is not a name alone"),
        (["--price", "x"], "--price 'x' is not"),
        (["--base-url", "nonsense"], "base_url"),
        (["--base-url", "http://127.0.0.1:8787"], "the base URL leads to this gateway itself, port 8787"),
        (["--base-url", "http://localhost:8787/"], "leads to this gateway itself"),
    ],
)
def test_what_it_refuses_to_begin_with(options: list[str], words: str) -> None:
    Path("short").write_text("abc\n")
    Path("binary").write_bytes(b"\xff\xfe" * 20)
    done = CliRunner().invoke(app, ["serve", *options])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert done.stdout == ""


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--port", str(port)])
    assert done.exit_code == 2
    assert done.stderr == f"error: can't listen at 127.0.0.1:{port}: address already in use\n"


def test_it_shares_limits_with_others_that_use_a_key(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "runtime" / "manystream" / "budget-1.db"
    path.parent.mkdir(parents=True)
    with (
        served(simulator, "--budget", "host", XDG_RUNTIME_DIR=str(tmp_path / "runtime")) as (process, url),
        SyncEngine(
            AnthropicModel("claude-opus-5-5", api_key="sk-shared", base_url=simulator.url), budget=HostBudget(path)
        ) as engine,
    ):
        client: Any = anthropic.Anthropic(api_key="sk-shared", base_url=url)
        until = time.monotonic() + 60
        while True:
            handle = engine.submit("Hello")
            client.messages.create(**ASK)
            handle.wait()
            told = httpx2.get(f"{url}/stats").json()["budget"]
            if told["participants"] == 2:
                break
            assert time.monotonic() < until
        assert (told["share"], told["alone"]) == (0.5, False)
        time.sleep(1.0)  # what is said of it is looked for twice a second
        _, said = ended(process)
    assert "sharing limits with 1 other on this host (--budget off)" in said
    assert b"sk-shared" not in path.read_bytes()
