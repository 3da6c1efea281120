"""Types of every kind become schemas, and answers become their values, whole and item by item."""

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import attrs
import msgspec
import pytest
import typing_extensions
from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict

from manystream import StreamRequest
from manystream.actors.stream import InvalidOutput, OutputSpec
from manystream.engine.output import SchemaRefused, typed_output
from manystream.engine.simulator.service.output_rules import check_schema

T = TypeVar("T")


class Kind(enum.Enum):
    GOODS = "goods"
    SERVICE = "service"


@dataclass
class ADataclass:
    sku: str
    qty: int
    kind: Literal["goods", "service"]
    note: str | None = None


@attrs.frozen
class AnAttrs:
    sku: str
    qty: int
    kind: Kind
    note: str | None = None


class AStruct(msgspec.Struct):
    sku: str
    qty: int
    kind: Kind
    note: str | None = None


class ATypedDict(TypedDict):
    sku: str
    qty: int
    kind: Literal["goods", "service"]
    note: str | None


class OldTypedDict(typing.TypedDict):
    sku: str
    qty: int
    kind: Literal["goods", "service"]
    note: str | None


class ANamedTuple(NamedTuple):
    sku: str
    qty: int


class AModel(BaseModel):
    sku: str
    qty: Annotated[int, Ge(0)]
    kind: Kind
    note: str | None = None


@pydantic_dataclass
class APydanticDataclass:
    sku: str
    qty: int
    kind: Kind
    note: str | None = None


LINE: dict[str, Any] = {"sku": "S1", "qty": 3, "kind": "goods", "note": None}
KINDS: list[Any] = [ADataclass, AnAttrs, AStruct, ATypedDict, OldTypedDict, AModel, APydanticDataclass]


def value_of(kind: Any) -> Any:
    if kind in (ATypedDict, OldTypedDict):
        return LINE
    chosen: Any = "goods" if kind is ADataclass else Kind.GOODS
    return kind(sku="S1", qty=3, kind=chosen, note=None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_type_of_every_kind(kind: Any) -> None:
    output = typed_output(kind)
    check_schema(output.schema, "schema")
    value = output.read(json.dumps(LINE))
    assert value == value_of(kind)
    if kind not in (ATypedDict, OldTypedDict):
        assert type(value) is kind
    with pytest.raises(InvalidOutput) as caught:
        output.read(json.dumps({**LINE, "qty": "many"}))
    assert caught.value.path == "qty"
    assert "many" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_of_every_kind(kind: Any) -> None:
    output = typed_output(list[kind])
    check_schema(output.schema, "schema")
    assert output.read(json.dumps([LINE, LINE])) == [value_of(kind)] * 2
    assert output.item(())(LINE) == value_of(kind)
    with pytest.raises(InvalidOutput, match="qty"):
        output.item(())({**LINE, "qty": None})
    with pytest.raises(InvalidOutput) as caught:
        output.read(json.dumps([LINE, {**LINE, "sku": 3}]))
    assert caught.value.path == "[1].sku"


def order(kind: Any) -> Any:
    """A class of the same sort that holds a list of them."""
    if kind is AnAttrs:
        return attrs.make_class("Order", {"lines": attrs.field(type=list[kind])})
    if kind is AStruct:
        return msgspec.defstruct("Order", [("lines", list[kind])])
    if kind in (ATypedDict, OldTypedDict):
        return TypedDict("Order", {"lines": list[kind]})  # pyright: ignore[reportInvalidTypeForm]
    if kind is AModel:
        return type("Order", (BaseModel,), {"__annotations__": {"lines": list[kind] | None}})
    return dataclasses.make_dataclass("Order", [("lines", Sequence[kind] | None)])


@pytest.mark.parametrize("kind", KINDS)
def test_the_items_of_a_list_inside(kind: Any) -> None:
    output = typed_output(order(kind))
    check_schema(output.schema, "schema")
    assert output.item(("lines",))(LINE) == value_of(kind)
    for path in [("no",), (), ("lines", 0), ("lines", 0, "sku")]:
        with pytest.raises(ValueError, match="is no list"):
            output.item(path)


class Cat(msgspec.Struct, tag="cat", rename="camel"):
    life_count: int


class Dog(msgspec.Struct, tag="dog"):
    toys: list[str]


@dataclass
class Rain:
    kind: Literal["rain"]
    millimetres: float


@dataclass
class Snow:
    kind: Literal["snow"]
    centimetres: float


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


@dataclass
class Book(Generic[T]):
    pages: list[T]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Cat | Dog, '{"type": "cat", "lifeCount": 9}', Cat(9)),
        (list[Cat | Dog], '[{"type": "dog", "toys": ["x"]}]', [Dog(["x"])]),
        (Rain | Snow, '{"kind": "snow", "centimetres": 2}', Snow("snow", 2)),
        (list[Rain | Snow], '[{"kind": "rain", "millimetres": 1.5}]', [Rain("rain", 1.5)]),
        (Literal["yes", "no"], '"no"', "no"),
        (Kind, '"goods"', Kind.GOODS),
        (int, " 12 ", 12),
        (str, r'"half a pair: \ud83d"', "half a pair: \ud83d"),
        (int | str | None, "null", None),
        (datetime.date, '"2026-03-01"', datetime.date(2026, 3, 1)),
        (Decimal, '"1.10"', Decimal("1.10")),
        (set[str], '["a", "a"]', {"a"}),
        (Page[Rain], '{"items": [{"kind": "rain", "millimetres": 1}]}', Page([Rain("rain", 1)])),
        (Book[Rain], '{"pages": [{"kind": "rain", "millimetres": 1}]}', Book([Rain("rain", 1)])),
    ],
    ids=str,
)
def test_types_without_a_class_and_alternatives(kind: Any, text: str, value: Any) -> None:
    output = typed_output(kind)
    check_schema(output.schema, "schema")
    assert output.read(text) == value
    tool = typed_output(OutputSpec(kind, via="tool"))
    assert tool.read(f'{{"value": {text}}}' if tool.root else text) == value


@pytest.mark.parametrize(("kind", "path"), [(Page[Rain], ("items",)), (Book[Rain], ("pages",)), (list[Rain], ())])
def test_items_know_what_a_type_s_parameters_stand_for(kind: Any, path: Any) -> None:
    assert typed_output(kind).item(path)({"kind": "rain", "millimetres": 2}) == Rain("rain", 2)


def test_the_items_of_alternatives() -> None:
    assert typed_output(list[Cat | Dog]).item(())({"type": "dog", "toys": []}) == Dog([])
    assert typed_output(Cat | Dog).item(("toys",))("ball") == "ball"
    assert typed_output(list[list[int]]).item((0,))(3) == 3


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: datetime.date
    many: int = Field(alias="howMany")


def test_strict_models_take_dates_and_names_of_their_own() -> None:
    data = {"day": "2026-03-01", "howMany": 2}
    assert typed_output(list[Strict]).item(())(data).day == datetime.date(2026, 3, 1)
    assert typed_output(Strict).read(json.dumps(data)).many == 2


class OfLines(TypedDict, total=False):
    needed: typing_extensions.Required[list[ADataclass]]
    left_out: typing_extensions.NotRequired[list[ADataclass]]


class RootOfLines(RootModel[list[ADataclass]]):
    pass


NewLines = NewType("NewLines", list[ADataclass])
NamedLines = typing_extensions.TypeAliasType("NamedLines", list[ADataclass])


@dataclass
class FirstKind:
    kind: Literal["first"]
    lines: list[ADataclass]


@dataclass
class SecondKind:
    kind: Literal["second"]
    lines: list[ADataclass]


@dataclass
class ThirdKind:
    kind: Literal["third"]
    lines: list[Rain]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (OfLines, ("needed",)),
        (OfLines, ("left_out",)),
        (RootOfLines, ()),
        (NewLines, ()),
        (NamedLines, ()),
        (Annotated[list[ADataclass], "said"], ()),
        (list[ADataclass] | None, ()),
        (list[NewLines], (2,)),
        (dict[str, list[ADataclass]], ("any name",)),
        (FirstKind | SecondKind, ("lines",)),
        (FirstKind | SecondKind | ThirdKind, ("lines",)),
        (list[ADataclass] | dict[str, Rain], ()),
    ],
    ids=str,
)
def test_lists_are_found_under_every_name_that_types_have_for_them(kind: Any, path: tuple[str | int, ...]) -> None:
    assert typed_output(OutputSpec(kind, via="tool")).item(path)(LINE) == value_of(ADataclass)


@pytest.mark.parametrize(
    "kind", [typing.Iterable[int], typing.Iterator[int], list[typing.Iterable[ADataclass]]], ids=str
)
def test_what_would_be_checked_later_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"write list\[\.\.\.\]"):
        typed_output(kind)


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("the number is odd")


def test_a_class_s_own_check_counts() -> None:
    with pytest.raises(InvalidOutput, match=r"\[1\]: the number is odd"):
        typed_output(list[Even]).read('[{"number": 2}, {"number": 3}]')


@pytest.mark.parametrize("kind", [ADataclass, AModel, list[int], str, int | None])
@pytest.mark.parametrize("text", ["", "{", "[1,", '{"a": 1} and', "nope", '"\x01"', "\ud83d"])
def test_what_is_no_json_is_invalid(kind: Any, text: str) -> None:
    for spec in (kind, OutputSpec(kind, via="tool")):
        with pytest.raises(InvalidOutput):
            typed_output(spec).read(text)


class Loose(BaseModel):
    what: Any


ODD: list[Any] = [10**40, -(2**63) - 1, -0.0, 1e300, "\x00\u2028😀", None, ["a", {"b": 1}], True]


@pytest.mark.parametrize("value", ODD)
def test_an_item_of_a_model_is_what_the_whole_has(value: Any) -> None:
    data = {"what": value}
    made = typed_output(OutputSpec(list[Loose], via="tool"))
    assert made.item(())(data) == made.read(json.dumps({"value": [data]}))[0]


def test_an_item_with_half_a_surrogate_pair_is_invalid() -> None:
    with pytest.raises(InvalidOutput):
        typed_output(list[AModel]).item(())({**LINE, "sku": "\ud83d"})


def test_several_faults_are_told_and_not_the_answer() -> None:
    with pytest.raises(InvalidOutput) as caught:
        typed_output(AModel).read('{"qty": -1, "kind": "secret"}')
    assert caught.value.path == "sku"
    assert "qty" in caught.value.reason
    assert "kind" in caught.value.reason
    assert "secret" not in str(caught.value)


# -- plain schemas

ORDER_SCHEMA = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}, "total": {"type": "number"}},
    "required": ["lines"],
    "$defs": {"line": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
}


def test_a_plain_schema_gives_plain_data() -> None:
    pytest.importorskip("jsonschema_rs")
    output = typed_output(ORDER_SCHEMA)
    check_schema(output.schema, "schema")
    assert output.read('{"lines": [{"sku": "a"}]}') == {"lines": [{"sku": "a"}]}
    with pytest.raises(InvalidOutput) as caught:
        output.read('{"lines": [{"sku": "a"}, {"sku": 5}]}')
    assert caught.value.path == "lines[1].sku"
    assert output.item(("lines",))({"sku": "b"}) == {"sku": "b"}
    with pytest.raises(InvalidOutput, match="sku"):
        output.item(("lines",))({})
    with pytest.raises(ValueError, match="is no list at 'total'"):
        output.item(("total",))
    assert typed_output(dict(ORDER_SCHEMA)) is output


def test_a_plain_schema_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(TypeError, match=r"manystream\[schema\]"):
        typed_output({"type": "object", "properties": {"only here": {"type": "string"}}})


@pytest.mark.parametrize("schema", [{"type": "nope"}, {"type": "object", "properties": 3}])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    pytest.importorskip("jsonschema_rs")
    with pytest.raises(TypeError, match="this is no JSON Schema"):
        typed_output(schema)


# -- refused before anything is sent


class NoType:
    pass


@dataclass
class HoldsNoType:
    it: NoType


class TwoAttrs(msgspec.Struct):
    it: AnAttrs | ADataclass


@pytest.mark.parametrize("given", [NoType, list[NoType], HoldsNoType, "Invoice", 3, print])
def test_what_json_can_t_be_read_as_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="output"):
        typed_output(given)


def test_a_union_that_nothing_tells_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="more than one"):
        typed_output(TwoAttrs)


class Tree(msgspec.Struct):
    children: list["Tree"]


@dataclass
class Counts:
    by_name: dict[str, int]


@dataclass
class Pair:
    both: tuple[int, str]


@dataclass
class Anything:
    it: Any


MANY_OPTIONAL = dataclasses.make_dataclass("Many", [(f"f{n}", int, field(default=0)) for n in range(25)])
MANY_UNIONS = dataclasses.make_dataclass("Many", [(f"f{n}", int | None) for n in range(17)])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Tree, "Tree holds itself.*via=.tool"),
        (Counts, "by_name is a dictionary.*list of entries"),
        (Pair, "both is a tuple.*a class with a field for each place"),
        (Anything, "it may hold anything.*give it a type"),
        (dict[str, int], "the output is a dictionary"),
        (list[tuple[int, str]], "an item of the output is a tuple"),
        (ANamedTuple, "ANamedTuple is a tuple"),
        (MANY_OPTIONAL, r"25 optional fields \(Many.f0, Many.f1, Many.f2, ...\), and the API takes 24"),
        (MANY_UNIONS, "17 fields of several types .* the API takes 16"),
        (list, "an item of the output may hold anything"),
        (object, "the output may hold anything"),
    ],
    ids=str,
)
def test_what_the_api_refuses_is_refused_in_one_sentence(given: Any, words: str) -> None:
    with pytest.raises(SchemaRefused, match=words) as caught:
        typed_output(given)
    assert "\n" not in str(caught.value)
    tool = typed_output(OutputSpec(given, via="tool"))  # takes any
    assert tool.schema["type"] == "object"


# -- what is sent

REQUEST = StreamRequest("Hi")


def test_the_format_joins_what_the_request_says() -> None:
    output = typed_output(ADataclass)
    asked = output.asked_of({"output_config": {"effort": "low"}, "max_tokens": 1}, REQUEST)
    assert asked == {
        "max_tokens": 1,
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": output.schema}},
    }


def test_the_tool_joins_the_others() -> None:
    output = typed_output(OutputSpec(list[int], via="tool", tool="numbers"))
    asked = output.asked_of({"tools": [{"name": "other"}]}, REQUEST)
    assert [tool["name"] for tool in asked["tools"]] == ["other", "numbers"]
    assert asked["tools"][1]["input_schema"] == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"type": "integer"}}},
        "required": ["value"],
    }
    assert "tool_choice" not in asked


@pytest.mark.parametrize(
    ("params", "extra_body", "spec", "words"),
    [
        ({"output_config": {"format": {"type": "json_schema"}}}, {}, int, "two outputs"),
        ({"output_format": {"type": "json_schema"}}, {}, int, "two outputs"),
        ({}, {"output_config": {"format": {}}}, int, "two outputs"),
        ({}, {"output_config": {"effort": "low"}}, int, "extra_body has 'output_config'"),
        ({}, {"tools": []}, OutputSpec(int, via="tool"), "extra_body has 'tools'"),
        ({"tools": [{"name": "give_answer"}]}, {}, OutputSpec(int, via="tool"), "has a tool 'give_answer' already"),
    ],
)
def test_two_outputs_are_refused(params: Any, extra_body: Any, spec: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        typed_output(spec).asked_of(params, StreamRequest("Hi", extra_body=extra_body))


def test_a_type_is_worked_out_once() -> None:
    assert typed_output(ADataclass) is typed_output(ADataclass)
    assert typed_output(Literal[1]) is not typed_output(Literal[True])
    again = typed_output(OutputSpec(ADataclass, retry_invalid=1))
    assert again.retry_invalid == 1
    assert again.schema is typed_output(ADataclass).schema


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"via": "text"}, ValueError),
        ({"tool": "a b"}, ValueError),
        ({"tool": ""}, ValueError),
        ({"tool": 3}, TypeError),
        ({"retry_invalid": -1}, ValueError),
        ({"retry_invalid": 1.5}, TypeError),
    ],
)
def test_a_spec_says_what_is_wrong_with_it(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        OutputSpec(int, **arguments)


@pytest.mark.parametrize(
    ("params", "via", "words"),
    [
        ({"output_config": 3}, "format", "output_config is a mapping"),
        ({"output_config": "low"}, "format", "output_config is a mapping"),
        ({"tools": 3}, "tool", "tools is a list of tools"),
        ({"tools": {"name": "f"}}, "tool", "tools is a list of tools"),
    ],
)
def test_parameters_that_take_no_output_in_are_named(params: dict[str, Any], via: Any, words: str) -> None:
    output = typed_output(OutputSpec(list[int], via=via))
    with pytest.raises(TypeError, match=words):
        output.asked_of(params, StreamRequest("Hi"))


def test_tools_that_are_no_mappings_are_the_api_s_to_refuse() -> None:
    assert typed_output(OutputSpec(int, via="tool")).asked_of({"tools": [3]}, StreamRequest("Hi"))["tools"][0] == 3


@pytest.mark.parametrize("name", ["größe", "a b", "", "x" * 65])
def test_names_that_no_tool_can_have_are_refused(name: str) -> None:
    pytest.importorskip("jsonschema_rs")
    inner = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": inner}}, "required": ["a"]}
    with pytest.raises(ValueError, match="a field is named"):
        typed_output(OutputSpec(schema, via="tool"))
    typed_output(OutputSpec(schema))


def test_a_tool_s_schema_has_no_alternatives_at_its_top() -> None:
    pytest.importorskip("jsonschema_rs")
    one: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    output = typed_output(OutputSpec({**one, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, via="tool"))
    assert [*output.schema["properties"]] == ["value"]
    assert output.read('{"value": {"a": 1}}') == {"a": 1}


# -- what is shown while it grows


@dataclass
class OneText:
    x: str


@dataclass
class Shown:
    text: str
    maybe: str | None
    choice: Literal["yes", "no"]
    kind: Kind
    day: datetime.date
    price: Decimal
    tags: list[str]
    sizes: list[OneText]
    pets: list[Cat | Dog]


@pytest.mark.parametrize("via", ["format", "tool"])
def test_only_texts_are_shown_before_they_are_whole(via: Literal["format", "tool"]) -> None:
    output = typed_output(OutputSpec(Shown if via == "format" else list[Shown], via=via))
    start = () if via == "format" else ("value", 3)
    shown = {
        path: output.shows((*start, *path))
        for path in [
            ("text",),
            ("maybe",),
            ("tags", 7),
            ("sizes", 2, "x"),
            ("unheard of",),
            ("choice",),
            ("kind",),
            ("day",),
            ("price",),
            ("pets", 0, "type"),
        ]
    }
    assert [*shown.values()] == [True] * 5 + [False] * 5


# -- what is imported


def test_neither_the_actors_nor_types_of_msgspec_s_need_pydantic_or_a_validator() -> None:
    program = (
        "import sys, manystream.actors\n"
        "told = [name for name in ('pydantic', 'jsonschema_rs') if name in sys.modules]\n"
        "from manystream.engine.output import typed_output\n"
        "from dataclasses import dataclass\n"
        "typed_output(list[int]).read('[1]')\n"
        "print(told, 'jsonschema_rs' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
