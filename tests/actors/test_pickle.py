"""Results, events, requests and errors are values: copied, pickled, and sent through a process pool they stay equal."""

import copy
import inspect
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any, cast, get_args

import anthropic
import attrs
import httpx2
import pytest
from tests.support.engines import engine_for, requests_named

import manystream
import manystream.actors
import manystream.engine
from manystream import (
    ApiError,
    EngineBusy,
    ErrorInfo,
    OutputSpec,
    StreamEndEvent,
    StreamError,
    StreamRequest,
    StreamResult,
    TaggedEvent,
)
from manystream.actors import Part, PartDelta, PartEvent, Usage
from manystream.actors.message.parts import EMPTY
from manystream.actors.stream.result import DEADLINE_ERRORS
from manystream.engine.gateway.endings import ending_of
from manystream.engine.runs import RunStopped
from manystream.engine.simulator import Cut, Fail, Simulator

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
KEY = "sk-ant-secret"


def nested(levels: int, leaf: Any = "x") -> Any:
    value = leaf
    for number in range(levels):
        value = {"a": value} if number % 2 else [value]
    return value


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": pickled,
    "the first protocol": lambda value: pickle.loads(pickle.dumps(value, 2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


def example(kind: type[Any], deep: Any = None) -> Any:
    """A value of one of our classes, with something in each field that holds what the API sent."""
    values: dict[str, Any] = {}
    for field in attrs.fields(kind):
        annotation = str(field.type)
        if field.name in ("extra", "details", "raw"):
            values[field.name] = {"new": deep or [1, {"a": None}]}
        elif field.name == "unknown_deltas":
            values[field.name] = ({"type": "new", "data": deep},)
        elif field.name == "part":
            values[field.name] = example(get_args(Part)[0], deep)
        elif field.name == "delta":
            values[field.name] = example(get_args(PartDelta)[0], deep)
        elif field.name == "parts":
            values[field.name] = tuple((number, example(part, deep)) for number, part in enumerate(get_args(Part)))
        elif field.name == "usage":
            values[field.name] = Usage(1, 2, details={"a": deep})
        elif field.name == "result":
            values[field.name] = a_result("complete", deep)
        elif field.default is attrs.NOTHING and "int" in annotation:
            values[field.name] = 1
        elif field.default is attrs.NOTHING:
            values[field.name] = "x"
    return kind(**values)


def a_result(state: Any, deep: Any = None, error: ErrorInfo | None = None) -> StreamResult:
    from datetime import UTC, datetime

    return StreamResult(
        state=state,
        stream_id="s",
        custom_id="c",
        request=StreamRequest({"messages": [{"role": "user", "content": [deep]}]}, custom_id="c"),
        parts=tuple(example(part, deep) for part in get_args(Part)),
        message={"content": [deep]},
        stop_details={"a": deep},
        error=error,
        attempts=(manystream.Attempt(number=1, started=0.0, ended=1.0, error=error),),
        rate_limits={"anthropic-ratelimit-requests-limit": "1"},
        timestamp=datetime.now(UTC),
    )


KINDS = [*get_args(PartEvent), *get_args(Part), *get_args(PartDelta), Usage]


@ways
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_event_part_and_delta(kind: type[Any], way: Callable[[Any], Any]) -> None:
    for deep in (None, nested(200)):
        value = example(kind, deep)
        assert way(value) == value
        tagged = TaggedEvent("c", value)
        assert way(tagged) == tagged


@ways
def test_the_empty_mapping_stays_the_one(way: Callable[[Any], Any]) -> None:
    assert way(EMPTY) is EMPTY
    assert [EMPTY] == [{}]
    assert [EMPTY] == [{}]
    assert not EMPTY
    assert {**EMPTY} == dict(EMPTY) == {}
    assert EMPTY.get("a") is None
    change: Any = EMPTY
    with pytest.raises(TypeError):
        change["a"] = 1


def test_a_copy_that_goes_deep_shares_nothing_that_could_change() -> None:
    result = a_result("failed", nested(3, []), ErrorInfo("x", "y", rate_limits={"a": "1"}))
    twin = copy.deepcopy(result)
    assert twin == result
    assert twin.request == result.request

    def containers(value: Any) -> Iterator[int]:
        items: list[Any] = []
        if attrs.has(cast("type[object]", type(value))):
            items = [getattr(value, name) for name in attrs.fields_dict(cast("Any", type(value)))]
        elif isinstance(value, dict):
            items = [None, *cast("dict[str, Any]", value).values()]
        elif isinstance(value, list | tuple):
            items = [*cast("list[Any]", value)]
        if isinstance(value, dict | list):
            yield id(cast("object", value))
        for item in items:
            yield from containers(item)

    assert not set(containers(twin)) & set(containers(result))


# -- errors


def an_api_error() -> anthropic.APIStatusError:
    request = httpx2.Request("POST", "http://api", headers={"x-api-key": KEY}, content=b"the prompt")
    response = httpx2.Response(429, request=request, json={"error": {"type": "rate_limit_error"}})
    return anthropic.RateLimitError("no", response=response, body=None)


class Stubborn(Exception):
    def __init__(self, one: int, *, other: int) -> None:
        super().__init__("text")

    def __reduce__(self) -> Any:
        raise TypeError("I don't pickle")


class Deceptive(Exception):
    """It pickles, and does not come back."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(one)


def lock_holder() -> Exception:
    import threading

    error = ValueError("text")
    error.add_note("a note")
    error.__dict__["lock"] = threading.Lock()
    return error


CAUSES: list[Callable[[], BaseException]] = [
    an_api_error,
    lambda: httpx2.ConnectError("no", request=httpx2.Request("GET", "http://api", headers={"x-api-key": KEY})),
    lambda: Stubborn(1, other=2),
    lambda: Deceptive(1, 2),
    lock_holder,
    lambda: ExceptionGroup("all", [Stubborn(1, other=2)]),
    lambda: ValueError(lambda: None),
]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_a_result_pickles_whatever_is_behind_its_error(cause: Callable[[], BaseException], protocol: int) -> None:
    result = a_result("failed", error=ErrorInfo("connection_error", "it broke", cause=cause()))
    data = pickle.dumps(result, protocol)
    assert KEY.encode() not in data
    again = pickle.loads(data)
    assert again == result
    assert again.error is not None
    assert again.error.cause is None
    assert again.attempts[0].error.cause is None
    assert again.request == result.request


@pytest.mark.parametrize("cause", [OSError(2, "not there"), TimeoutError(), KeyError("a")], ids=repr)
def test_pythons_own_exceptions_go_with_it(cause: BaseException) -> None:
    info = pickled(ErrorInfo("x", "y", cause=cause))
    assert type(info.cause) is type(cause)
    assert info.cause.args == cause.args


def test_copies_keep_the_cause() -> None:
    info = ErrorInfo("x", "y", cause=an_api_error())
    for twin in (copy.copy(info), copy.deepcopy(info), copy.deepcopy(a_result("failed", error=info)).error):
        assert twin is not None
        assert twin.cause is info.cause


def every_error() -> dict[str, Exception]:
    """One of each of the public exceptions."""
    infos = {name: ErrorInfo("deadline_exceeded", "passed", deadline=name) for name in DEADLINE_ERRORS}
    infos["connect"] = attrs.evolve(infos["connect"], cause=ConnectionResetError(104, "reset"))
    for kind in (
        "connection_error",
        "protocol_error",
        "request_error",
        "truncated",
        "overloaded_error",
        "output_invalid",
    ):
        infos[kind] = ErrorInfo(kind, "it went wrong", status=529, request_id="r", cause=OSError(1, "two"))
    errors: list[Exception] = [EngineBusy("full"), RunStopped("all would fail", a_result("failed"), "key")]
    errors += [manystream.MissingCredentialsError("no key"), manystream.LimitsError("not told"), TypeError("misuse")]
    errors += [manystream.PlanError("no plan"), manystream.ResultsError("no results")]
    errors.append(manystream.InvalidRequestsError(manystream.Invalid(2, ["in.jsonl:1: not JSON"])))
    results = [a_result("failed", error=info) for info in infos.values()]
    results += [a_result("truncated"), attrs.evolve(a_result("cancelled"), cancelled_by="handle", cancel_reason="r")]
    for result in results:
        error = result.exception()
        assert error is not None
        errors.append(error)
        errors.append(ending_of(result, httpx2.Request("POST", "http://up/v1/messages")))
    return {type(error).__name__: error for error in errors}


@ways
@pytest.mark.parametrize("name", list(every_error()))
def test_every_error(name: str, way: Callable[[Any], Any]) -> None:
    error = every_error()[name]
    error.add_note("a note")
    for given, twin in ((error, way(error)), (ExceptionGroup("all", [error]), way(ExceptionGroup("all", [error])))):
        assert type(twin) is type(given)
        assert str(twin) == str(given)
    twin = way(error)
    assert twin.args == error.args
    assert repr({**twin.__dict__, "result": None}) == repr({**error.__dict__, "result": None})
    if isinstance(error, StreamError | RunStopped):
        assert twin.result == error.result
    if isinstance(error, StreamError):
        assert repr(twin.__cause__) == repr(error.__cause__)


def test_none_of_the_public_errors_was_forgotten() -> None:
    modules = (manystream, manystream.actors, manystream.engine)
    public = {getattr(module, name) for module in modules for name in module.__all__}
    kinds = {kind.__name__ for kind in public if inspect.isclass(kind) and issubclass(kind, BaseException)}
    assert kinds - set(every_error()) <= {"DeadlineExceeded", "InputError", "OutputError", "ReportError"}


class OfAnApp(ApiError):
    """An app's own subclass, with arguments of its own."""

    def __init__(self, result: StreamResult, more: int) -> None:
        super().__init__("text", result, status=1, type="t", request_id=None)
        self.more = more


@ways
def test_an_apps_own_subclass(way: Callable[[Any], Any]) -> None:
    twin = way(OfAnApp(a_result("failed"), 3))
    assert (type(twin), twin.more, twin.status, str(twin)) == (OfAnApp, 3, 1, "text")


# -- outputs with types


@attrs.frozen
class Answer:
    number: int


@ways
def test_what_an_output_is_comes_back(way: Callable[[Any], Any]) -> None:
    outputs: list[Any] = [Answer, list[Answer], Answer | None, {"type": "object"}, OutputSpec(Answer, via="tool")]
    for output in outputs:
        assert way(StreamRequest("Hi", output=output)).output == output
    result = attrs.evolve(a_result("complete"), output=[Answer(3)])
    assert way(result) == result
    assert way(result).output == [Answer(3)]


def test_an_output_that_no_pickle_can_name_takes_nothing_else_with_it() -> None:
    @attrs.frozen
    class Local:
        number: int

    result = attrs.evolve(a_result("complete"), output=Local(3), request=StreamRequest("Hi", output=Local))
    twin = pickled(result)
    assert twin.parts == result.parts
    assert not isinstance(twin.output, Local)
    assert twin.request.output != Local
    request = copy.deepcopy(result).request
    assert request is not None
    assert request.output is Local


# -- requests

SECRETS = {
    "Authorization": "anything",
    "x-api-key": "anything",
    "X-Goog-Api-Key": "anything",
    "cookie": "a=b",
    "proxy-authorization": "anything",
    "cf-access-client-secret": "anything",
    "x-amz-security-token": "anything",
    "ocp-apim-subscription-key": "anything",
    "helicone-auth": "anything",
    "x-forwarded": "Bearer abc",
    "x-user": KEY,
}
HARMLESS = {"idempotency-key": "1", "anthropic-beta": "a-2026", "traceparent": "00-1-2-01", "x-team": "search"}


@ways
def test_a_request_comes_back_as_it_was(way: Callable[[Any], Any]) -> None:
    request = StreamRequest(
        {"messages": [{"role": "user", "content": nested(200)}], "stop_sequences": ("a",)},
        custom_id="c",
        betas=["b"],
        extra_headers=HARMLESS,
        extra_body={"x": [1]},
        extra_query={"q": "1"},
        deadlines=manystream.Deadlines(total=3),
        retry=manystream.RetryPolicy(max_attempts=2),
        recovery="restart",
        group="g",
        priority=3,
    )
    assert way(request) == request
    assert way(StreamRequest("x")) == StreamRequest("x")


def test_a_pickled_request_holds_no_secret_header_and_says_so() -> None:
    request = StreamRequest("x", extra_headers={**SECRETS, **HARMLESS})
    data = pickle.dumps(attrs.evolve(a_result("complete"), request=request))
    for name, value in SECRETS.items():
        assert name.encode() in data
        assert value.encode() not in data or (value in ("a=b", "anything") and b"anything" not in data)
    twin = pickle.loads(data).request
    assert twin.extra_headers == {**dict.fromkeys(SECRETS, "<dropped>"), **HARMLESS}
    assert twin.dropped_headers == tuple(SECRETS)
    for same in (copy.copy(request), copy.deepcopy(request)):
        assert same.extra_headers == request.extra_headers
        assert not same.dropped_headers


@pytest.mark.anyio
async def test_a_request_that_lost_a_header_is_not_sent_without_it() -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as engine:
            request = pickled(StreamRequest("x", extra_headers={"X-Token": "1", "trace": "2"}))
            with pytest.raises(ValueError, match="pickled without its headers X-Token: set them again"):
                engine.submit(request)
            request = attrs.evolve(request, extra_headers={**request.extra_headers, "X-Token": "1"})
            await engine.submit(request).wait()
        (sent,) = simulator.requests
        assert sent.headers["x-token"] == "1"


class Odd:
    def __reduce__(self) -> Any:
        raise TypeError("I don't pickle")


@pytest.mark.anyio
async def test_what_does_not_pickle_in_a_request_can_be_sent_neither_before_nor_after() -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as engine:
            for odd in (Odd(), lambda: None, (lambda: None,)):
                first = await engine.submit({"messages": [{"role": "user", "content": {"a": odd}}]}).wait()
                again = pickled(first)
                assert first.state == again.state == "failed"
                second = await engine.submit(again.request).wait()
                assert second.error is not None
                assert second.error.type == "request_error"
        assert not simulator.requests


# -- through processes


@cache
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.anyio
async def test_what_streams_brought_goes_through_a_process_pool() -> None:
    """Not with values made for the test: with what real streams, and the real SDK's exceptions, have in them."""
    values: list[Any] = []
    with Simulator().in_thread() as simulator:
        simulator.script(["a b c", 400, 529, Cut(1, "end", text="a b c"), Cut(1, Fail(529), text="a b"), 401])
        async with engine_for(simulator, retry=manystream.RetryPolicy(max_attempts=1)) as engine:
            requests = [attrs.evolve(one, extra_headers={"cookie": KEY}) for one in requests_named(*"abcdef")]
            async with engine.merge(requests) as channel:
                values += [event async for event in channel]
            ends = [value.event for value in values if isinstance(value.event, StreamEndEvent)]
            values += [error for end in ends if (error := end.result.exception()) is not None]
            values += [request for end in ends if (request := end.result.request) is not None]
    assert len(ends) == 6
    try:
        again = _pool().submit(copy.deepcopy, values).result(timeout=60)
    finally:
        _pool().shutdown()
        _pool.cache_clear()
    for value, twin in zip(values, again, strict=True):
        match value:
            case TaggedEvent():
                assert twin == value
            case StreamRequest():
                assert twin == attrs.evolve(cast("StreamRequest", value), extra_headers={"cookie": "<dropped>"})
            case _:
                assert str(twin) == str(value)
                assert twin.result == value.result
    assert KEY not in repr(pickle.dumps(values))


def test_it_is_done_at_an_ordinary_depth_of_the_stack() -> None:
    """As deep as frameworks go: a quarter of the stack is used."""
    event = StreamEndEvent(a_result("complete", nested(200)))
    frame, used = sys._getframe(), 0  # pyright: ignore[reportPrivateUsage]
    while frame := frame.f_back:
        used += 1

    def deeper(frames: int) -> None:
        if frames > 0:
            deeper(frames - 1)
        else:
            assert pickled(event) == event
            assert copy.deepcopy(event) == event

    deeper(sys.getrecursionlimit() // 4 - used)
