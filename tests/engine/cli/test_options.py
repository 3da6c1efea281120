"""Where the options come from (command line, environment, configuration), and what is said of wrong ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from manystream.__main__ import app
from manystream.engine.simulator import Simulator

MODEL = ("-m", "claude-opus-5-5")


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "MANYSTREAM_", "AWS_", "CLOUD_ML_", "GOOGLE_")) or name.lower().endswith(
            "_proxy"
        ):
            monkeypatch.delenv(name)
    Path("in.jsonl").write_text('{"prompt": "Hello"}\n')


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["run", "in.jsonl", "-o", "out.jsonl", *args])


def told(*args: str) -> str:
    done = run(*args)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert not Path("out.jsonl").exists()
    (line,) = done.stderr.splitlines()
    return line.removeprefix("error: ")


# -- wrong ones


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--no-such"], "no such option: --no-such"),
        (["--concurency", "3"], "no such option: --concurency"),
        (["--concurrency", "0"], "invalid value for '--concurrency'"),
        (["--concurrency", "many"], "invalid value for '--concurrency'"),
        (["-n", "-1"], "invalid value for '-n'"),
        (["--provider", "azure"], "invalid value for '--provider'"),
        (["extra"], "got unexpected extra argument"),
        (["--model", ""], "--model is a name such as \"claude-opus-5-5\", without spaces, not ''"),
        (["--model", " "], "--model is a name such as \"claude-opus-5-5\", without spaces, not ' '"),
        (["--model", "claude opus"], "--model is a name such as"),
        ([*MODEL, "--spend-cap", "inf"], "--spend-cap is a number of dollars, not inf: leave it out for no cap"),
        ([*MODEL, "--price", "a"], "--price 'a' is not MODEL=IN,OUT, in dollars per million tokens"),
        ([*MODEL, "--price", "=1,2"], "--price '=1,2' is not MODEL=IN,OUT"),
        ([*MODEL, "--price", "a=1"], "--price 'a=1' is not MODEL=IN,OUT"),
        ([*MODEL, "--price", "a=1,x"], "--price 'a=1,x' is not MODEL=IN,OUT"),
        ([*MODEL, "--price", "a=1,-2"], "--price 'a=1,-2' is not MODEL=IN,OUT"),
        ([*MODEL, "--price", "a=1,nan"], "--price 'a=1,nan' is not MODEL=IN,OUT"),
        ([*MODEL, "--base-url", ""], "--base-url is empty: "),
        ([*MODEL, "--base-url", "http://:80"], "--base-url 'http://:80' names no host"),
        ([*MODEL, "--base-url", "http://h/v1/messages"], "--base-url 'http://h/v1/messages' holds /v1/messages"),
        ([*MODEL, "--base-url", "http://h/#x"], "--base-url 'http://h/' has a fragment"),
        ([*MODEL, "--base-url", "http://exa..mple"], "--base-url 'http://exa..mple' names a host that can't be"),
        ([*MODEL, "--base-url", "http://1.2.3"], "--base-url 'http://1.2.3' names a host that looks like"),
        ([*MODEL, "--provider", "foundry", "--base-url", "http://1.2.3"], "--base-url 'http://1.2.3' names a host"),
        (["--config", "absent.toml"], "invalid value for '--config': absent.toml: no such file or directory"),
        (["--env-file", "absent.env"], "invalid value for '--env-file': "),
    ],
)
def test_what_is_wrong_is_one_line(args: list[str], message: str) -> None:
    assert told(*args).startswith(message)


def test_a_line_of_a_file_of_variables_that_is_none() -> None:
    pytest.importorskip("dotenv")
    Path("vars").write_text("A=1\n\n# a word\n\nnonsense here\nB=2\n")
    assert told("--env-file", "vars").startswith("invalid value for '--env-file': vars:5: is not NAME=VALUE")


def test_commands_that_are_none() -> None:
    for args in ([], ["rn"], ["report"], ["completion", "tcsh"], ["demo", "-n", "0"]):
        done = CliRunner().invoke(app, args)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == (1 if args else 0)  # without any, it is the help


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HTTPS_PROXY", "nonsense://", "HTTPS_PROXY 'nonsense://' is not the URL of a proxy"),
        ("SSL_CERT_FILE", "absent.pem", "SSL_CERT_FILE 'absent.pem' is not a file"),
        ("ANTHROPIC_BASE_URL", "", "ANTHROPIC_BASE_URL is empty"),
        ("ANTHROPIC_BASE_URL", "http://h/v1/messages", "ANTHROPIC_BASE_URL 'http://h/v1/messages' holds /v1/messages"),
        ("ANTHROPIC_API_KEY", "", "ANTHROPIC_API_KEY is empty"),
        ("ANTHROPIC_PROFILE", "absent", "Config file not found at "),
        ("ANTHROPIC_API_KEY", "sk-secret\n", "ANTHROPIC_API_KEY ends with a line end"),
        ("MANYSTREAM_CONCURRENCY", "x", "invalid value for '--concurrency' (env var: 'MANYSTREAM_CONCURRENCY')"),
        ("MANYSTREAM_PROVIDER", "x", "invalid value for '--provider' (env var: 'MANYSTREAM_PROVIDER')"),
    ],
)
def test_what_is_wrong_in_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    assert told(*MODEL).startswith(message)


# -- where they come from


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("concurency = 3", "unknown key 'concurency'; did you mean 'concurrency'?"),
        ("max_tokens = 3", "unknown key 'max_tokens'; did you mean 'max-tokens'?"),
        ("qwertz = 3", "unknown key 'qwertz'; the keys are the names of the options"),
        ("concurrency = 0", "concurrency: "),
        ('concurrency = "many"', "concurrency: "),
        ("concurrency = true", "concurrency must be a value, not True"),
        ('quiet = "yes"', "quiet must be true or false, not 'yes'"),
        ("config = 'other.toml'", "config can only stand on the command line"),
        ("concurrency: 3", "not TOML: "),
        ("\xff", "not UTF-8"),
    ],
)
def test_a_configuration_that_is_wrong(content: str, message: str) -> None:
    Path("run.toml").write_bytes(content.encode("latin-1"))
    assert told("--config", "run.toml").startswith(f"invalid value for '--config': run.toml: {message}")


def test_the_command_line_comes_before_the_environment_and_that_before_the_configuration(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def model_of(*args: str) -> str:
        done = run(*args, "--overwrite", "--base-url", simulator.url)
        assert done.exit_code == 0, done.stderr
        return simulator.requests[-1].json["model"]

    Path("run.toml").write_text('model = "claude-haiku-5-5"\nmax-tokens = 20\nquiet = true\nprice = "a=1,2"\n')
    assert model_of("--config", "run.toml") == "claude-haiku-5-5"
    assert simulator.requests[-1].json["max_tokens"] == 20
    monkeypatch.setenv("MANYSTREAM_MODEL", "claude-sonnet-5-5")
    assert model_of("--config", "run.toml") == "claude-sonnet-5-5"
    assert model_of("--config", "run.toml", "-m", "claude-opus-5-5") == "claude-opus-5-5"


def test_variables_from_a_file(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dotenv")
    lines = ['export ANTHROPIC_API_KEY="from-the-file"', f"ANTHROPIC_BASE_URL={simulator.url}"]
    Path("vars").write_text("\n".join([*lines, "MANYSTREAM_MODEL=claude-haiku-5-5", ""]))
    Path(".env").write_text("ANTHROPIC_BASE_URL=nonsense\n")  # which nobody reads unasked
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "MANYSTREAM_MODEL"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    assert run("--env-file", "vars").exit_code == 0
    assert simulator.requests[-1].json["model"] == "claude-haiku-5-5"
    assert simulator.requests[-1].headers["authorization"] == "Bearer from-the-file"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "mine")
    assert run("--env-file", "vars", "--overwrite").exit_code == 0
    assert simulator.requests[-1].headers["authorization"] == "Bearer mine"


def test_a_local_base_url_of_the_environment_needs_no_key(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
    assert run(*MODEL).exit_code == 0


# -- what they do


def test_a_price_of_ones_own(simulator: Simulator) -> None:
    args = ("-m", "my-model", "--base-url", simulator.url, "--spend-cap", "1")
    assert told(*args) == (
        "in.jsonl: no price is known for the model 'my-model': give it with --price my-model=IN,OUT, or run without"
        " --spend-cap"
    )
    assert run(*MODEL, *args[2:], "--price", "other=1,1").exit_code == 0
    # The price counts: a million dollars for a million tokens.
    dear = run(*MODEL, *args[2:], "--overwrite", "--price", "claude-opus-5-5=0,1000000")
    assert "stopped: spend cap, $0.00 of $1 spent, and the next request may cost $" in dear.stderr


def test_a_request_ends_by_its_timeout() -> None:
    with Simulator(time_to_first_token=60).in_thread() as slow:
        done = run(*MODEL, "--base-url", slow.url, "--timeout", "0.3")
    assert done.exit_code == 1
    (line,) = Path("out.jsonl").read_text().splitlines()
    assert json.loads(line)["result"]["error"]["error"]["type"] == "timeout_error"


@pytest.mark.parametrize(
    ("provider", "hidden", "environment", "message"),
    [
        ("bedrock", "boto3", {}, "--provider bedrock needs boto3: pip install 'anthropic[bedrock]'"),
        ("vertex", "google.auth", {}, "--provider vertex needs google.auth: pip install 'anthropic[vertex]'"),
        ("foundry", None, {}, "--provider foundry: no key: set ANTHROPIC_FOUNDRY_API_KEY"),
        ("foundry", None, {"ANTHROPIC_FOUNDRY_API_KEY": "k"}, "--provider foundry: no resource: set "),
        ("bedrock", None, {"AWS_BEARER_TOKEN_BEDROCK": "k"}, "--provider bedrock: no region: set AWS_REGION"),
    ],
)
def test_what_a_provider_lacks(
    monkeypatch: pytest.MonkeyPatch, provider: str, hidden: str | None, environment: dict[str, str], message: str
) -> None:
    if hidden is None and provider == "bedrock":
        pytest.importorskip("boto3")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if hidden is not None:

        def installed(package: str) -> bool:
            return package != hidden

        monkeypatch.setattr("manystream.engine.cli.providers.installed", installed)
    assert told(*MODEL, "--provider", provider).startswith(message)


def test_a_provider_s_own_client(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "foundry-key")
    assert run(*MODEL, "--provider", "foundry", "--base-url", simulator.url).exit_code == 0
    assert simulator.requests[-1].headers["x-api-key"] == "foundry-key"


def test_the_demo_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", "all_proxy": "x://", "SSL_CERT_FILE": "absent"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["demo", "-n", "2", "-o", "demo.jsonl", "-q"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (0, 1)
    assert os.environ["SSL_CERT_FILE"] == "absent"


# -- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_its_script(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert done.exit_code == 0
    assert f"_MANYSTREAM_COMPLETE=complete_{shell}" in done.stdout
    assert done.stdout.startswith({"bash": "_manystream", "zsh": "#compdef manystream", "fish": "complete "}[shell])


@pytest.mark.parametrize(
    ("words", "number", "found"),
    [
        ("manystream re", 1, ["report"]),
        ("manystream run --provider ve", 3, ["vertex"]),
        ("manystream run --conc", 2, ["--concurrency"]),
    ],
)
def test_the_script_s_questions_are_answered(words: str, number: int, found: list[str]) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(number), "_MANYSTREAM_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-m", "manystream"], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == found


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_while_simulate_starts_has_its_own_words() -> None:
    program = (
        "import os, signal, sys; sys.argv = ['manystream', 'simulate', '--port', '0']\n"
        "import manystream.engine.simulator as simulator\n"
        "simulator.Simulator.serve = lambda *args, **options: os.kill(os.getpid(), signal.SIGINT)\n"
        "from manystream.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "stopped\n")
    assert signal.SIGINT  # it was sent
