"""When one failure stops a run: decided from endings alone, and then for real, against a service that breaks."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from manystream import AnthropicModel, Attempt, Engine, ErrorInfo, RetryPolicy, StreamRequest, StreamResult
from manystream.engine.runs import Run, RunStopped, open_run
from manystream.engine.runs.stopping import Over, Stopping
from manystream.engine.runs.too_many import MaxFailures
from manystream.engine.simulator import Conditions, Cut, Fail, Simulator, SpendLimit
from manystream.engine.simulator.service.conditions import SpendKind

OK = "complete"
LONG = "one two three four five six seven " * 4
LOST = ErrorInfo("connection_error", "refused")
OVERLOADED = ErrorInfo("overloaded_error", "Overloaded", 529)
KEY = ErrorInfo("authentication_error", "bad key\x1b[2J", 401)


def broke(place: int = 0, what: str = "not JSON") -> ErrorInfo:
    return ErrorInfo("protocol_error", f"{what} at byte {place}")


def over(ending: ErrorInfo | str, *, begun: bool = False) -> Over:
    error = ending if isinstance(ending, ErrorInfo) else None
    result = StreamResult(
        state="complete" if error is None else "failed",
        stream_id="s",
        message_id="msg" if begun or error is None else None,
        error=error,
        timestamp=datetime.now(UTC),
    )
    return Over(result, 0.0)


def told(*endings: Any, begun: bool = False) -> tuple[Stopping, list[int]]:
    """What becomes of streams that end so, one after the other, and how many answers there were after each."""
    stopping, answers = Stopping(), list[int]()
    for ending in endings:
        one = ending if isinstance(ending, Over) else over(ending, begun=begun)
        if one.result.message_id is not None:
            answers.append(len(stopping.began()))
        answers.append(len(stopping.ended(one)))
    return stopping, answers


def test_what_all_share_stops_at_once() -> None:
    stopping, answers = told(OVERLOADED, KEY)
    assert answers == [1, 0]
    assert stopping.stopped_by is not None
    assert stopping.why == r"401 authentication_error: bad key\x1b[2J"


def test_nobody_reached() -> None:
    stopping, answers = told(LOST, LOST)
    assert (stopping.stopped_by, answers) == (None, [0, 0])
    assert stopping.ended(over(LOST)) == []
    assert stopping.stopped_by is not None
    stopping, answers = told(LOST, LOST, OK, LOST, LOST, LOST)
    assert (stopping.stopped_by, answers) == (None, [0, 0, 2, 1, 1, 1, 1])
    stopping, _ = told(LOST)  # all there was
    assert stopping.exhausted() == []
    assert stopping.stopped_by is not None
    stopping, answers = told(LOST, LOST, OVERLOADED, LOST, LOST)  # a refusal comes from somebody, too
    assert (stopping.stop, answers) == (None, [0, 0, 3, 1, 1])


def test_attempts_that_reach_nobody_count_across_requests() -> None:
    """A server that is just starting has three seconds to come up."""
    stopping = Stopping(url="https://api.example")
    stopping.sent("m", 10.0)
    refused = attrs.evolve(LOST, message="nobody there", retryable=True)
    for _ in range(20):
        assert stopping.failed_attempt(refused, 11.0) == []
    assert (stopping.stop, stopping.trouble, stopping.due) == (None, "the API can't be reached: nobody there", 13.0)
    stopping.look(12.9)
    assert stopping.stop is None
    stopping.look(13.0)
    assert stopping.stop is not None
    assert stopping.due == math.inf
    assert (stopping.stop.reason, stopping.why) == (
        "unreachable",
        "the API can't be reached at https://api.example: nobody there",
    )
    # What was dropped for it is the ending that tells.
    dropped = StreamResult(
        state="cancelled", stream_id="s", attempts=(Attempt(1, 0, 1, error=refused),), timestamp=datetime.now(UTC)
    )
    assert stopping.ended(Over(dropped, 0.0)) == [Over(dropped, 0.0)]
    assert stopping.stopped_by is not None
    assert (stopping.stopped_by.state, stopping.stopped_by.error) == ("failed", refused)


def test_two_that_reach_nobody_are_too_few() -> None:
    stopping = Stopping()
    stopping.sent("m", 0.0)
    for moment in (0.0, 9.0):
        stopping.failed_attempt(attrs.evolve(LOST, retryable=True), moment)
    stopping.look(20.0)
    assert (stopping.stop, stopping.due) == (None, 21.0)


def test_what_no_time_can_mend_is_not_waited_for() -> None:
    stopping = Stopping()
    stopping.sent("m", 0.0)
    for _ in range(3):
        stopping.failed_attempt(LOST, 0.1)  # such as a certificate that is not trusted
    assert stopping.stop is not None


def test_once_somebody_answered_lost_connections_stop_nothing() -> None:
    stopping = Stopping()
    stopping.sent("m", 0.0)
    stopping.failed_attempt(LOST, 0.0)
    assert stopping.trouble == "the API can't be reached: refused"
    stopping.failed_attempt(OVERLOADED, 1.0)
    assert stopping.trouble is None
    for _ in range(9):
        stopping.failed_attempt(LOST, 9.0)
    assert (stopping.stop, stopping.trouble, stopping.due) == (None, "the API can't be reached: refused", math.inf)
    stopping.began()
    assert stopping.trouble is None


def test_an_outage_is_told_and_stops_nothing() -> None:
    stopping = Stopping()
    for _ in range(4):
        stopping.failed_attempt(OVERLOADED, 0.0)
    assert stopping.trouble is None
    for _ in range(4):
        stopping.failed_attempt(OVERLOADED, 0.0)
        assert stopping.trouble == "the API refuses: 529 overloaded_error: Overloaded"
    stopping.began()
    assert (stopping.trouble, stopping.stop) == (None, None)


@pytest.mark.parametrize("status", [404, 405])
def test_a_url_under_which_there_is_nothing(status: int) -> None:
    nothing = ErrorInfo("not_found_error", "Not Found", status)
    stopping = Stopping(url="https://api.example/v1")
    for _ in range(4):
        assert stopping.ended(over(nothing)) == []
    assert stopping.stop is None
    assert stopping.ended(over(nothing)) == []
    assert stopping.stop is not None
    assert stopping.stop.reason == "wrong_url"
    for words in (f"{status} not_found_error: Not Found", "https://api.example/v1", "/v1, which is added"):
        assert words in stopping.why


def test_files_that_are_missing_are_their_requests_own_matter() -> None:
    missing = [ErrorInfo("not_found_error", f"File not found: {chr(97 + n)}", 404) for n in range(30)]
    assert told(*missing)[0].stop is None
    stopping, answers = told(missing[0], missing[0], OK, *missing[:1] * 9)
    assert (stopping.stop, sum(answers)) == (None, 12)


def test_too_many_failures() -> None:
    stopping = Stopping(max_failures=MaxFailures(3), done=10, failed=1)
    assert len(stopping.ended(over(OVERLOADED))) == 1
    assert stopping.stop is None
    assert len(stopping.ended(over(OVERLOADED))) == 1  # it is an answer all the same
    assert stopping.stop is not None
    assert stopping.stop.reason == "failures"
    assert stopping.why == "3 of 12 answers are failures, --max-failures is 3"


def test_what_runs_again_says_nothing_of_a_url_that_has_answered() -> None:
    again = Stopping(done=10, failed=6, same_url=True)
    assert [len(again.ended(over(broke(n)))) for n in range(6)] == [1] * 6
    assert again.stop is None
    for unknown in (Stopping(done=10, failed=6), Stopping(done=6, failed=6, same_url=True)):
        assert [len(unknown.ended(over(broke(n)))) for n in range(5)] == [0] * 5
        assert unknown.stop is not None
        assert unknown.stop.reason == "wrong_url"


@pytest.mark.parametrize("begun", [False, True])
def test_the_first_all_break_the_same_way(begun: bool) -> None:
    stopping, answers = told(*map(broke, range(4)), begun=begun)
    assert stopping.stopped_by is None
    assert sum(answers) == 0
    assert stopping.ended(over(OVERLOADED)) != []  # says nothing of them
    assert stopping.ended(over(broke(5), begun=begun)) == []
    assert stopping.stopped_by is not None
    assert stopping.why.startswith("protocol_error: not JSON at byte 5 (")
    # What still runs breaks too, or is an answer.
    assert stopping.ended(over(broke(6), begun=begun)) == []
    assert len(stopping.ended(over(OK))) == 1
    assert stopping.exhausted() == []


def test_each_in_its_own_way() -> None:
    ways = [broke(0, chr(97 + n)) for n in range(20)]
    assert told(*ways[:19])[0].stopped_by is None
    assert told(*ways)[0].stopped_by is not None
    assert told(*(ErrorInfo("internal_error", "KeyError") for _ in range(5)))[0].stopped_by is not None


def test_one_that_is_whole_makes_the_others_answers() -> None:
    stopping, answers = told(broke(), broke(), over(OK), *[broke()] * 30)
    assert (stopping.stopped_by, answers) == (None, [0, 0, 2, 1, *[1] * 30])
    stopping, answers = told(*[over(broke(), begun=True)] * 4, over(OK), *[over(broke(), begun=True)] * 9)
    assert stopping.stopped_by is None
    assert sum(answers) == 14


def test_pages_of_a_gateway_beside_streams_that_begin_are_answers() -> None:
    """They are quick, and whole answers slow."""
    stopping = Stopping()
    assert [stopping.ended(over(broke())) for _ in range(4)] == [[]] * 4
    assert len(stopping.began()) == 4
    assert all(len(stopping.ended(over(broke()))) == 1 for _ in range(30))
    assert stopping.stopped_by is None


def test_too_few_to_say() -> None:
    stopping, _ = told(broke(), broke())
    assert len(stopping.exhausted()) == 2
    assert stopping.stopped_by is None
    assert stopping.exhausted() == []


# -- and for real


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def prompts(count: int) -> list[StreamRequest]:
    return [StreamRequest(f"Tell me of {number}", custom_id=f"p-{number}") for number in range(count)]


async def run_all(simulator: Simulator, source: Any, output: Path, *, slots: int = 4) -> Run:
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    async with (
        Engine(model, max_concurrency=slots, retry=RetryPolicy(max_attempts=1)) as engine,
        open_run(engine, source, output) as run,
    ):
        async for _ in run:
            pass
    return run


def kinds(output: Path) -> list[str]:
    return [json.loads(line)["result"]["type"] for line in output.read_bytes().splitlines()]


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [Cut(1, "garbage", text=LONG), Cut(1, "bad-utf8", text=LONG)])
async def test_a_service_that_speaks_something_else_stops_the_run(
    simulator: Simulator, tmp_path: Path, cut: Cut
) -> None:
    output = tmp_path / "out.jsonl"
    simulator.script([cut] * 300)
    with pytest.raises(RunStopped, match=r"^protocol_error: "):
        await run_all(simulator, prompts(300), output)
    assert len(simulator.requests) < 30
    assert output.read_bytes() == b""
    with closing(sqlite3.connect(f"{output}.journal")) as journal:
        assert journal.execute("SELECT DISTINCT state FROM request").fetchall() == [("pending",)]
        assert journal.execute("SELECT how FROM session").fetchall() == [("stopped",)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("tier", "429 rate_limit_error: "),
        ("contract", "429 rate_limit_error: "),
        (
            "organization",
            "400 invalid_request_error: You have reached your specified API usage limits. You will regain",
        ),
        ("workspace", "400 invalid_request_error: You have reached your specified workspace API usage limits. "),
    ],
)
async def test_a_spend_limit_stops_the_run(tmp_path: Path, kind: SpendKind, told: str) -> None:
    output = tmp_path / "out.jsonl"
    conditions = Conditions(spend=SpendLimit(output_tokens=20, kind=kind))
    with Simulator(conditions=conditions).in_thread() as simulator:
        simulator.script(["one two three four five"] * 100)
        with pytest.raises(RunStopped, match=f"^{told}"):
            await run_all(simulator, prompts(100), output)
    answers = len(kinds(output))
    assert set(kinds(output)) == {"succeeded"}
    assert answers < 15
    assert len(simulator.requests) < 25
    with closing(sqlite3.connect(f"{output}.journal")) as journal:
        assert journal.execute("SELECT count(*) FROM request WHERE state = 'pending'").fetchone() == (100 - answers,)


@pytest.mark.anyio
async def test_an_organization_on_hold_stops_the_run(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script([Fail(code="organization_on_hold")] * 100)
    with pytest.raises(RunStopped, match=r"^400 invalid_request_error: "):
        await run_all(simulator, prompts(100), tmp_path / "out.jsonl")
    assert len(simulator.requests) < 15


@pytest.mark.anyio
async def test_a_user_profile_without_money_stops_nobody_else(tmp_path: Path) -> None:
    def request(number: int) -> StreamRequest:
        headers = {"anthropic-user-profile-id": f"up_{number % 2}"}
        return StreamRequest("hi", custom_id=str(number), extra_headers=headers if number % 3 else {})

    output = tmp_path / "out.jsonl"
    conditions = Conditions(spend=SpendLimit(output_tokens=20, kind="user_profile"))
    with Simulator(conditions=conditions).in_thread() as simulator:
        simulator.script(["one two three four five"] * 60)
        run = await run_all(simulator, [request(number) for number in range(60)], output)
    assert run.figures.errors.keys() == {"billing_error"}
    assert Counter(kinds(output))["succeeded"] >= 20  # those without a profile, and the first of each


@pytest.mark.anyio
async def test_a_few_that_break_are_errored(simulator: Simulator, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    simulator.script([Cut(1, "garbage", text=LONG)] * 3 + ["fine", Fail(400)])
    run = await run_all(simulator, prompts(5), output, slots=1)
    assert sorted(kinds(output)) == ["errored"] * 4 + ["succeeded"]
    assert run.figures.errors == {"protocol_error": 3, "invalid_request_error": 1}
    simulator.script([Cut(1, "garbage", text=LONG)] * 2)
    await run_all(simulator, prompts(2), tmp_path / "few.jsonl", slots=1)
    assert kinds(tmp_path / "few.jsonl") == ["errored"] * 2


def test_a_server_of_files_is_no_messages_api() -> None:
    stopping, answers = told(*[ErrorInfo("api_error", "Unsupported method ('POST')", 501)] * 5)
    assert stopping.stop is not None
    assert stopping.stop.reason == "wrong_url"
    assert answers == [0] * 5
