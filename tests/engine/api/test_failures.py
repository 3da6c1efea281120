"""Every class of failure, through a whole engine: whether it is tried again, after how long, and how it is told."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import attrs
import httpx2
import pytest
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamRequest, StreamResult
from manystream.actors.stream.failure import STATUS_OF_TYPE
from manystream.actors.stream.recovery import Recovery
from manystream.engine.simulator import Cut, Fail, ScriptStep, Simulator, Stall

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Every stream here runs on virtual time."""
    return virtual_backends()[request.param]


class NoJitter(RetryPolicy):
    """The longest delays that the policy allows."""

    def delay(
        self,
        attempt: int,
        *,
        retryable: bool,
        asked: float | None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        return super().delay(attempt, retryable=retryable, asked=asked, uniform=lambda _, high: high)


TEXT = "The river rises in the hills, turns at the old mill and runs on to the sea."
RETRY = NoJitter(max_attempts=4, base_delay=2)
LATE = 0.2  # seconds that a retry may come late: watchdog, queue, the simulator's own steps

Failure = Callable[[httpx2.Request], httpx2.Response] | Exception


class FailingFirst(httpx2.AsyncBaseTransport):
    """Fails the first request, and lets the simulator answer the others."""

    def __init__(self, failure: Failure, simulator: Simulator) -> None:
        self._failure: Failure | None = failure
        self._simulated = simulator.transport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        failure, self._failure = self._failure, None
        if failure is None:
            return await self._simulated.handle_async_request(request)
        if isinstance(failure, Exception):
            raise failure
        return failure(request)


async def ending(
    *steps: ScriptStep,
    failure: Failure | None = None,
    recovery: Recovery = "fail",
    deadlines: Deadlines | None = None,
    retry: RetryPolicy = RETRY,
) -> StreamResult:
    """How a stream ends to whose requests the API answers with `steps`, or first with `failure`, and then wholly."""
    simulator = Simulator()
    simulator.script([*steps, *[TEXT] * 4])
    transport = simulator.transport() if failure is None else FailingFirst(failure, simulator)
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(transport=transport))
    async with Engine(model, retry=retry, recovery=recovery) as engine:
        result = await engine.submit(StreamRequest("hi", deadlines=deadlines)).wait()
    assert len(result.attempts) == len(simulator.requests) + (failure is not None)
    return result


def waits(result: StreamResult) -> list[float]:
    """The seconds between the attempts."""
    return [later.started - earlier.ended for earlier, later in pairwise(result.attempts)]


def check(result: StreamResult, *, retried: bool, asked: float = 0.0, late: float = LATE) -> None:
    """Checks that it was tried again once, when it was to be, and ended well; or that it ended with the failure."""
    first = result.attempts[0].error
    assert first is not None
    if retried:
        assert first.retryable
        assert (result.state, result.text) == ("complete", TEXT)
        (waited,) = waits(result)
        assert asked + RETRY.base_delay <= waited <= asked + RETRY.base_delay + late
    else:
        assert len(result.attempts) == 1
        assert result.state != "complete"
        assert result.error == first


# -- error responses


def refusal(status: int, headers: Mapping[str, str] = {}, **error: Any) -> Failure:
    body = {"type": "error", "error": {"type": "some_error", "message": "Sorry", **error}, "request_id": "req_1"}
    headers = {"request-id": "req_1", **headers}
    return lambda request: httpx2.Response(status, headers=headers, json=body, request=request)


@pytest.mark.parametrize(
    ("status", "retried"),
    [
        *((status, False) for status in (400, 401, 402, 403, 404, 413, 422)),
        *((status, True) for status in (408, 409, 429, 500, 502, 503, 504, 529)),
    ],
)
async def test_which_statuses_are_tried_again(status: int, retried: bool) -> None:
    result = await ending(failure=refusal(status))
    check(result, retried=retried)
    info = result.attempts[0].error
    assert info is not None
    assert (info.status, info.type, info.message, info.request_id) == (status, "some_error", "Sorry", "req_1")
    assert result.state == ("complete" if retried else "failed")


SPEND_LIMIT = {"details": {"error_code": "enforced_spend_limit_reached"}}
RAMP_LIMIT = {"details": {"error_code": "ramp_limit_exceeded"}}


@pytest.mark.parametrize(
    ("status", "headers", "error", "retried", "asked"),
    [
        (400, {"x-should-retry": "true"}, {}, True, 0),
        (529, {"x-should-retry": "false"}, {}, False, 0),
        (529, {"x-should-retry": "false", "retry-after": "3"}, {}, False, 0),
        (529, {"x-should-retry": "perhaps"}, {}, True, 0),
        (429, {"retry-after": "7"}, {}, True, 7),
        (529, {"retry-after": "0.5"}, {}, True, 0.5),
        (503, {"retry-after-ms": "1500", "retry-after": "9"}, {}, True, 1.5),
        (400, {"x-should-retry": "true", "retry-after": "4"}, {}, True, 4),
        (400, {"retry-after": "1"}, {}, False, 0),
        (429, {"retry-after": "59"}, {}, True, 59),
        (429, {"retry-after": "599"}, {}, True, 599),
        (429, {"retry-after": "601"}, {}, False, 0),  # nobody waits that long unseen
        (429, {"retry-after": "soon"}, {}, True, 0),
        (429, {"retry-after": "7"}, RAMP_LIMIT, True, 7),
        (429, {}, RAMP_LIMIT, True, 0),
        (429, {}, SPEND_LIMIT, False, 0),
        (429, {"x-should-retry": "true", "retry-after": "1"}, SPEND_LIMIT, False, 0),
    ],
)
async def test_what_the_api_asks_for_is_heeded(
    status: int, headers: dict[str, str], error: dict[str, Any], retried: bool, asked: float
) -> None:
    result = await ending(failure=refusal(status, headers, **error))
    # After a ramp limit all requests go on slowly, this one's next attempt among them.
    check(result, retried=retried, asked=asked, late=20 if error == RAMP_LIMIT else LATE)
    info = result.attempts[0].error
    assert info is not None
    assert info.code == error.get("details", {}).get("error_code")


async def test_a_date_to_wait_for() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    result = await ending(failure=refusal(429, {"retry-after": date}))
    info = result.attempts[0].error
    assert info is not None
    assert info.retry_after is not None
    assert 20 < info.retry_after <= 30  # it has whole seconds, and a slow machine may have spent some
    check(result, retried=True, asked=info.retry_after)


@pytest.mark.parametrize(("status", "type", "retried"), [(502, "api_error", True), (403, "permission_error", False)])
async def test_a_proxys_page_in_place_of_an_error(status: int, type: str, retried: bool) -> None:
    result = await ending(failure=lambda request: httpx2.Response(status, html="<p>Bad gateway</p>", request=request))
    check(result, retried=retried)
    info = result.attempts[0].error
    assert info is not None
    assert (info.type, info.status) == (type, status)


# -- the connection, and what comes over it


@pytest.mark.parametrize(
    ("failure", "type", "retried"),
    [
        (httpx2.ConnectError("refused"), "connection_error", True),
        (httpx2.ConnectTimeout("late"), "deadline_exceeded", True),
        (httpx2.WriteError("reset"), "connection_error", True),
        (httpx2.ReadError("reset"), "connection_error", True),
        (httpx2.RemoteProtocolError("no head"), "connection_error", True),
        (httpx2.ProxyError("no way"), "connection_error", True),
        (httpx2.UnsupportedProtocol("ftp"), "connection_error", False),
        (httpx2.LocalProtocolError("a line break in a header"), "connection_error", False),
        (Cut("nothing", "html"), "protocol_error", False),
        (Cut("nothing", "reset"), "connection_error", True),
        (Cut("nothing", "close"), "connection_error", True),
        (Cut("head", "end"), "truncated", True),
        (Cut("head", "reset"), "truncated", True),
        (Cut("head", "html"), "truncated", True),
        (Cut("head", "garbage"), "protocol_error", True),
        (Cut(0, "end"), "truncated", True),  # the first block is open, without content
        (Cut(0, "reset"), "truncated", True),
        (Cut(0, "garbage"), "protocol_error", True),
        (Cut(0, "bad-utf8"), "protocol_error", True),
        (b"data: 7\n\n", "truncated", True),
    ],
    ids=repr,
)
async def test_a_connection_that_fails_before_any_content(
    failure: Exception | ScriptStep, type: str, retried: bool
) -> None:
    result = await (ending(failure=failure) if isinstance(failure, Exception) else ending(failure))
    check(result, retried=retried)
    info = result.attempts[0].error
    assert info is not None
    assert info.type == type


@pytest.mark.parametrize(
    ("how", "type", "retryable"),
    [
        ("end", "truncated", True),
        ("close", "truncated", True),
        ("reset", "truncated", True),
        ("bad-chunk", "truncated", True),
        ("html", "truncated", True),
        ("garbage", "protocol_error", True),
        ("bad-utf8", "protocol_error", True),
    ],
)
@pytest.mark.parametrize("recovery", ["fail", "restart", "continue"])
async def test_a_connection_that_fails_after_content(how: Any, type: str, retryable: bool, recovery: Recovery) -> None:
    result = await ending(Cut(2, how, text=TEXT), recovery=recovery)
    check(result, retried=retryable and recovery != "fail")
    info = result.attempts[0].error
    assert info is not None
    assert (info.type, info.retryable) == (type, retryable)
    if len(result.attempts) == 1:
        assert result.state == ("truncated" if type == "truncated" else "failed")
        assert 0 < len(result.text) < len(TEXT)


# -- errors inside a stream


RETRYABLE = {"rate_limit_error", "api_error", "timeout_error", "overloaded_error", "conflict_error", "brand_new_error"}


@pytest.mark.parametrize("type", [*STATUS_OF_TYPE, "brand_new_error"])
async def test_an_error_inside_the_stream(type: str) -> None:
    cases: list[tuple[int, Recovery]] = [(0, "fail"), (2, "fail"), (2, "restart"), (2, "continue")]
    for after, recovery in cases:
        error = Fail(529, type=type, message="Sorry")  # the status is not told inside a stream
        result = await ending(Cut(after, error, text=TEXT), recovery=recovery)
        check(result, retried=type in RETRYABLE and (after == 0 or recovery != "fail"))
        info = result.attempts[0].error
        assert info is not None
        assert (info.type, info.message, info.status) == (type, "Sorry", STATUS_OF_TYPE.get(type))
        assert info.request_id == result.attempts[0].request_id is not None


# -- deadlines


@pytest.mark.parametrize(
    ("name", "stall", "retried"),
    [
        ("silence", Stall("nothing"), True),
        ("silence", Stall("head"), True),
        ("first_event", Stall("head", pings=3), True),
        ("first_content", Stall(0, pings=3), True),
        ("total", Stall("nothing"), False),
        ("silence", Stall(2), False),
        ("idle", Stall(2, pings=3), False),
        ("total", Stall(2, pings=3), False),
    ],
)
@pytest.mark.parametrize("recovery", ["fail", "restart", "continue"])
async def test_a_deadline(name: str, stall: Stall, retried: bool, recovery: Recovery) -> None:
    stall = attrs.evolve(stall, text=TEXT)
    deadlines = Deadlines(**{"silence": None, name: 10})  # pyright: ignore[reportArgumentType]
    result = await ending(stall, recovery=recovery, deadlines=deadlines)
    check(result, retried=retried or (recovery != "fail" and name != "total"))
    first = result.attempts[0]
    assert first.error is not None
    assert (first.error.deadline, first.error.retryable) == (name, name != "total")
    assert 10 <= first.ended <= 10.05


# -- several in a row


async def test_the_waits_double_and_end_with_the_last_attempt() -> None:
    result = await ending(529, 500, 529, 503)
    assert (result.state, result.error and result.error.status) == ("failed", 503)
    for waited, longest in zip(waits(result), (2, 4, 8), strict=True):
        assert longest <= waited <= longest + 2 * LATE


async def test_what_one_attempt_came_to_is_no_other_attempts() -> None:
    """Each failure counts for itself: the wait one asked for is not waited after the next."""
    steps = [Fail(429, headers={"retry-after": "20"}), Cut(0, "reset"), Cut(2, "end", text=TEXT)]
    result = await ending(*steps, recovery="continue")
    assert (result.state, result.text) == ("complete", TEXT)
    for waited, expected in zip(waits(result), (22, 4, 8), strict=True):
        assert expected <= waited <= expected + LATE
    errors = [attempt.error and attempt.error.type for attempt in result.attempts]
    assert errors == ["rate_limit_error", "truncated", "truncated", None]


@pytest.mark.parametrize(("recovery", "text"), [("continue", "a whol"), ("restart", "")])
async def test_a_recovery_that_is_refused_ends_with_the_refusal(recovery: Recovery, text: str) -> None:
    result = await ending(Cut(2, "end", text=TEXT), 400, recovery=recovery)
    assert (result.state, result.error and result.error.status, len(result.attempts)) == ("failed", 400, 2)
    assert TEXT.startswith(result.text)
    assert bool(result.text) == bool(text)
    assert (result.message is None) == (not text)
