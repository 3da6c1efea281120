"""The command, in processes of its own where that matters: signals, standard streams, exit status, imports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from manystream import __version__
from manystream.__main__ import app
from manystream.engine.runs import Figures
from manystream.engine.simulator import Cut, Simulator, Stall

PROMPTS = "".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(10))
MODEL = ("--model", "claude-opus-5-5")
GO_ON = "run the same command again to continue"


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("in.jsonl").write_text(PROMPTS)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def start(*args: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "manystream", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=stdin,
        text=True,
    )


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["run", *args])


def results(path: str = "out.jsonl") -> dict[str, dict[str, Any]]:
    content = Path(path).read_text()
    assert content == "" or content.endswith("\n")
    return {line["custom_id"]: line["result"] for line in map(json.loads, content.splitlines())}


# -- before anything is sent


def test_help_is_light() -> None:
    program = (
        "import sys; sys.argv = ['manystream', *sys.argv[1:]]; from manystream.__main__ import main\n"
        "try: main()\n"
        "finally: print([name for name in ('anthropic', 'anyio', 'httpx2', 'aiohttp', 'attrs') if name in sys.modules])"
    )
    for args in (["--help"], ["run", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True)
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.splitlines()[0] == f"manystream {__version__}"


def test_help_tells_the_exit_status() -> None:
    for command in ("run", "demo"):
        told = " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())
        for words in (
            "0 all requests succeeded",
            "1 all were run",
            "2 the command line",
            "3 the results",
            "4 something stopped",
            "129, 130, 143",
        ):
            assert words in told


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in.jsonl", "-o", "out.jsonl"], "in.jsonl:1: no model: name one in params, or give --model"),
        (["bad.jsonl", "-o", "out.jsonl", *MODEL], "bad.jsonl:2: unknown key 'prompts'; did you mean 'prompt'?"),
        (["absent", "-o", "out.jsonl"], "absent: no such file or directory"),
        (["in.jsonl", "-o", "in.jsonl", *MODEL], "in.jsonl: the output is the input"),
        (["in.jsonl", "-o", "no/out.jsonl", *MODEL], "no/out.jsonl: there is no directory no"),
        (
            ["in.jsonl", "-o", "taken", *MODEL],
            "taken: exists already, without a journal to go on from; --overwrite replaces it",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", "--model", "claude-nobody-0", "--spend-cap", "1"],
            "in.jsonl: no price is known for the model 'claude-nobody-0': give it with --price claude-nobody-0=IN,OUT,"
            " or run without --spend-cap",
        ),
        (
            ["/dev/null", "-o", "out.jsonl", "--model", "claude-nobody-0", "--spend-cap", "1"],
            "/dev/null: no price is known for the model 'claude-nobody-0': give it with --price claude-nobody-0=IN,OUT,"
            " or run without --spend-cap",
        ),
        (["in.jsonl", "-o", "out.jsonl", *MODEL], "no API key: set the environment variable ANTHROPIC_API_KEY"),
        (
            ["in.jsonl", "-o", "out.jsonl", *MODEL, "--max-failures", "some"],
            "--max-failures is a number of failures such as 20, or a share of the answers such as 5%, not 'some'",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", *MODEL, "--retry-stopped", "max_tokens,endturn"],
            "--retry-stopped: no stop reason is called 'endturn'; did you mean 'end_turn'?",
        ),
        (
            ["in.jsonl", "-o", "", *MODEL],
            "the output has no name: give the path of the results file, or - for standard output",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", *MODEL, "--retry-errored", "--retry-only", "api_error"],
            "--retry-errored runs all errors again, --retry-only some of them: give one of the two",
        ),
        (
            ["in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", "localhost:80"],
            "--base-url 'localhost:80' has no scheme: write https://localhost:80",
        ),
    ],
)
def test_what_is_wrong_is_one_line(args: list[str], message: str) -> None:
    Path("bad.jsonl").write_text('{"prompt": "Hello"}\n{"prompts": "Hello"}\n')
    Path("taken").write_text("mine")
    done = run(*args)
    assert done.exit_code == 2
    assert done.stderr == f"error: {message}\n"
    assert done.stdout == ""
    assert not Path("out.jsonl").exists()
    assert Path("taken").read_text() == "mine"
    assert Path("in.jsonl").read_text() == PROMPTS


def test_options_that_make_no_sense() -> None:
    for args in (["--limit", "0"], ["--concurrency", "0"], ["--max-tokens", "x"], ["--no-such"]):
        assert run("in.jsonl", "-o", "out.jsonl", *args).exit_code == 2


# -- runs


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run(simulator: Simulator, backend: str) -> None:
    args = ("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--backend", backend)
    done = run(*args, "--max-tokens", "20", "--system", "Be brief", "--concurrency", "3")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "10 succeeded of 10; results in out.jsonl"
    assert "to first content   p50" in done.stderr
    assert sorted(results()) == sorted(f"line-{number}" for number in range(1, 11))
    assert {result["type"] for result in results().values()} == {"succeeded"}
    for request in simulator.requests:
        assert (request.json["max_tokens"], request.json["system"]) == (20, "Be brief")


def test_requests_keep_their_own_parameters(simulator: Simulator) -> None:
    own = {"model": "claude-haiku-5-5", "max_tokens": 7, "messages": [{"role": "user", "content": "Hello"}]}
    Path("in.jsonl").write_text(json.dumps({"requests": [{"custom_id": "a", "params": own}]}))
    assert run("in.jsonl", "-o", "out.jsonl", "--base-url", simulator.url).exit_code == 0
    assert simulator.requests[0].json == own | {"stream": True}


def test_options_replace_what_requests_say_and_tell_so(simulator: Simulator) -> None:
    ask = [{"role": "user", "content": "Hello"}]
    lines = [{"custom_id": "a", "params": {"model": "claude-haiku-5-5", "max_tokens": 7, "messages": ask}}]
    lines += [{"custom_id": "b", "params": {"model": "claude-opus-5-5", "max_tokens": 9, "messages": ask}}]
    Path("in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    args = ("in.jsonl", "-o", "out.jsonl", *MODEL, "--max-tokens", "9", "--system", "secret", "--base-url")
    done = run(*args, simulator.url)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[:2] == [
        "--model claude-opus-5-5 replaces the models of 1 request",
        "--max-tokens 9 replaces the max_tokens of 1 request",
    ]
    assert "secret" not in done.stderr
    for request in simulator.requests:
        assert (request.json["model"], request.json["max_tokens"]) == ("claude-opus-5-5", 9)
        assert request.json["system"] == "secret"


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that can be waited for")
def test_options_replace_what_comes_through_a_pipe(simulator: Simulator) -> None:
    ask = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
    process = start("run", "-", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, stdin=subprocess.PIPE)
    _, told = process.communicate(json.dumps({"custom_id": "a", "params": ask}), timeout=20)
    assert process.returncode == 0
    assert "--model claude-opus-5-5 replaces the models of 1 request" in told.splitlines()
    assert [request.json["model"] for request in simulator.requests] == ["claude-opus-5-5"]


def test_all_bad_lines_are_counted_and_the_first_ten_shown() -> None:
    Path("in.jsonl").write_text('{"prompt": "Hello"}\n' + '{"prompt": 3}\n' * 12)
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL)
    assert done.exit_code == 2
    *lines, last = done.stderr.splitlines()
    assert lines == [
        f"error: in.jsonl:{number}: prompt must be a non-empty string, not a number" for number in range(2, 12)
    ]
    assert last == (
        "12 requests are not valid, of which 10 are shown: mend them, or leave them out with --skip-invalid"
    )


def test_some_failures(simulator: Simulator) -> None:
    simulator.script(["fine", 400])
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--limit", "3")
    assert done.exit_code == 1
    said, *last = done.stderr.splitlines()[-3:]
    assert said.startswith("errored            1 invalid_request_error: ")
    assert " (such as line-" in said
    assert last == [
        "2 succeeded, 1 errored of 3; results in out.jsonl",
        "1 errored by invalid_request_error: mend the input, then --retry-errored",
    ]
    assert sorted(result["type"] for result in results().values()) == ["errored", "succeeded", "succeeded"]


def test_a_wrong_key_stops_at_once(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "invalid")
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--concurrency", "2")
    assert done.exit_code == 4
    counts, last = done.stderr.splitlines()
    assert counts == "10 not run of 10; results in out.jsonl"
    assert last.startswith("stopped: 401 authentication_error: ")
    assert last.endswith("; put the key right (ANTHROPIC_API_KEY), then run the same command again")
    assert results() == {}
    assert len(simulator.requests) <= 4
    # Nothing was lost, so that the same command may be given again.
    monkeypatch.setenv("ANTHROPIC_API_KEY", "right")
    assert run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url).exit_code == 0


def test_an_unknown_error_to_run_again_is_told_with_those_that_there_are() -> None:
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--retry-only", "api_error,overload")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: --retry-only: no error is called 'overload'; there are api_error, ")
    assert done.stderr.count("\n") == 1


def test_a_host_that_nobody_answers_at_is_told_and_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    cause = f"the API can't be reached: 127.0.0.1:{port}: connection refused"
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", f"http://127.0.0.1:{port}")
    assert done.exit_code == 4
    assert done.stderr.splitlines()[0] == cause  # at once
    assert done.stderr.splitlines()[-1] == (
        f"stopped: {cause}; look at the network and at the base URL, then run the same command again"
    )


def test_errors_that_pass_are_run_again_by_the_same_command(simulator: Simulator) -> None:
    simulator.script(["fine", 529, 400])
    args = ("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--max-attempts", "1", "--limit", "3")
    done = run(*args, "--concurrency", "1")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (
        1,
        "1 errored by overloaded_error: the same command runs them again;"
        " 1 errored by invalid_request_error: mend the input, then --retry-errored",
    )
    done = run(*args)
    assert done.exit_code == 1
    assert re.search(
        r"^run again: errored by overloaded_error 1, for about (<)?\$[\d.]+ at what the", done.stderr, re.MULTILINE
    )
    assert len(simulator.requests) == 4
    done = run(*args, "--retry-only", "invalid_request_error", "--retry-stopped", "bogus,refusal")
    assert done.exit_code == 0
    assert len(simulator.requests) == 5
    assert "run again: no answer stopped at bogus" in done.stderr.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that can be waited for")
def test_standard_input_is_run_as_it_comes(simulator: Simulator) -> None:
    process = start("run", "-", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, stdin=subprocess.PIPE)
    assert process.stdin is not None
    first, rest = PROMPTS.split("\n", 1)
    process.stdin.write(first + "\n")
    process.stdin.flush()
    simulator.wait_until(lambda it: len(it.requests) == 1, timeout=20)  # before there is more
    process.stdin.write(rest + '{"prompt": "Hello"')
    process.stdin.close()
    process.stdin = None
    _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert told.splitlines()[0] == "error: stdin:11: not JSON: Expecting ',' delimiter at column 19"
    assert len(results()) == 10
    again = start("run", "-", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, stdin=subprocess.PIPE)
    _, told = again.communicate(PROMPTS + '{"prompt": "Hello"}', timeout=20)
    assert again.returncode == 0
    assert "continuing: 10 done before" in told
    assert len(results()) == 11
    assert len(simulator.requests) == 11


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_results_that_cannot_be_written(simulator: Simulator) -> None:
    done = run("in.jsonl", "-o", "/dev/full", *MODEL, "--base-url", simulator.url)
    assert done.exit_code == 3
    assert done.stderr.splitlines()[0] == "error: /dev/full: no space left on device"
    counts = r"\d+ answers not written(, \d not run)? of 10; results in /dev/full"
    assert re.fullmatch(counts, done.stderr.splitlines()[-1])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("line", ["--help", "--version", "report out.jsonl", "report out.jsonl --json"])
def test_what_a_command_prints_cannot_be_written(simulator: Simulator, line: str) -> None:
    assert run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url).exit_code == 0
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "manystream", *line.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (3, "error: stdout: no space left on device\n")


def test_a_pipe_whose_requests_name_a_model_without_a_price() -> None:
    process = start(
        "run", "-", "-o", "out.jsonl", "--spend-cap", "1", "--base-url", "http://127.0.0.1:9", stdin=subprocess.PIPE
    )
    params = {"model": "unknown-9", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    _, told = process.communicate(json.dumps({"custom_id": "a", "params": params}), timeout=30)
    assert process.returncode == 2
    assert told.splitlines()[0].startswith("error: stdin:1: no price is known for the model 'unknown-9'")


@pytest.mark.skipif(sys.platform == "win32", reason="needs descriptors that are passed on")
def test_standard_input_that_is_closed(simulator: Simulator) -> None:
    command = [sys.executable, "-m", "manystream", "run", "-", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url]
    done = subprocess.run(["sh", "-c", '"$@" 0<&-', "sh", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: stdin: is closed\n")


def test_answers_that_are_not_in_the_results_fail_the_run(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figures, "unwritten", 2)
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url)
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1].endswith("run the same command again to continue")


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_drains_and_again_cancels() -> None:
    slow = Simulator(time_to_first_token=2.0)
    stalling = Simulator()
    stalling.script(["fine", "fine", *[Stall(1, text="stalls here")] * 3])
    with slow.in_thread(), stalling.in_thread():
        processes = [
            start("run", "in.jsonl", "-o", output, *MODEL, "--base-url", url, "--concurrency", "3", *more)
            for output, url, more in (
                ("once.jsonl", slow.url, ()),
                ("twice.jsonl", stalling.url, ("--backend", "trio")),
            )
        ]
        once, twice = processes

        slow.wait_until(lambda it: len(it.requests) == 3, timeout=20)
        once.send_signal(signal.SIGTERM)  # as whoever stops a service does; to a run it is the same
        _, told = once.communicate(timeout=20)
        assert once.returncode == 143
        assert "stopping: 3 still running will finish; Ctrl-C again cancels them" in told
        assert told.splitlines()[-1] == (
            "interrupted: 3 succeeded, 7 not run of 10; results in once.jsonl; run the same command again to continue"
        )
        assert sorted(results("once.jsonl")) == ["line-1", "line-2", "line-3"]

        stalled = ["complete", "complete", "running", "running", "running"]
        stalling.wait_until(
            lambda it: (
                sorted(request.outcome for request in it.requests) == stalled
                and all(request.bytes_sent for request in it.requests)
            ),
            timeout=20,
        )
        twice.send_signal(signal.SIGINT)
        assert twice.stderr is not None
        # A line of progress may come before.
        said = next(line for line in twice.stderr if line.startswith("stopping"))
        assert said.startswith("stopping: 3 still running")
        twice.send_signal(signal.SIGINT)
        _, told = twice.communicate(timeout=20)
        assert twice.returncode == 130
        assert told.splitlines()[-1] == (
            "interrupted: 2 succeeded, 8 not run of 10; results in twice.jsonl; run the same command again to continue"
        )
        assert [result["message"]["content"][0]["text"] for result in results("twice.jsonl").values()] == ["fine"] * 2
        stalling.wait_until(lambda it: [request.outcome for request in it.requests].count("disconnected") == 3)


# -- the demo and the simulator


def test_the_demo() -> None:
    process = start("demo", "-n", "8", "--concurrency", "8", "-o", "-")
    out, told = process.communicate(timeout=30)
    assert process.returncode == 0
    first, *_, last = told.splitlines()
    assert first.startswith("8 prompts, 8 at once, against a simulated Messages API at http://127.0.0.1:")
    assert last == "8 succeeded of 8; results in stdout"
    messages = [json.loads(line)["result"]["message"] for line in out.splitlines()]
    assert len(messages) == 8
    assert {block["type"] for message in messages for block in message["content"]} == {"text", "thinking", "tool_use"}


def test_the_demo_names_where_its_results_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = set(os.listdir())
    done = CliRunner().invoke(app, ["demo", "-n", "1"])
    assert done.exit_code == 0
    (folder,) = tmp_path.glob("manystream-demo-*")
    assert str(folder / "results.jsonl") in done.stderr.splitlines()[-1]
    assert results(str(folder / "results.jsonl"))["demo-001"]["type"] == "succeeded"
    assert set(os.listdir()) - before <= {folder.name, *(path.name for path in tmp_path.iterdir())}


def test_the_demo_overwrites_its_own_results_alone() -> None:
    own = "demo.jsonl"
    Path(own).write_text('{"custom_id":"demo-001","result":{}}\n')
    Path("taken").write_text("mine")
    assert CliRunner().invoke(app, ["demo", "-n", "1", "-o", own]).exit_code == 0
    assert results(own)["demo-001"]["type"] == "succeeded"
    done = CliRunner().invoke(app, ["demo", "-o", "taken"])
    assert done.exit_code == 2
    assert "error: taken: exists already" in done.stderr
    assert Path("taken").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_simulate_serves_until_ctrl_c(backend: str) -> None:
    process = start("simulate", "--port", "0", "--backend", backend)
    assert process.stdout is not None
    greeting = "".join(process.stdout.readline() for _ in range(3))
    url = re.findall(r"http://127\.0\.0\.1:\d+", greeting)[0]
    assert run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", url).exit_code == 0
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 0
    assert f"export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=" in greeting
    assert told == "stopped\n"


def test_simulate_says_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["simulate", "--port", str(port)])
    assert done.exit_code == 2
    assert done.stderr == f"error: cannot listen on 127.0.0.1:{port}: the port is in use\n"


# -- limits


def test_a_spend_cap_leaves_the_rest_for_another_time(simulator: Simulator) -> None:
    done = run("in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "--spend-cap", "0.03")
    assert done.exit_code == 4
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"stopped: spend cap, \$0\.\d+ of \$0\.03 spent; to go on: --spend-cap 0\.(06|12)", last)
    answered = results()
    assert 0 < len(answered) < 10
    assert {result["type"] for result in answered.values()} == {"succeeded"}
    assert f"{10 - len(answered)} not run of 10" in done.stderr
    assert len(simulator.requests) == len(answered)


def test_an_answer_that_breaks_off_begins_anew_or_goes_on(simulator: Simulator) -> None:
    Path("in.jsonl").write_text('{"prompt": "Count"}\n')
    for recovery in ("restart", "continue"):
        simulator.script([Cut(2, "close", text="one two three four"), "one two three four"])
        out = f"{recovery}.jsonl"
        assert run("in.jsonl", "-o", out, *MODEL, "--base-url", simulator.url, "--recovery", recovery).exit_code == 0
        [result] = results(out).values()
        assert result["message"]["content"][0]["text"].startswith("one two three four")
