"""`manystream plan`, `run --dry-run`, and how `run --limit` ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from manystream import InputError, Limits
from manystream.__main__ import app
from manystream.engine.api.ask_limits import GroupLimits
from manystream.engine.cli.given import limits_of
from manystream.engine.simulator import Simulator
from manystream.engine.simulator.service.conditions import Conditions, ServiceLimits

MODEL = ("--model", "claude-opus-5-5", "--max-tokens", "200")


@pytest.fixture(autouse=True)
def in_a_clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    Path("in.jsonl").write_text("".join(f'{{"prompt": "Tell me of {number}"}}\n' for number in range(40)))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    conditions = Conditions(limits=ServiceLimits(requests_per_minute=120))
    with Simulator(conditions=conditions).in_thread() as simulator:
        yield simulator


def manystream(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def pilot(simulator: Simulator, *args: str) -> Result:
    return manystream("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--base-url", simulator.url, "-n", "10", *args)


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_without_answers_it_tells_a_range_and_what_it_assumed() -> None:
    done = manystream("plan", "in.jsonl", *MODEL)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "to run             40 requests of in.jsonl"
    assert lines[1] == "model              claude-opus-5-5"
    assert lines[3].startswith("output             4.00k to 8.00k tokens  (assumed, see below: `run --limit 30`")
    assert lines[4].startswith("cost, live         $0.08")
    assert "half the price; most batches end within an hour, says the API, and all within 24 hours" in lines[5]
    assert lines[7].startswith("limits             none known: the time is by concurrency and pace alone")
    assert lines[8].startswith("assumed            answers have 100 to 4,000 tokens, or max_tokens if that is less")
    assert done.stderr == ""
    assert files() == {"in.jsonl"}


def test_a_limited_run_ends_with_the_plan_of_the_rest(simulator: Simulator) -> None:
    done = pilot(simulator)
    assert done.exit_code == 0
    rest = next(line for line in done.stderr.splitlines() if line.startswith("the rest"))
    assert rest.startswith("the rest           30 requests, $")
    assert rest.endswith("by the Message Batches API")
    assert "(by 10 answers)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("10 succeeded of 10")
    assert (
        "the rest" not in manystream("run", "in.jsonl", "-o", "all.jsonl", *MODEL, "--base-url", simulator.url).stderr
    )


def test_quiet_says_nothing_of_the_rest(simulator: Simulator) -> None:
    assert "the rest" not in pilot(simulator, "--quiet").stderr


def test_answers_and_learnt_limits_are_used(simulator: Simulator) -> None:
    pilot(simulator)
    sent = len(simulator.requests)
    before = files()
    done = manystream("plan", "in.jsonl", "-o", "out.jsonl", *MODEL)
    assert done.exit_code == 0
    assert "30 requests of in.jsonl; 10 more are answered in out.jsonl" in done.stdout
    assert "by the first 10 answers in out.jsonl" in done.stdout
    assert "120 requests a minute, as an earlier run learnt" in done.stdout
    plan = json.loads(manystream("plan", "in.jsonl", "-o", "out.jsonl", *MODEL, "--json").stdout)
    assert (plan["requests"], plan["answers"], plan["limits_from"]) == (30, 10, "learnt")
    assert len(simulator.requests) == sent
    assert files() == before


def test_a_dry_run_shows_the_same_and_writes_nothing(simulator: Simulator) -> None:
    pilot(simulator)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    plan = manystream("plan", "in.jsonl", "-o", "out.jsonl", *MODEL, "--limits", "requests=900")
    dry = manystream("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--limits", "requests=900", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, plan.stdout)
    anew = manystream("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--dry-run", "--overwrite", "--limit", "7")
    assert "7 requests of in.jsonl" in anew.stdout
    assert "answered" not in anew.stdout
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_dry_run_needs_no_key_and_leaves_no_file() -> None:
    done = manystream("run", "in.jsonl", "-o", "out.jsonl", *MODEL, "--dry-run")
    assert done.exit_code == 0
    assert "40 requests" in done.stdout
    assert "out.jsonl: there are no results yet" in done.stderr
    assert files() == {"in.jsonl"}


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run", "-o", "out.jsonl"]])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in.jsonl"], "in.jsonl:1: no model: name one in params, or give --model"),
        (["absent", *MODEL], "absent: no such file or directory"),
        (["bad.jsonl", *MODEL], "bad.jsonl:1: unknown key 'prompts'; did you mean 'prompt'?"),
        (["in.jsonl", *MODEL, "--limits", "rows=3"], "--limits 'rows=3' is not requests=N,input=N,output=N"),
        (["in.jsonl", *MODEL, "--price", "x"], "--price 'x' is not MODEL=IN,OUT"),
    ],
)
def test_what_is_wrong_is_told(command: list[str], args: list[str], message: str) -> None:
    Path("bad.jsonl").write_text('{"prompts": 1}\n')
    done = manystream(*command, *args)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stdout == ""


def test_results_that_are_none_are_told() -> None:
    Path("out.jsonl").write_text("something else\n")
    done = manystream("plan", "in.jsonl", "-o", "out.jsonl", *MODEL)
    assert (done.exit_code, done.stderr) == (2, "error: out.jsonl:1: not a line of results\n")


def test_an_unknown_price_says_how_to_give_it() -> None:
    done = manystream("plan", "in.jsonl", "--model", "claude-nobody-0")
    assert done.exit_code == 0
    assert "no price is known for claude-nobody-0: give it with --price claude-nobody-0=IN,OUT" in done.stdout
    priced = manystream("plan", "in.jsonl", "--model", "claude-nobody-0", "--price", "claude-nobody-0=1,2")
    assert "cost, live         $0.00" in priced.stdout


def test_a_key_is_needed_only_to_ask(simulator: Simulator) -> None:
    done = manystream("plan", "in.jsonl", *MODEL, "--count-tokens")
    assert (done.exit_code, done.stderr) == (
        2,
        "error: no API key: set the environment variable ANTHROPIC_API_KEY\n",
    )
    done = manystream("plan", "in.jsonl", *MODEL, "--ask-limits", "--base-url", simulator.url)
    assert done.exit_code == 2
    assert "--ask-limits needs an admin key: set the environment variable ANTHROPIC_ADMIN_KEY" in done.stderr


def test_limits_that_the_api_told(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(*_: object) -> list[GroupLimits]:
        limits = {"requests_per_minute": 20.0, "output_tokens_per_minute": 9000.0}
        return [GroupLimits("Claude Opus 5.x", ("claude-opus-5-5",), limits), GroupLimits("other", (), {})]

    monkeypatch.setattr("manystream.engine.cli.plan.ask_limits", told)
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-ant-admin")
    asked = ("plan", "in.jsonl", *MODEL, "--ask-limits", "--base-url", simulator.url)
    assert "limits             20 requests, 9,000 output tokens a minute, as the API told" in manystream(*asked).stdout
    for said in ("requests=7", "claude-opus-5-5:requests=7"):
        assert "limits             7 requests a minute" in manystream(*asked, "--limits", said).stdout


def test_tokens_are_counted_by_the_api(simulator: Simulator) -> None:
    done = manystream("plan", "in.jsonl", *MODEL, "--count-tokens", "--base-url", simulator.url, "--json")
    assert json.loads(done.stdout)["input_from"] == "counted"
    assert {request.path for request in simulator.requests} == {"/v1/messages/count_tokens"}


def test_tokens_that_nobody_counts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator().in_thread() as simulator:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "invalid")
        done = manystream("plan", "in.jsonl", *MODEL, "--count-tokens", "--base-url", simulator.url)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: the tokens could not be counted: 401 authentication_error")


def test_one_configuration_serves_run_and_plan() -> None:
    Path("both.toml").write_text(
        'model = "claude-opus-5-5"\nspend-cap = 3\ncount-tokens = false\nlimits = "requests=9"\n'
    )
    done = manystream("plan", "in.jsonl", "--config", "both.toml")
    assert done.exit_code == 0, done.output
    assert "9 requests a minute, as given" in done.stdout
    done = manystream("run", "in.jsonl", "-o", "out.jsonl", "--config", "both.toml", "--dry-run")
    assert done.exit_code == 0, done.output
    Path("both.toml").write_text("count-toknes = true\n")
    assert manystream("plan", "in.jsonl", "--config", "both.toml").exit_code == 2


@pytest.mark.parametrize(
    ("said", "limits"),
    [
        ([], None),
        (["requests=900"], Limits(requests_per_minute=900)),
        (["output=8_000, input=4e5"], Limits(input_tokens_per_minute=400_000, output_tokens_per_minute=8000)),
        (
            ["a:requests=1", "anthropic.b-v1:0:input=2"],
            {"a": Limits(requests_per_minute=1), "anthropic.b-v1:0": Limits(input_tokens_per_minute=2)},
        ),
    ],
)
def test_limits_as_they_are_said(said: list[str], limits: object) -> None:
    assert limits_of(said) == limits


@pytest.mark.parametrize(
    "said",
    [
        ["900"],
        ["requests=0"],
        ["requests=-1"],
        ["requests=inf"],
        ["requests=many"],
        ["requests="],
        [""],
        ["requests=1", "a:requests=2"],
        ["claude-opus-4-5:requests=1", "claude-opus-4-6:requests=2"],
    ],
)
def test_limits_that_make_no_sense(said: list[str]) -> None:
    with pytest.raises(InputError, match="--limits"):
        limits_of(said)
