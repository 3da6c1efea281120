"""Scenarios: a simulator from one value, or from a TOML file that is checked to the last setting."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from tests.support.responder import a_body
from typer.testing import CliRunner, Result

from manystream.__main__ import app
from manystream.engine.simulator import (
    Batches,
    Bytes,
    Cache,
    Conditions,
    Cut,
    Fail,
    Faults,
    Overload,
    Ramp,
    Scenario,
    ScenarioError,
    ServiceLimits,
    Simulator,
    Slow,
    SpendLimit,
    Stall,
    Structured,
    Thinking,
    ToolUse,
    read_scenario,
)
from manystream.engine.simulator import scenario as module

EVENT = b'event: ping\ndata: {"type": "ping"}\n\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_there_is_can_be_said_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "a.sse").write_bytes(EVENT)
    path = written(
        tmp_path,
        """
        seed = 7
        time_to_first_token = 0.4
        tokens_per_second = 80
        rejected_keys = ["a", "b"]
        recordings = "streams"
        script = [
            529,
            "hello",
            {text = "hi"},
            {fail = {status = 429, message = "slow down", headers = {retry-after = "2"}}},
            {cut = {after = 3, how = "reset", text = "one two"}},
            {cut = {after = {bytes = 700}, how = {status = 500, type = "odd_error"}}},
            {stall = {after = "head", seconds = 5, pings = 1.5}},
            {slow = {bytes_per_second = 10}},
            {recording = "streams/a.sse"},
        ]
        [limits]
        requests_per_minute = 60
        headers = false
        [ramp]
        requests_per_minute = 10
        [spend]
        output_tokens = 1000
        [overload]
        probability = 0.1
        outages = [[1, 2], [10.5, 20]]
        [cache]
        minimum_tokens = 10
        [faults]
        close = 0.5
        error_status = 500
        [batches]
        per_second = 20
        scheduler = "equal_share"
        [batch_script]
        create = ["ok", {cut = {after = "nothing", how = "reset"}}]
        results = [503, {cut = {after = {bytes = 700}, how = "close"}}]
        """,
    )
    assert read_scenario(path) == Scenario(
        seed=7,
        time_to_first_token=0.4,
        tokens_per_second=80,
        rejected_keys=("a", "b"),
        recordings=tmp_path / "streams",
        script=[
            Fail(529),
            "hello",
            "hi",
            Fail(429, message="slow down", headers={"retry-after": "2"}),
            Cut(3, "reset", text="one two"),
            Cut(Bytes(700), Fail(500, type="odd_error")),
            Stall("head", seconds=5, pings=1.5),
            Slow(10),
            EVENT,
        ],
        conditions=Conditions(
            limits=ServiceLimits(requests_per_minute=60, headers=False),
            ramp=Ramp(requests_per_minute=10),
            spend=SpendLimit(output_tokens=1000),
            overload=Overload(probability=0.1, outages=((1, 2), (10.5, 20))),
            cache=Cache(minimum_tokens=10),
        ),
        faults=Faults(close=0.5, error_status=500),
        batches=Batches(per_second=20, scheduler="equal_share"),
        batch_script={
            "create": [None, Cut("nothing", "reset")],
            "results": [503, Cut(Bytes(700), "close")],
        },
    )


def test_a_scenario_s_scripts_are_the_simulator_s(tmp_path: Path) -> None:
    scenario = read_scenario(written(tmp_path, 'script = ["hello"]\n[batch_script]\nlist = ["ok", 503]'))
    with Simulator.from_scenario(scenario).in_thread() as simulator:
        headers = {"x-api-key": "key", "anthropic-version": "2023-06-01"}
        with httpx2.Client(base_url=simulator.url, headers=headers) as client:
            assert [client.get("/v1/messages/batches").status_code for _ in range(3)] == [200, 503, 200]
            assert client.post("/v1/messages", json=a_body()).json()["content"][0]["text"] == "hello"


def test_an_empty_file_is_the_simulator_without_settings(tmp_path: Path) -> None:
    assert read_scenario(written(tmp_path, "")) == Scenario()


def test_the_documented_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "a.sse").write_bytes(EVENT)
    first, steps, batches = re.findall(r"```toml\n(.*?)```", module.read_scenario.__doc__ or "", re.DOTALL)
    scenario = read_scenario(written(tmp_path, first))
    assert (scenario.seed, scenario.faults.close, scenario.script) == (7, 0.02, (Fail(529), "hello"))
    assert len(read_scenario(written(tmp_path, steps)).script) == 6
    assert scenario.batches == Batches(per_second=20)
    assert set(read_scenario(written(tmp_path, batches)).batch_script) == {"create", "results"}


def test_a_script_may_name_calls_and_structured_answers(tmp_path: Path) -> None:
    text = """
        script = [
            { tool_use = { name = "a", input = { x = 1 } } },
            ["Look:", { tool_use = { name = "a" } }],
            { answer = [{ thinking = "Hm" }, { text = "so" }, { structured = [1, 2] }] },
        ]
    """
    assert read_scenario(written(tmp_path, text)) == Scenario(
        script=(
            ToolUse("a", {"x": 1}),
            ["Look:", ToolUse("a")],
            [Thinking("Hm"), "so", Structured([1, 2])],
        )
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "is not TOML: "),
        ("script = [[1]]", "script[0][0]: must be a text or a table"),
        ("script = [{answer = 1}]", "script[0].answer: must be a list of parts"),
        ("script = [{tool_use = {input = {}}}]", "script[0].tool_use.name: is missing"),
        ("script = [[{tool_use = {name = 'a', input = 1}}]]", "script[0][0].tool_use.input: must be a dict"),
        ("script = [{structured = 2026-01-02}]", "script[0].structured: must be what JSON can hold"),
        ("script = [{thinking = 1}]", "script[0].thinking: must be a text, not 1"),
        ("seed = 1.5", "seed: must be a whole number, not 1.5"),
        ("sed = 1", "sed: is no setting; did you mean seed?"),
        ("conditions = {}", "conditions: is no setting; "),
        ("time_to_first_token = -1", "time_to_first_token: must not be negative"),
        ('tokens_per_second = "fast"', "tokens_per_second: must be a number, not 'fast'"),
        ("tokens_per_second = nan", "tokens_per_second: must be a number, not nan"),
        ('rejected_keys = "a"', "rejected_keys: must be a list of keys"),
        ("limits = 5", "limits: must be a table"),
        ("[limits]\nrequests_per_minute = -1", "limits.requests_per_minute: must be a whole number above 0, not -1"),
        ("[limits]\nrequests_per_minut = 1", "limits.requests_per_minut: is no setting; did you mean requests_per_min"),
        ("[ramp]\ngrowth = 3", "ramp.requests_per_minute: is missing"),
        ("[overload]\noutages = [[2, 1]]", "overload: outages[0] must be a pair "),
        ("[faults]\nclose = 2", "faults.close: must be a number between 0 and 1, not 2"),
        ("[faults]\nclose = 0.6\nend = 0.6", "faults: the probabilities of all faults must not add up to more than 1"),
        ('script = "hello"', "script: must be a list of steps"),
        ("script = [529, 200]", "script[1]: status must lie between 400 and 599, not 200"),
        ("script = [true]", "script[0]: a bool is not a step of a script"),
        ("script = [{}]", "script[0]: must have one of text, thinking, tool_use, structured, answer,"),
        ("script = [{cutt = 1}]", "script[0].cutt: is no setting; did you mean cut?"),
        ("script = [{cut = 1}]", "script[0].cut: must be a table"),
        ("script = [{cut = {after = 1}}]", "script[0].cut.how: is missing"),
        ('script = [{cut = {after = -1, how = "end"}}]', "script[0].cut.after: must be "),
        (
            'script = [{cut = {after = {byte = 1}, how = "end"}}]',
            "script[0].cut.after.byte: is no setting; did you mean",
        ),
        (
            'script = [{cut = {after = {bytes = "1"}, how = "end"}}]',
            "script[0].cut.after.bytes: must be a whole number",
        ),
        ("script = [{cut = {after = 1, how = {status = 7}}}]", "script[0].cut.how.status: must lie between"),
        ('script = [{fail = {status = "x"}}]', "script[0].fail.status: must lie between 400 and 599, not 'x'"),
        (
            "script = [{fail = {status = 429, headers = {a = 1}}}]",
            "script[0].fail.headers: the value of a must be text",
        ),
        ("script = [{slow = {bytes_per_second = 0}}]", "script[0].slow.bytes_per_second: must be a number above 0"),
        ("script = [{text = 1}]", "script[0].text: must be a text, not 1"),
        ('script = [{recording = "none.sse"}]', "script[0].recording: "),
        (
            'script = [{recording = "a\\u0000b"}]',
            "script[0].recording: 'a\\x00b' is not the name of a file",
        ),
        ("[batches]\nper_secnd = 1", "batches.per_secnd: is no setting; did you mean per_second?"),
        ("[batches]\nper_second = 0", "batches.per_second: must be a number above 0, not 0"),
        ("batch_script = [503]", "batch_script: must be a table"),
        ("[batch_script]\ncreat = [503]", "batch_script.creat: is no setting; did you mean create?"),
        ("[batch_script]\ncreate = 503", "batch_script.create: must be a list of steps"),
        ("[batch_script]\ncreate = [503, 200]", "batch_script.create[1]: status must lie between 400 and 599, not 200"),
        ('[batch_script]\nlist = ["hello"]', "batch_script.list[0]: a str is not a step of a script for batches"),
        ("[batch_script]\nlist = [{cut = 1}]", "batch_script.list[0].cut: must be a table"),
        ('recordings = "none"', "recordings: there is no folder "),
    ],
)
def test_a_mistake_is_told_by_file_and_setting(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        read_scenario(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: cannot be read: No such file"):
        read_scenario(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="is not UTF-8 text"):
        read_scenario(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    "settings",
    [{"seed": "x"}, {"time_to_first_token": -1}, {"rejected_keys": "key"}, {"script": "hello"}, {"script": [200]}],
    ids=str,
)
def test_a_scenario_checks_itself(settings: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Scenario(**settings)


def heard(simulator: Simulator, *, key: str = "key") -> tuple[int, bytes]:
    """The answer to one request, as far as it came."""
    got = b""
    with simulator.in_thread():
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        with (
            httpx2.stream(
                "POST", f"{simulator.url}/v1/messages", json=a_body(stream=True), headers=headers
            ) as response,
            suppress(httpx2.RemoteProtocolError),
        ):
            for chunk in response.iter_raw():
                got += chunk
    return response.status_code, got


def test_a_simulator_of_a_scenario_is_one_made_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.sse").write_bytes(EVENT)
    scenario = Scenario(seed=5, rejected_keys=("bad",), script=["hello"], faults=Faults(end=1.0))
    settings: dict[str, Any] = {"seed": 5, "rejected_keys": ("bad",), "faults": Faults(end=1.0)}
    one, other = Simulator.from_scenario(scenario), Simulator(**settings)
    other.script(["hello"])
    for simulator in (one, other):
        assert b"message_stop" in heard(simulator)[1]
    whole = Simulator(seed=5)
    heard(whole)
    status, cut = heard(one)
    assert (status, cut) == heard(other)
    assert 0 < len(cut) < len(heard(whole)[1])
    assert heard(one, key="bad")[0] == 401
    assert heard(Simulator.from_scenario(Scenario(recordings=tmp_path))) == (200, EVENT)
    refusing = Scenario(conditions=Conditions(overload=Overload(probability=1.0)))
    assert heard(Simulator.from_scenario(refusing))[0] == 529


def test_recordings_that_are_not_there_are_told_of_when_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="recordings: there is no folder"):
        Simulator.from_scenario(Scenario(recordings=tmp_path / "none"))


# The command


@contextmanager
def serving(*args: str) -> Generator[str]:
    """The command with these options; its greeting."""
    command = [sys.executable, "-m", "manystream", "simulate", "--port", "0", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield "".join(process.stdout.readline() for _ in range(3 + ("--tls" in args)))
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "stopped\n")


def refused(*args: str) -> str:
    done: Result = CliRunner().invoke(app, ["simulate", "--port", "0", *args])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


ASK: dict[str, Any] = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_the_command_serves_a_scenario_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 'script = ["hello"]\nseed = 3\ntokens_per_second = 0.001')
    with serving("--scenario", str(path), "--tls", "--tokens-per-second", "0", "--seed", "4") as greeting:
        settings = dict(re.findall(r"([A-Z_]+)=(\S+)", greeting))
        monkeypatch.setenv("SSL_CERT_FILE", settings["SSL_CERT_FILE"])
        assert settings["ANTHROPIC_BASE_URL"].startswith("https://127.0.0.1:")
        with anthropic.Anthropic(api_key="k", base_url=settings["ANTHROPIC_BASE_URL"]) as official:
            client: Any = official
            answers = [client.messages.create(**ASK).content[0].text for _ in range(2)]
    monkeypatch.delenv("SSL_CERT_FILE")
    simulator = Simulator(seed=4)
    with simulator.in_thread(), anthropic.Anthropic(api_key="k", base_url=simulator.url) as official:
        client = official
        assert answers == ["hello", client.messages.create(**ASK).content[0].text]


def test_the_command_refuses_a_wrong_file_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "[limits]\nrequests_per_minute = 0")
    assert refused("--scenario", str(path)).startswith(f"error: {path}: limits.requests_per_minute: must be ")
    assert "none.toml: cannot be read" in refused("--scenario", str(tmp_path / "none.toml"))
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert refused("--tls") == "error: TLS needs the package trustme: install manystream[tls]\n"


def test_the_scenario_in_the_help_is_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.sse").write_bytes(EVENT)
    shown = CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "120"}).stdout
    lines = shown[shown.index("Every setting may be left out") :].splitlines()[1:]
    scenario = read_scenario(written(tmp_path, "\n".join(lines)))
    assert (scenario.seed, len(scenario.script), scenario.faults.error) == (7, 3, 0.01)
    assert scenario.conditions.overload.outages == ((10, 20),)


# The fixture, set up by its marker


@pytest.mark.manystream_simulator(seed=9, faults=Faults(end=1.0), tls=True)
def test_a_marker_sets_the_fixture_up(manystream_simulator: Simulator) -> None:
    response = httpx2.post(
        f"{manystream_simulator.url}/v1/messages",
        json=a_body(stream=True),
        headers={"x-api-key": "k", "anthropic-version": "2023-06-01"},
        verify=manystream_simulator.ssl_context(),
    )
    by_hand = Simulator(seed=9, faults=Faults(end=1.0))
    assert (response.status_code, response.content) == heard(by_hand, key="k")


@pytest.mark.anyio
@pytest.mark.manystream_simulator(scenario=Scenario(script=["from the scenario"]))
async def test_a_marker_takes_a_scenario_and_async_tests_have_it_too(manystream_simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=manystream_simulator.url) as official:
        client: Any = official
        assert (await client.messages.create(**ASK)).content[0].text == "from the scenario"


def test_a_marker_takes_a_file_seen_from_the_test_and_nothing_strange(tmp_path: Path) -> None:
    written(tmp_path, "seed = 1\nscript = [529]")
    (tmp_path / "test_it.py").write_text(
        """
import httpx2, pytest
HEADERS = {"x-api-key": "k", "anthropic-version": "1"}
BODY = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}

@pytest.mark.manystream_simulator(scenario="scenario.toml")
def test_file(manystream_simulator):
    assert httpx2.post(manystream_simulator.url + "/v1/messages", json=BODY, headers=HEADERS).status_code == 529

@pytest.mark.manystream_simulator(scenario="scenario.toml", seed=1)
def test_both(manystream_simulator): pass

@pytest.mark.manystream_simulator(5)
def test_position(manystream_simulator): pass

@pytest.mark.manystream_simulator(scenario="none.toml")
def test_none(manystream_simulator): pass
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path.parent, check=False)
    assert "1 passed, 3 errors" in done.stdout
    assert "takes its settings by name" in done.stdout
    assert "beside a scenario the marker manystream_simulator takes no seed" in done.stdout
    assert "none.toml: cannot be read" in done.stdout
