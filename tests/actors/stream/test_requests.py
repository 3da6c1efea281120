"""A request is what it was when it was made: nothing that its caller does later changes what is sent."""

import base64
import io
import json
import sys
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import anyio
import attrs
import pydantic
import pytest
from anthropic._utils._json import openapi_dumps
from anthropic._utils._prepare import prepare_request_data
from anthropic.types import Message, TextBlock, ToolUseBlock
from tests.support.engines import engine_for, happens

from manystream import AnthropicModel, MessageParams, StreamRequest
from manystream.actors.stream.own_copy import own_copy
from manystream.engine.simulator import Cut, Fail, Simulator, Stall


def as_sent(value: Any) -> Any:
    """What the SDK makes of it."""
    return json.loads(openapi_dumps(prepare_request_data(value, location="body")))


def _same(value: Any) -> Any:
    return value


class Rows(UserList[Any]):
    pass


CONTAINERS: dict[str, Callable[[Any, Any], tuple[Any, Callable[[], object]]]] = {
    # A container that holds both of the others, and a change to itself.
    "list": lambda d, items: (own := [d, items], lambda: own.append(1)),
    "dict": lambda d, items: (own := {"d": d, "i": items}, lambda: own.update(x=1)),
    "tuple": lambda d, items: ((d, items), lambda: None),
    "OrderedDict": lambda d, items: (own := OrderedDict[str, Any](d=d, i=items), lambda: own.update(x=1)),
    "UserDict": lambda d, items: (own := UserDict({"d": d, "i": items}), lambda: own.update(x=1)),
    "mappingproxy": lambda d, items: (MappingProxyType(own := {"d": d, "i": items}), lambda: own.update(x=1)),
    "ChainMap": lambda d, items: (own := ChainMap({"d": d, "i": items}), lambda: own.update(x=1)),
    "deque": lambda d, items: (own := deque([d, items]), lambda: own.append(1)),
    "UserList": lambda d, items: (own := Rows([d, items]), lambda: own.append(1)),
    "values": lambda d, items: ((own := {"d": d, "i": items}).values(), lambda: own.update(x=1)),
    "generator": lambda d, items: ((item for item in (d, items)), lambda: None),
    "map": lambda d, items: (map(_same, [d, items]), lambda: None),
}


@pytest.mark.parametrize("outer", CONTAINERS)
@pytest.mark.parametrize("inner", CONTAINERS)
def test_every_kind_of_container_is_copied_at_any_depth(outer: str, inner: str) -> None:
    mapping: dict[str, Any] = {"a": [1]}
    items: list[Any] = [{"b": "c"}]
    held, change_inner = CONTAINERS[inner](mapping, items)
    given, change_outer = CONTAINERS[outer]({"held": held}, items)
    # The same again, to be sent by the SDK now: iterators can be read only once.
    again, _ = CONTAINERS[inner](mapping, items)
    expected = as_sent(CONTAINERS[outer]({"held": again}, items)[0])
    copy = own_copy(given)
    for change in (change_inner, change_outer, lambda: items.append(2), lambda: mapping["a"].append(2), mapping.clear):
        change()
    assert as_sent(copy) == expected


def test_what_cannot_change_is_shared() -> None:
    text, data, number = "x" * 1000, b"y" * 1000, 10**30
    copy = own_copy({"a": [text, data], "b": (number,)})
    assert copy["a"][0] is text
    assert copy["a"][1] is data
    assert copy["b"][0] is number


def test_each_of_a_requests_fields_is_its_own() -> None:
    params: Any = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "stream": True,
    }
    body, headers, query = {"x": {"y": [1]}}, {"trace": "1"}, {"q": ["1"]}
    betas = ["b"]
    request = StreamRequest(params, extra_body=body, extra_headers=headers, extra_query=query, betas=betas)
    params["messages"][0]["content"].append({"type": "text", "text": "b"})
    body["x"]["y"].append(2)
    headers["trace"] = "2"
    query["q"].append("2")
    betas.append("c")
    assert request == StreamRequest(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        extra_body={"x": {"y": [1]}},
        extra_headers={"trace": "1"},
        extra_query={"q": ["1"]},
        betas=["b"],
    )


def test_nothing_extra_may_be_none() -> None:
    nothing: Any = {"extra_headers": None, "extra_body": None, "extra_query": None}
    assert StreamRequest("x", **nothing) == StreamRequest("x")
    wrong: Any = [("a", "b")]
    with pytest.raises(TypeError, match="are mappings, not a list"):
        StreamRequest("x", extra_headers=wrong)


# -- what is encoded


class Hidden(pydantic.BaseModel):
    shown: int = 1
    kept: int = 2
    unset: int = 3
    aliased: int = pydantic.Field(default=4, alias="other")
    when: date = date(2026, 1, 2)
    __api_exclude__ = {"kept"}


OBJECTS: list[Any] = [
    TextBlock(type="text", text="hi", citations=None),
    ToolUseBlock.construct(type="tool_use", id="t", name="n", input={"a": [1]}, new_field={"b": 1}),
    Hidden(shown=7, kept=8, other=9),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    date(2026, 1, 2),
]


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_objects_become_what_the_sdk_sends_for_them(value: Any) -> None:
    for place in (value, [value], {"a": (value,)}, iter([value])):
        expected = [as_sent(value)] if isinstance(place, Iterator) else as_sent(place)
        copy = own_copy(place)
        assert json.loads(json.dumps(copy)) == expected


def test_an_answer_sent_back_is_what_it_was() -> None:
    answer = Message.model_validate(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    request = StreamRequest({"messages": [{"role": "assistant", "content": answer.content}]})
    cast("TextBlock", answer.content[0]).text = "changed"
    answer.content.clear()
    assert request.params["messages"] == [{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}]


@attrs.frozen
class Odd:
    number: int = 1


class Number(float):
    pass


@pytest.mark.parametrize(
    "value", [Odd(), object(), 1j, Number(2), bytearray(b"a"), sys, open], ids=lambda value: type(value).__name__
)
def test_what_the_sdk_does_not_know_is_left_for_it_to_refuse(value: Any) -> None:
    assert own_copy({"a": [value]})["a"][0] is value


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"bytes")
    data = base64.b64encode(b"bytes").decode()
    source = {"type": "base64", "media_type": "image/png"}
    with path.open("rb") as file, io.StringIO("bytes") as text, io.BytesIO(b"bytes") as memory:
        copies = [own_copy({**source, "data": given}) for given in (path, file, text, memory)]
    path.unlink()
    assert copies == [{**source, "data": data}] * 4


def test_a_path_is_read_only_where_the_sdk_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"bytes")
    assert own_copy({"data": path}) == {"data": path}
    assert own_copy({"type": "base64", "name": path}) == {"type": "base64", "name": path}
    missing = {"type": "base64", "data": tmp_path / "missing"}
    assert own_copy(missing) == missing


# -- shapes


class Endless(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return Endless()

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


def endless() -> Iterator[Any]:
    yield endless()


def nested(levels: int, kind: Callable[[Any], Any]) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = kind(value)
    return value


def cycles() -> dict[str, Any]:
    in_list: list[Any] = []
    in_list.append(in_list)
    in_dict: dict[str, Any] = {}
    in_dict.update(a=in_dict, b=in_dict)
    in_tuple: tuple[list[Any]] = ([],)
    in_tuple[0].append(in_tuple)
    in_deque: deque[Any] = deque()
    in_deque.append(MappingProxyType({"a": in_deque}))
    return {"list": in_list, "dict": in_dict, "tuple": in_tuple, "deque": in_deque}


SHAPES: dict[str, Callable[[], Any]] = {
    **{f"a {name} in itself": lambda name=name: cycles()[name] for name in cycles()},
    "a mapping without end": Endless,
    "iterators without end": endless,
    "100,000 lists": lambda: nested(100_000, lambda value: [value]),
    "100,000 mappings": lambda: nested(100_000, lambda value: MappingProxyType({"a": value})),
    "300 dicts": lambda: nested(300, lambda value: {"a": value}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", ["params", "extra_body", "extra_query", "extra_headers", "defaults"])
def test_what_has_no_end_or_is_absurdly_deep_is_refused_with_a_word(shape: str, field: str) -> None:
    value: Any = {"messages": [{"role": "user", "content": SHAPES[shape]()}]}
    more: Any = {field: value}
    with pytest.raises(ValueError, match="nested"):
        if field == "params":
            StreamRequest(value)
        elif field == "defaults":
            AnthropicModel("m", defaults={"metadata": value})
        else:
            StreamRequest("x", **more)


def test_it_says_so_at_whatever_depth_of_the_stack() -> None:
    def deeper(frames: int) -> None:
        if frames:
            deeper(frames - 1)
        else:
            with pytest.raises(ValueError, match="nested too deep for the stack"):
                StreamRequest({"messages": nested(240, lambda value: UserDict(a=value))})

    frame, used = sys._getframe(), 0  # pyright: ignore[reportPrivateUsage]
    while frame := frame.f_back:
        used += 1
    deeper(sys.getrecursionlimit() - used - 100)


def test_what_models_write_can_be_sent_back() -> None:
    deep = nested(100, lambda value: [{"a": value}])
    use = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": deep}}
    request = StreamRequest({"messages": [{"role": "assistant", "content": [use]}]})
    assert request.params["messages"][0]["content"][0]["input"]["a"] == deep


# -- what is sent


pytest_async = pytest.mark.anyio
LATER = {"role": "user", "content": "later"}


def texts(simulator: Simulator) -> list[Any]:
    return [[message["content"] for message in request.json["messages"]] for request in simulator.requests]


@pytest_async
async def test_changes_after_submit_change_nothing_that_is_sent() -> None:
    with Simulator().in_thread() as simulator:
        simulator.script([529, Cut(0, Fail(529), text="a"), "a b"])
        async with engine_for(simulator, max_concurrency=1) as engine:
            messages: list[Any] = [{"role": "user", "content": "first"}]
            body: dict[str, Any] = {"metadata": {"user_id": "u"}}
            handle = engine.submit(StreamRequest({"messages": messages}, extra_body=body))
            waits = engine.submit({"messages": messages})
            messages.append(LATER)
            await happens(simulator, lambda simulator: len(simulator.requests) >= 1)
            body["metadata"]["user_id"] = "other"
            messages[0]["content"] = "changed"
            result = await handle.wait()
            await waits.wait()
        assert result.state == "complete"
        assert texts(simulator) == [["first"]] * len(simulator.requests)
        assert len(simulator.requests) > 3
        assert {request.json.get("metadata", {}).get("user_id") for request in simulator.requests} == {"u", None}


@pytest_async
async def test_changes_after_drawing_change_nothing_that_is_sent() -> None:
    with Simulator().in_thread() as simulator:

        def draw() -> Iterator[Any]:
            params: dict[str, Any] = {"messages": []}
            for number in range(5):
                params["messages"].append({"role": "user", "content": str(number)})
                yield params

        async with engine_for(simulator, max_concurrency=1) as engine:
            await engine.gather(draw())
            async with engine.as_completed(draw()) as done:
                assert len([result async for result in done]) == 5
            async with engine.merge(draw()) as channel:
                async for _ in channel:
                    pass
            async with engine.race(draw()):
                pass
        turns = [[str(number) for number in range(last + 1)] for last in range(5)]
        assert texts(simulator)[:15] == turns * 3


@pytest_async
async def test_a_hedges_second_try_asks_what_the_first_one_asked() -> None:
    with Simulator().in_thread() as simulator:
        simulator.script([Stall("head"), "b"])
        async with engine_for(simulator) as engine:
            messages = [{"role": "user", "content": "first"}]
            hedge = engine.hedge({"messages": (message for message in messages)}, after=0.05)
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:

                    async def change() -> None:
                        await happens(simulator, lambda simulator: len(simulator.requests) == 1)
                        messages[0]["content"] = "changed"

                    tasks.start_soon(change)
                    async with hedge as stream:
                        async for _ in stream:
                            pass
                        winner = stream.result
                    assert winner.request is stream.losers[0].request
        assert texts(simulator) == [["first"], ["first"]]


@pytest_async
async def test_a_race_reads_what_stands_in_a_list_twice_only_once() -> None:
    with Simulator().in_thread() as simulator:
        async with engine_for(simulator) as engine:
            params: Any = {"messages": iter([{"role": "user", "content": "first"}])}
            async with engine.race([params, params]) as stream:
                race = stream
            requests = [result.request for result in (race.result, *race.losers)]
        assert len(requests) == 2
        assert requests[0] is requests[1]
        assert texts(simulator) == [["first"]] * len(simulator.requests)


# -- names of parameters


@pytest.mark.parametrize("name", sorted(MessageParams.__annotations__))
def test_a_slip_in_a_parameter_s_name_is_refused_where_the_request_is_made(name: str) -> None:
    known = set(MessageParams.__annotations__)
    slips = {name[:-1], name + "s", name[1:], name[:2] + "x" + name[2:], name.replace("_", "")} - known
    for slip in slips:
        params: Any = {"messages": [], slip: 1}
        if len(name) > 6:  # in a short name one letter may make another word
            with pytest.raises(TypeError, match=f"no parameter '{slip}'; did you mean "):
                StreamRequest(params)
        assert StreamRequest("Hi", extra_body={slip: 1}).extra_body == {slip: 1}
    right: Any = {"messages": [], name: []}
    assert StreamRequest(right)


def test_a_name_that_is_like_none_may_be_newer_than_we_are() -> None:
    params: Any = {"messages": [], "quantum_mode": True}
    assert StreamRequest(params).params["quantum_mode"]


def test_a_model_s_defaults_are_checked_where_they_are_given() -> None:
    with pytest.raises(TypeError, match="no parameter 'max_token'; did you mean 'max_tokens'"):
        AnthropicModel("claude-opus-5-5", defaults={"max_token": 5})
