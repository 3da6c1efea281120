"""A prompt's size is near the truth and cheap to ask; two requests have a prefix in common when its keys agree."""

import json
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import pytest
from anthropic.types import TextBlock
from hypothesis import assume, given
from hypothesis import strategies as st

from manystream.engine.admission.prompt import Prefix, measure

Json = dict[str, Any]
MARK: Json = {"cache_control": {"type": "ephemeral"}}
LONG = "word " * 1000  # 1,250 tokens


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def keys(params: Json) -> list[bytes]:
    return [prefix.key for prefix in measure(params).prefixes]


def test_a_prefix_is_cached_for_one_model() -> None:
    params: dict[str, Any] = {"messages": [user(LONG)], **MARK}
    assert keys(params | {"model": "a"}) == keys(params | {"model": "a"}) != keys(params | {"model": "b"})


# -- size


def test_four_bytes_a_token() -> None:
    def added(words: str) -> int:
        return measure({"messages": [user(words)]}).tokens - measure({"messages": [user("")]}).tokens

    assert measure({"messages": [user("a" * 4000)]}).tokens == pytest.approx(1000, abs=10)
    assert added("語" * 1000) == 750
    assert added("\ud800" * 400) == 100  # half a character, which no API would take
    words: Json = {"system": "s" * 400, "tools": [{"name": "t", "input_schema": {"properties": {"p" * 400: {}}}}]}
    assert measure({**words, "messages": [user("m" * 400)]}).tokens == pytest.approx(300, abs=25)


def test_a_schema_that_the_answer_is_held_to_counts_and_stands_before_all_that_is_cached() -> None:
    def held_to(schema: Json) -> Json:
        return {"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}}}

    prompt: Json = {"messages": [user(LONG)], **MARK}
    long, short = held_to({"description": "d" * 4000}), held_to({})
    assert measure(prompt | long).tokens - measure(prompt | short).tokens == pytest.approx(1000, abs=10)
    assert keys(prompt | long) == keys(prompt | long) != keys(prompt | short)
    assert keys(prompt | {"output_config": {"effort": "low"}}) == keys(prompt)
    assert measure({"messages": [], "output_config": 3, **MARK}).prefixes == ()
    by_tool = {"tools": [{"name": "t", "input_schema": {"description": "d" * 4000}}]}
    assert measure(prompt | by_tool).tokens == pytest.approx(measure(prompt | long).tokens, abs=20)


def test_a_string_is_one_block_of_text() -> None:
    assert measure({"messages": [user(LONG)], **MARK}) == measure({"messages": [user([text(LONG)])], **MARK})
    assert measure({"system": LONG, **MARK}) == measure({"system": (text(LONG),), **MARK})


def image(**source: Any) -> Json:
    return {"type": "image", "source": source}


def document(**source: Any) -> Json:
    return {"type": "document", "source": source}


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        (image(type="base64", media_type="image/png", data="A" * 1_000_000), 1600),
        (image(type="url", url="https://example.com/" + "x" * 4000), 1600),
        (document(type="base64", media_type="application/pdf", data="A" * 1000), 3000),
        (document(type="base64", media_type="application/pdf", data="A" * 4_000_000), 60 * 3000),
        (document(type="base64", media_type="application/pdf", data="A" * 40_000_000), 100 * 3000),
        (document(type="url", url="https://example.com/" + "x" * 4000), 5 * 3000),
        (document(type="text", media_type="text/plain", data="a" * 40_000), 10_000),
        (document(type="content", content=[text("a" * 40_000)]), 10_000),
    ],
)
def test_media_count_by_kind(block: Json, tokens: int) -> None:
    assert measure({"messages": [user([block])]}).tokens == pytest.approx(tokens, abs=20)
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert measure({"messages": [user([nested])]}).tokens == pytest.approx(tokens, abs=30)


def test_nothing_is_consumed() -> None:
    reads: list[str] = []

    def spy(what: str) -> Iterator[Json]:
        reads.append(what)
        yield text(LONG)

    params = {"messages": spy("messages"), "system": spy("system"), "tools": spy("tools"), **MARK}
    assert measure(params).prefixes == ()
    assert measure({"messages": [user(spy("content"))]}).tokens > 100
    assert reads == []


def cyclic() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


class Broken(dict[Any, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")

    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


class NoTruth:
    def __bool__(self) -> bool:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        math.nan,
        [10**5000],
        b"bytes",
        object(),
        {1, 2},
        cyclic(),
        Broken(a=1),
        NoTruth(),
        {"content": cyclic(), **MARK},
        {"type": ["image", "null"], "source": {}},
        {"type": "image", "source": None},
        {"type": "document", "source": {"type": "base64", "data": object()}},
        {(1, 2): 3, "a": 4},
        {"cache_control": 5},
        {"cache_control": {"ttl": []}},
    ],
)
def test_odd_input_never_raises(odd: Any) -> None:
    marked = [text(LONG, **MARK)]
    requests: list[Json] = [
        {"messages": odd},
        {"messages": [odd], **MARK},
        {"messages": [user(odd)], "system": marked},
        {"messages": [user([odd])], **MARK},
        {"system": odd, "messages": [user(marked)]},
        {"tools": odd, "messages": [user(marked)]},
        {"tools": [odd], "messages": [user(marked)]},
        {"messages": [], "cache_control": odd},
        {},
    ]
    for params in requests:
        measure(params)


def test_a_long_prompt_is_cheap() -> None:
    params: Json = {"system": "s" * 40_000, "messages": [user("m" * 1000) for _ in range(60)]}
    times: list[float] = []
    for _ in range(20):
        begin = time.perf_counter()
        measure(params)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.001


# -- prefixes


def test_breakpoints_in_their_order() -> None:
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    params: Json = {
        "messages": [user([text(LONG), text(LONG, **MARK)]), user("and?")],
        "system": [text(LONG, **MARK), text("more")],
        "tools": [{"name": "a", "input_schema": {}}, {"name": "b", "description": LONG, **hour}],
    }
    found = measure(params).prefixes
    assert [prefix.ttl for prefix in found] == [3600, 300, 300]
    assert [prefix.tokens for prefix in found] == pytest.approx([1250, 2500, 5000], abs=50)
    assert len(set(keys(params))) == 3
    everything = measure({**params, **MARK})
    assert everything.prefixes[:3] == found
    assert everything.prefixes[3].tokens == everything.tokens
    assert all(len(prefix.key) == 16 for prefix in everything.prefixes)


def test_a_mark_on_the_request_marks_its_last_block() -> None:
    automatic = measure({"messages": [user([text("hi"), text(LONG)])], "cache_control": {"ttl": "1h"}})
    explicit = measure({"messages": [user([text("hi"), text(LONG, cache_control={"ttl": "1h"})])]})
    assert automatic.prefixes[0].key == explicit.prefixes[0].key
    assert automatic.prefixes[0].ttl == 3600
    both: Json = {"messages": [user([text(LONG, **MARK)])], "cache_control": {"ttl": "1h"}}
    assert [prefix.ttl for prefix in measure(both).prefixes] == [300]


def test_short_prefixes_are_left_out() -> None:
    def at(letters: int) -> tuple[Prefix, ...]:
        return measure({"system": [text("x" * letters, **MARK)], "messages": [user(LONG)]}).prefixes

    assert at(4000) == ()
    assert [prefix.tokens >= 1024 for prefix in at(4100)] == [True]


def test_marks_are_no_part_of_the_key() -> None:
    blocks = [text(LONG), text("b"), text("c", **MARK)]
    other = [text(LONG, **MARK), text("b", cache_control=None), text("c", cache_control={"ttl": "1h"})]
    assert keys({"messages": [user(blocks)]}) == keys({"messages": [user(other)]})[1:]


def test_each_mark_has_the_key_it_would_have_alone() -> None:
    def marked(*places: int) -> list[bytes]:
        parts = [text(LONG + str(i), **(MARK if i in places else {})) for i in range(6)]
        return keys({"tools": parts[:1], "system": parts[1:3], "messages": [user(parts[3:5]), user(parts[5:])]})

    assert marked(0, 2, 3, 5) == marked(0) + marked(2) + marked(3) + marked(5)
    assert len(set(marked(0, 1, 2, 3, 4, 5))) == 6


def test_the_same_block_elsewhere_is_another_prefix() -> None:
    block = text(LONG, **MARK)
    places: list[Json] = [{"tools": [block]}, {"system": [block]}, {"messages": [user([block])]}]
    assert len({key for params in places for key in keys(params)}) == 3


def test_a_message_without_blocks_is_not_the_end_of_a_prefix() -> None:
    params: Json = {"messages": [user(LONG), {"role": "assistant", "content": []}], **MARK}
    assert keys(params) == keys({"messages": [user(LONG)], **MARK}) != []


def test_a_mark_within_a_tool_result_marks_the_result() -> None:
    def result(inner: Json, **more: Any) -> Json:
        return {"messages": [user([{"type": "tool_result", "tool_use_id": "t", "content": [inner], **more}])]}

    assert keys(result(text(LONG, **MARK))) == keys(result(text(LONG), **MARK)) != []


def test_an_argument_named_like_a_mark_counts() -> None:
    def call(value: int) -> Json:
        block = {"type": "tool_use", "id": "t", "name": "n", "input": {"cache_control": value}}
        return {"messages": [user(LONG), {"role": "assistant", "content": [block]}], **MARK}

    assert keys(call(1)) != keys(call(2))


def deep() -> Any:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    "odd",
    [TextBlock(type="text", text="t"), math.inf, b"", {1: 2, "a": 3}, cyclic(), deep()],
    ids=["SDK object", "infinity", "bytes", "names of two kinds", "holds itself", "too deep"],
)
def test_what_is_not_json_ends_the_prefixes(odd: Any) -> None:
    before: Json = {"system": [text(LONG, **MARK)]}
    params = {**before, "messages": [user([{"type": "text", "x": odd}, text(LONG, **MARK)])], **MARK}
    assert keys(params) == keys({**before, "messages": []})
    assert len(keys(params)) == 1


def test_the_order_of_names_and_the_kind_of_mapping_do_not_matter() -> None:
    block = text(LONG, **MARK)
    turned = MappingProxyType(dict(reversed(block.items())))
    params = {"messages": ({"content": (turned,), "role": "user"},)}
    assert keys({"messages": [user([block])]}) == keys(params) != []


words = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


def called(extra: Any) -> Json:
    return {"type": "tool_use", "input": extra}


def turn(role: str, content: Any) -> Json:
    return {"role": role, "content": content}


def tool(name: str, schema: Any) -> Json:
    return {"name": name, "input_schema": schema}


texts = st.builds(text, words)
blocks = texts | st.builds(called, values)
turns = st.builds(turn, st.sampled_from(["user", "assistant"]), words | st.lists(blocks, min_size=1, max_size=3))
tools = st.builds(tool, words, values)


@st.composite
def prompts(draw: st.DrawFn) -> Json:
    """A prompt whose breakpoint is the last block of its last message."""
    params: Json = {"messages": [*draw(st.lists(turns, max_size=3)), user([*draw(st.lists(blocks, max_size=2))])]}
    params["messages"][-1]["content"].append(text(LONG, **MARK))
    if draw(st.booleans()):
        params["tools"] = draw(st.lists(tools, max_size=2))
    if draw(st.booleans()):
        params["system"] = draw(words | st.lists(texts, max_size=2))
    return params


@given(prompts(), st.lists(blocks, max_size=2), st.lists(turns, max_size=3))
def test_what_comes_after_the_breakpoint_does_not_change_its_key(params: Json, more: list[Json], later: Any) -> None:
    longer = deepcopy(params)
    longer["messages"][-1]["content"] += more
    longer["messages"] += later
    (prefix,) = measure(params).prefixes
    assert measure(longer).prefixes == (prefix,)
    assert keys({**longer, **MARK})[0] == prefix.key


def spelled(content: Any) -> list[Any]:
    return [text(content)] if isinstance(content, str) else content


def meaning(params: Json) -> str:
    """What the API would be told, in one spelling."""
    head = [params.get("tools") or [], spelled(params.get("system") or [])]
    turns = [[message["role"], spelled(message["content"])] for message in params["messages"]]
    return json.dumps([head, turns], sort_keys=True)


@given(prompts(), prompts())
def test_keys_agree_when_the_prefixes_do(one: Json, other: Json) -> None:
    assert (keys(one) == keys(other)) == (meaning(one) == meaning(other))


@given(prompts(), st.data())
def test_any_change_before_the_breakpoint_changes_its_key(params: Json, data: st.DataObject) -> None:
    changed = deepcopy(params)
    place = data.draw(st.sampled_from(["tools", "system", "message", "role", "block", "order"]))
    messages = changed["messages"]
    if place == "tools":
        changed["tools"] = [*changed.get("tools", ()), data.draw(tools)]
    elif place == "system":
        changed["system"] = [*spelled(changed.get("system") or []), data.draw(texts)]
    elif place == "message":
        messages.insert(data.draw(st.integers(0, len(messages) - 1)), data.draw(turns))
    elif place == "role":
        messages[-1]["role"] = "assistant"
    elif place == "block":
        content = messages[-1]["content"]
        content.insert(data.draw(st.integers(0, len(content) - 1)), data.draw(blocks))
    else:
        messages.reverse()
        assume(meaning(changed) != meaning(params) and messages[-1]["content"] == params["messages"][-1]["content"])
    assert keys(changed)[-1:] != keys(params)
