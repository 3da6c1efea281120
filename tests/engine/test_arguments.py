"""Wrong arguments fail where they are given, with what to write instead, and without showing a key or a prompt."""

import inspect
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import anyio
import attrs
import pytest
from tests.support.engines import engine_for

from manystream import (
    AnthropicModel,
    Deadlines,
    Engine,
    Group,
    HostBudget,
    Limits,
    Linger,
    Lossless,
    OutputSpec,
    Price,
    RedisBudget,
    RetryPolicy,
    Simulator,
    StreamRequest,
    tool_result,
)

KEY = "sk-ant-planted-key-of-some-length"
MODEL = AnthropicModel("claude-opus-5-5", api_key=KEY)
ENGINE: Any = Engine
REQUEST: Any = StreamRequest
ANTHROPIC_MODEL: Any = AnthropicModel


class Nothing:
    """Of no use to anybody."""


def model(**arguments: Any) -> AnthropicModel:
    return ANTHROPIC_MODEL(**{"model_name": "claude-opus-5-5", **arguments})


def engine(**arguments: Any) -> Engine:
    return ENGINE(**{"model": MODEL, **arguments})


def request(**arguments: Any) -> StreamRequest:
    return REQUEST(**{"params": "Hi", **arguments})


def spec(**arguments: Any) -> OutputSpec[Any]:
    made: dict[str, Any] = {"type": int, **arguments}
    return OutputSpec(**made)


def price(**arguments: Any) -> Price:
    return Price(**{"input": 1, "output": 2, **arguments})


def redis(**arguments: Any) -> RedisBudget:
    facts: dict[str, Any] = {"url": "redis://127.0.0.1", **arguments}
    return RedisBudget(**facts)


NOT_NUMBERS: list[object] = ["x", "5", b"5", [5], Nothing(), True, math.nan]
SECONDS_ABOVE_0: list[object] = [*NOT_NUMBERS, 0, -1, -math.inf]
COUNT_ABOVE_0: list[object] = [*SECONDS_ABOVE_0, 1.5, math.inf]
AMOUNT_ABOVE_0: list[object] = [*SECONDS_ABOVE_0, math.inf]
NOT_NAMES: list[object] = [5, b"x", ["x"], Nothing()]

WRONG: dict[Callable[..., object], dict[str, list[object]]] = {
    engine: {
        "model": ["claude-opus-5-5", None, AnthropicModel, anthropic.AsyncAnthropic(api_key=KEY), Nothing()],
        "max_concurrency": [*COUNT_ABOVE_0, None],
        "max_queued": [*(value for value in COUNT_ABOVE_0 if value != 0 or value is False), -5],
        "limits": ["learn", 100, 1.5, [Limits()], {"a": 100}, {5: Limits()}, Limits, Nothing()],
        "admin_key": [KEY],
        "groups": ["a", [Group()], {"a": 5}, {5: Group()}, Group(), {"a": Group}],
        "deadlines": [30, 1.5, "30", {"total": 30}, Deadlines, Nothing()],
        "retry": [3, "3", {"max_attempts": 3}, RetryPolicy, Nothing()],
        "recovery": ["retry", "", None, 5, True],
        "spend_cap": AMOUNT_ABOVE_0,
        "prices": [5.0, "5", {"a": 5.0}, {5: Price(1, 2)}, Price(1, 2)],
        "grace": [*NOT_NUMBERS, -1, None],
        "keep_ended": [*NOT_NUMBERS, -1, None, math.inf],
        "budget": ["hots", "", f"redis{KEY}", 5, b"host", HostBudget, Nothing()],
    },
    model: {
        "model_name": ["", " ", "claude opus", "claude\n", "\x00", None, *NOT_NAMES],
        "api_key": [
            "",
            f"{KEY}\n",
            f"{KEY}\r\n",
            f" {KEY}",
            f"{KEY[:5]} {KEY}",
            f"{KEY}é",
            f"{KEY}\x7f",
            5,
            b"k",
            ["k"],
        ],
        "base_url": [
            "",
            " ",
            "api.anthropic.com",
            "localhost:8765",
            "https://",
            "https:///v1",
            "ftp://api.anthropic.com",
            "https://api anthropic.com",
            "https://api.anthropic.com\n",
            "https://a..b",
            f"https://{'a' * 64}.com",
            "https://300.1.1.1",
            "https://1.2.3",
            "https://<host>",
            "https://[::1",
            "https://api.anthropic.com:0",
            "https://api.anthropic.com:99999",
            "https://api.anthropic.com:port",
            "https://api.anthropic.com/v1/messages",
            "https://api.anthropic.com/v1/messages/",
            f"ftp://user:{KEY}@host/x?token={KEY}#{KEY}",
            f"user:{KEY}@host?token={KEY}",
            "https://api.anthropic.com#x",
            *NOT_NAMES,
        ],
        "defaults": ["x", 5, [1], {"max_token": 5}, {"model": "a"}, {"stream": True}, {"timeout": 5}],
        "limits_pool": ["", "a b", *NOT_NAMES],
        "http2": ["yes", "", 1, 2.0, [], Nothing()],
        "http_client": ["x", 5, Nothing()],
        "anthropic_client": ["x", 5, Nothing(), anthropic.Anthropic(api_key=KEY)],
    },
    request: {
        "params": [None, 5, [1], [("messages", [])], {}, {"max_tokens": 5}, {"messages": [], "max_token": 5}],
        "model": ["claude-opus-5-5", 5, Nothing()],
        "custom_id": NOT_NAMES,
        "betas": ["one", 5, [5], [""], ["a\nb"], ["é"], [" "]],
        "extra_headers": [
            "x",
            [("a", "b")],
            {"": "x"},
            {"a b": "x"},
            {"a:": "x"},
            {"a\n": "x"},
            {"é": "x"},
            {5: "x"},
            {"a": f"{KEY}\n"},
            {"a": f"{KEY}\r\nx: y"},
            {"a": f"{KEY}\x00"},
            {"a": f"{KEY}é"},
            {"a": 5},
            {"a": None},
            {"a": [KEY]},
        ],
        "extra_body": ["x", [1], {5: "x"}],
        "extra_query": ["x", [1], {5: "x"}],
        "deadlines": [30, "30", {"total": 30}, Deadlines],
        "retry": [3, {"max_attempts": 3}, RetryPolicy],
        "recovery": ["retry", 5, True],
        "group": NOT_NAMES,
        "priority": ["1", 1.5, None],
        "output": ["Invoice", 5, True, [int], (int, str), Nothing(), len],
    },
    Deadlines: {field.name: SECONDS_ABOVE_0 for field in attrs.fields(Deadlines)},
    spec: {
        "type": ["Invoice", 5, None, [int], Nothing(), OutputSpec(int)],
        "via": ["text", "", None, 5],
        "retry_invalid": [*NOT_NUMBERS, -1, 1.5, None],
        "tool": [None, *NOT_NAMES],
    },
    RetryPolicy: {
        "max_attempts": [*COUNT_ABOVE_0, None],
        "base_delay": [*SECONDS_ABOVE_0, None],
        "max_delay": [*SECONDS_ABOVE_0, None],
        "longest_wait": [*SECONDS_ABOVE_0, None],
    },
    Limits: {field.name: AMOUNT_ABOVE_0 for field in attrs.fields(Limits)},
    Group: {"max_concurrency": COUNT_ABOVE_0, "weight": [*AMOUNT_ABOVE_0, None], "spend_cap": AMOUNT_ABOVE_0},
    HostBudget: {
        "path": [5, 1.5, [KEY], Nothing()],
        "name": ["", *NOT_NAMES],
        "weight": [*AMOUNT_ABOVE_0, None],
        "priority": ["1", 1.5, None],
        "spend_cap": [*AMOUNT_ABOVE_0, 5.0],  # without a name
    },
    redis: {
        "url": ["", 5, b"redis://host", "host", f"http://:{KEY}@host", f"redis://:{KEY}@", f"redis://:{KEY}@host:port"],
        "name": ["", *NOT_NAMES],
        "weight": [*AMOUNT_ABOVE_0, None],
        "priority": ["1", 1.5, None],
        "spend_cap": [*AMOUNT_ABOVE_0, 5.0],  # without a name
    },
    Linger: {"seconds": [*NOT_NUMBERS, -1, None, math.inf]},
    Lossless: {"buffer": [*COUNT_ABOVE_0, None], "stall_timeout": SECONDS_ABOVE_0},
}
PRICES: dict[str, list[object]] = {
    name: [*NOT_NUMBERS, -1, math.inf] for name in ("input", "output", "cache_write", "cache_read")
}


def cases() -> Iterator[Any]:
    for make, arguments in WRONG.items():
        for name, values in arguments.items():
            for number, value in enumerate(values):
                yield pytest.param(make, name, value, id=f"{make.__name__}-{name}-{number}")
    for name, values in PRICES.items():
        for number, value in enumerate(values):
            yield pytest.param(price, name, value, id=f"Price-{name}-{number}")


@pytest.mark.parametrize(("make", "name", "value"), [*cases()])
def test_a_wrong_argument_fails_where_it_is_given(make: Callable[..., object], name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(**{name: value})
    words = str(caught.value)
    assert words.count("\n") == 0
    assert len(words) < 200
    assert KEY not in words
    assert "not supported between" not in words  # Python's own words for a comparison name nothing
    assert any(
        part in words for part in (name, name.replace("_", " "), "parameter", "messages", "betas", "beta's", "header")
    )


def test_every_argument_of_every_public_constructor_is_tried() -> None:
    made: dict[Callable[..., object], Callable[..., object]] = {
        engine: Engine,
        model: AnthropicModel,
        request: StreamRequest,
        spec: OutputSpec,
        redis: RedisBudget,
    }
    for make, arguments in WRONG.items():
        takes = set(inspect.signature(made.get(make, make)).parameters)
        assert takes - set(arguments) <= {"reuse_heads"}
    assert set(inspect.signature(Price).parameters) == set(PRICES)


@pytest.mark.parametrize(
    "right",
    [
        lambda: model(base_url="http://127.0.0.1:8765"),
        lambda: model(base_url="http://[::1]:80/gateway/anthropic/"),
        lambda: model(base_url="https://user:secret@my_gateway.internal"),
        lambda: model(base_url="https://bücher.example"),
        lambda: model(model_name="anthropic.claude-opus-5-5-v1:0"),
        lambda: model(model_name="arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude"),
        lambda: request(extra_headers={"X_a.b!": "a b\tc", "empty": "", "gone": anthropic.Omit()}),
        lambda: engine(grace=math.inf, limits={"a": Limits()}, spend_cap=0.5, max_queued=0),
        lambda: Deadlines(total=math.inf),
        lambda: RetryPolicy(longest_wait=math.inf),
    ],
)
def test_what_is_right_is_taken(right: Callable[[], object]) -> None:
    assert right() is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: engine(model="claude-opus-5-5"), 'Engine(AnthropicModel("claude-…"))'),
        (lambda: engine(deadlines=30), "Deadlines(total=30)"),
        (lambda: engine(retry=3), "RetryPolicy(max_attempts=3)"),
        (lambda: engine(groups={"a": 3}), "Group(max_concurrency=…)"),
        (lambda: engine(recovery="retry"), '"fail", "restart" and "continue"'),
        (lambda: model(base_url="api.anthropic.com"), "write https://api.anthropic.com"),
        (lambda: model(api_key=f"{KEY}\n"), "strip"),
        (lambda: request(model="claude-opus-5-5"), "params['model']"),
    ],
)
def test_the_error_says_what_to_write(wrong: Callable[[], object], words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        wrong()
    assert words in str(caught.value)


# -- methods

pytest_async = pytest.mark.anyio


async def aiter_of(*requests: str) -> AsyncIterator[str]:
    for one in requests:
        yield one


async def not_awaited() -> list[str]:
    return ["Hi"]


ONE_REQUEST: dict[str, Callable[[], Any]] = {
    "text": lambda: "planted prompt",
    "params": lambda: {"messages": [{"role": "user", "content": "planted prompt"}]},
    "request": lambda: StreamRequest("planted prompt"),
    "number": lambda: 5,
    "None": lambda: None,
    "coroutine": not_awaited,
    "stream": lambda: Engine(MODEL).stream("planted prompt"),
    "merge": lambda: Engine(MODEL).merge(["planted prompt"]),
}


@pytest_async
@pytest.mark.parametrize("given", ONE_REQUEST)
@pytest.mark.parametrize("method", ["gather", "merge", "as_completed", "race"])
async def test_one_request_is_no_iterable_of_requests(method: str, given: str) -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as running:
            with pytest.raises(TypeError, match="requests is an iterable of requests, not") as caught:
                called = getattr(running, method)(ONE_REQUEST[given]())
                if inspect.iscoroutine(called):
                    await called
            assert "planted" not in str(caught.value)
        assert simulator.requests == []


BLOCKS: dict[str, Callable[[Engine], Any]] = {
    "stream": lambda running: running.stream("Hi"),
    "merge": lambda running: running.merge(["Hi"]),
    "as_completed": lambda running: running.as_completed(["Hi"]),
    "race": lambda running: running.race(["Hi"]),
    "hedge": lambda running: running.hedge("Hi"),
    "submit": lambda running: running.submit("Hi"),
}


@pytest_async
@pytest.mark.parametrize("block", BLOCKS)
async def test_a_block_is_entered_before_it_is_iterated(block: str) -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as running:
            for use in (loop_over, async_loop_over, with_):
                with pytest.raises(TypeError, match=r"; write: .*async with") as caught:
                    await use(BLOCKS[block](running))
                assert use.__doc__
                assert f"is not used with '{use.__doc__}'" in str(caught.value)


async def loop_over(block: Any) -> None:
    """for"""
    for _ in block:
        pass


async def async_loop_over(block: Any) -> None:
    """async for"""
    async for _ in block:
        pass


async def with_(block: Any) -> None:
    """with"""
    with block:
        pass


@pytest_async
async def test_the_rest_of_what_is_not_used_so() -> None:
    with Simulator().in_thread() as simulator:
        with pytest.raises(TypeError, match=r"'Engine' is not used with 'with'; write: async with Engine"):
            await with_(engine_for(simulator))
        async with engine_for(simulator) as running:
            handle: Any = running.submit("Hi")
            with pytest.raises(TypeError, match=r"await handle.wait\(\)"):
                async with handle:
                    pass
            async with running.stream("Hi") as stream:
                wrong: Any = stream
                for use in (loop_over, with_):
                    with pytest.raises(TypeError, match="write: async for event in stream"):
                        await use(wrong)
                    with pytest.raises(TypeError, match=r"write: async for text in stream\.text_stream"):
                        await use(stream.text_stream)
                async for _ in stream:  # and what is right goes on
                    pass
            async with handle.subscribe() as channel:
                with pytest.raises(TypeError, match="async for item in channel"):
                    await loop_over(channel)
                assert [event async for event in channel]


TOOL_RESULT: Any = tool_result
METHODS: list[tuple[Callable[[Any], object], str]] = [
    (lambda running: running.stream("Hi", policy="lossless"), "policy is Conflate() or Lossless()"),
    (lambda running: running.stream("Hi", policy=Lossless), "policy is Conflate() or Lossless()"),
    (lambda running: running.submit("Hi").subscribe(Lossless), "policy is Conflate() or Lossless()"),
    (lambda running: running.submit("Hi").subscribe(start="begin"), 'start is "start", "now" or the number'),
    (lambda running: running.submit("Hi").subscribe(start=True), 'start is "start", "now" or the number'),
    (lambda running: running.submit("Hi").subscribe(start=None), 'start is "start", "now" or the number'),
    (lambda running: running.submit("Hi").subscribe(on_abandon="stop"), 'on_abandon is "cancel", "linger", "detach"'),
    (lambda running: running.race(["Hi"], until="first"), 'until is "first_content" or "complete"'),
    (lambda running: running.race(aiter_of("Hi")), "a race starts all requests at once"),
    (lambda running: running.hedge("Hi", after="1"), "after is a number of seconds"),
    (lambda running: running.hedge("Hi", after=math.nan), "after is a number of seconds"),
    (lambda running: running.hedge("Hi", policy=5), "policy is Conflate() or Lossless()"),
    (lambda running: running.submit({"messages": "Hi"}), "messages is a list of messages"),
    (lambda running: running.submit({"messages": {"role": "user"}}), "messages is a list of messages"),
    (lambda running: running.submit(StreamRequest("Hi", model=running)), "model is an AnthropicModel"),
    (lambda running: TOOL_RESULT("toolu_1", "done"), "call is a ToolCallPart"),
]


@pytest_async
@pytest.mark.parametrize(("call", "words"), METHODS)
async def test_a_method_s_wrong_argument(call: Callable[[Any], object], words: str) -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as running:
            with pytest.raises((TypeError, ValueError)) as caught:
                call(running)
            assert words in str(caught.value)


@pytest_async
async def test_what_is_awaited_fails_before_anything_is_sent() -> None:
    ends = anyio.create_memory_object_stream[Any](1)
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as running:
            loose: Any = running
            with pytest.raises(TypeError, match="send_stream is the sending end"):
                await loose.pipe("Hi", ends)
            for limit in (0, -1, 1.5, "2", True, math.nan):
                with pytest.raises((TypeError, ValueError), match="limit is at least 1"):
                    await loose.gather(["Hi"], limit=limit)
        assert simulator.requests == []
    for end in ends:
        end.close()


# -- what the environment gives


@pytest_async
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ANTHROPIC_API_KEY", f"{KEY}\n", "the environment variable ANTHROPIC_API_KEY ends with a line end"),
        ("ANTHROPIC_API_KEY", f"{KEY} {KEY}", "holds a space"),
        ("ANTHROPIC_API_KEY", f"{KEY}é", "holds a character that no key has"),
        ("ANTHROPIC_AUTH_TOKEN", f"{KEY}\n", "the environment variable ANTHROPIC_AUTH_TOKEN ends with a line end"),
        ("ANTHROPIC_BASE_URL", "api.anthropic.com", "ANTHROPIC_BASE_URL 'api.anthropic.com' has no scheme"),
        ("ANTHROPIC_BASE_URL", "", "ANTHROPIC_BASE_URL is empty"),
    ],
)
async def test_the_environment_is_checked_when_the_engine_is_entered(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    if name != "ANTHROPIC_API_KEY" and name != "ANTHROPIC_AUTH_TOKEN":
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="the environment variable") as caught:
        async with Engine(AnthropicModel("claude-opus-5-5")):
            pass
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
