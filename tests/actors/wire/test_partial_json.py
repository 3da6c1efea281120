"""`PartialJSON` reads any JSON cut anywhere as `json.loads` reads it whole, shows a prefix of it meanwhile, and is
linear."""

import gc
import json
import random
import time
import weakref
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors.wire.partial_json import JsonPath, PartialJSON

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text(st.characters(categories=["Cs", "Lu", "So"]))  # lone surrogates and characters beyond the BMP
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
)
layouts = st.sampled_from([None, 0, 1, "\t"])


def dump(document: Any, indent: int | str | None, ensure_ascii: bool) -> str:
    return json.dumps(document, indent=indent, ensure_ascii=ensure_ascii)


texts = st.builds(dump, documents, layouts, st.booleans())
almost_json = st.text(st.sampled_from(list('{}[]":,\\ua8dDc019-+.eEtrufalsn \n\x01é')), max_size=30)


def cut(text: str, at: list[int]) -> list[str]:
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    return [text[start:stop] for start, stop in pairwise(places)]


def parse(*pieces: str) -> PartialJSON:
    parser = PartialJSON()
    for piece in pieces:
        parser.feed(piece)
    return parser


def verdict(parser: PartialJSON) -> tuple[str, bool, bool, int | None]:
    return repr(parser.value), parser.complete, parser.invalid, parser.invalid_at


def is_prefix(partial: Any, whole: Any) -> bool:
    """A string is a prefix of a longer one; a list or dict of one that goes on, in the same order, after its last
    entry, which is itself a prefix; anything else only of itself."""
    if isinstance(partial, str) and isinstance(whole, str):
        return whole.startswith(partial)
    if type(partial) is not type(whole):
        return False
    if isinstance(partial, dict):
        ours, theirs = cast(dict[str, Any], partial), cast(dict[str, Any], whole)
        return is_prefix([*ours.keys()], [*theirs.keys()][: len(ours)]) and is_prefix(
            [*ours.values()], [*theirs.values()]
        )
    if isinstance(partial, list):
        ours, theirs = cast(list[Any], partial), cast(list[Any], whole)
        if len(ours) > len(theirs):
            return False
        return not ours or (ours[:-1] == theirs[: len(ours) - 1] and is_prefix(ours[-1], theirs[len(ours) - 1]))
    return partial == whole


@given(texts, st.lists(st.integers(0, 10_000)))
def test_any_document_cut_anywhere_ends_as_json_loads_has_it(text: str, at: list[int]) -> None:
    parser = parse(*cut(text, at))
    assert repr(parser.value) == repr(json.loads(text))
    assert parser.complete
    assert not parser.invalid


@given(texts)
def test_at_each_character_the_value_is_a_prefix_of_the_final_one(text: str) -> None:
    parser, whole = PartialJSON(), json.loads(text)
    for character in text:
        parser.feed(character)
        alone = isinstance(whole, int | float) and not isinstance(
            whole, bool
        )  # such a number is shown as far as it is one
        assert parser.value is None or alone or is_prefix(parser.value, whole)


@given(texts | almost_json, st.lists(st.integers(0, 10_000)))
def test_how_it_is_cut_changes_nothing(text: str, at: list[int]) -> None:
    assert verdict(parse(*cut(text, at))) == verdict(parse(text)) == verdict(parse(*text))


def constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@given(almost_json)
def test_complete_means_that_json_loads_takes_it(text: str) -> None:
    parser = parse(*text)
    try:
        whole = json.loads(text, parse_constant=constant)
    except ValueError as error:
        assert not parser.complete
        if isinstance(error, json.JSONDecodeError) and parser.invalid:
            assert not any(parse(text, more).complete for more in ('"', "]", "}", "0", "null"))
    else:
        assert parser.complete
        assert repr(parser.value) == repr(whole)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" ", None),
        ("{", {}),
        ('{"', {}),
        ('{"na', {}),
        ('{"name"', {}),
        ('{"name":', {}),
        ('{"name": "', {"name": ""}),
        ('{"name": "Ad', {"name": "Ad"}),
        ('{"a": tru', {}),
        ('{"a": 12', {}),
        ('{"a": 12,', {"a": 12}),
        ('{"a": 12}', {"a": 12}),
        ('{"a": [1, 2', {"a": [1]}),
        ('{"a": {"b": [{"c": "d', {"a": {"b": [{"c": "d"}]}}),
        ('["a\\', ["a"]),
        ('["a\\u12', ["a"]),
        ('["a\\ud83d', ["a"]),
        ('["a\\ud83d\\ude0', ["a"]),
        ('["a\\ud83d\\ude00', ["a\U0001f600"]),
        ('["a\\ud83d\\n', ["a\ud83d\n"]),
        ('["a\\ud83d"', ["a\ud83d"]),
        ('["\\\\ud83d', ["\\ud83d"]),
        ('{"a": 1, "b": 2, "a": "x', {"a": "x", "b": 2}),
        ("-", None),
        ("-1", -1),
        ("1.", None),
        ("1.5", 1.5),
        ("1.5e", None),
        ("1.5e3", 1500.0),
    ],
)
def test_what_is_shown_of_the_beginning_of_a_document(text: str, value: Any) -> None:
    for parser in (parse(text), parse(*text)):
        assert repr(parser.value) == repr(value)
        assert not parser.invalid


@pytest.mark.parametrize(
    ("text", "position", "value"),
    [
        ("x", 0, None),
        ("\ufeff{}", 0, None),
        ("NaN", 0, None),
        ("-Infinity", 1, None),
        ("nul1", 3, None),
        ("01", 1, 0),
        ("1.a", 2, None),
        ("+1", 0, None),
        ("{} {", 3, {}),
        ("1,", 1, 1),
        ('{"a": 1,}', 8, {"a": 1}),
        ('{"a" 1}', 5, {}),
        ("{'a': 1}", 1, {}),
        ("[1, 2 3]", 6, [1, 2]),
        ("[1,]", 3, [1]),
        ("[,1]", 1, []),
        ("[1}", 2, [1]),
        ('{"a": [true}', 11, {"a": [True]}),
        ('["a\nb"]', 3, ["a"]),
        ('["a\\x"]', 4, ["a"]),
        ('["a\\u00g0"]', 7, ["a"]),
        ('["a\\ud83d\\u00g0"]', 13, ["a\ud83d"]),
        ('{"a": 1, "b": [2, tru]}', 21, {"a": 1, "b": [2]}),
        ("[" + "1" * 5000 + "]", 5001, []),
    ],
)
def test_what_is_not_json_is_pointed_out_and_the_rest_ignored(text: str, position: int, value: Any) -> None:
    for parser in (parse(text), parse(*text)):
        before = verdict(parser)
        assert before == (repr(value), False, True, position)
        parser.feed('"]}')
        parser.feed("")
        assert verdict(parser) == before


def test_the_value_is_one_live_object() -> None:
    parser = parse('{"a": ["x')
    value = parser.value
    parser.feed('yz", 1], "b": {}}')
    assert parser.value is value
    assert value == {"a": ["xyz", 1], "b": {}}


def test_only_a_number_that_stands_alone_can_change_once_complete() -> None:
    parser = parse("12")
    assert (parser.value, parser.complete) == (12, True)
    parser.feed(".")
    assert (parser.value, parser.complete) == (None, False)
    parser.feed("5 ")
    assert (parser.value, parser.complete) == (12.5, True)


def test_a_hundred_thousand_levels() -> None:
    for opening, middle, closing in (("[", "", "]"), ('{"a":', "1", "}")):
        parser = parse(opening * 100_000, middle, closing * 100_000)
        assert parser.complete
        depth, value = 0, parser.value
        while isinstance(value, list | dict) and value:
            depth, value = depth + 1, cast(Any, value[0] if isinstance(value, list) else value["a"])
        assert depth >= 99_999


def test_it_is_freed_at_once() -> None:
    parser = parse('{"a": ["x')

    class Witness:
        pass

    witness = Witness()
    reference = weakref.ref(witness)
    parser.value["witness"] = witness
    gc.disable()
    try:
        del parser, witness
        assert reference() is None
    finally:
        gc.enable()


MEGABYTE = 1_000_000
records = [{"id": number, "name": f"n{number}", "ok": True, "ratio": number * 1.5} for number in range(MEGABYTE // 60)]
LARGE = {
    "one string": json.dumps({"a": "x" * MEGABYTE}),
    "one wide string": json.dumps({"a": "xé€😀" * (MEGABYTE // 4)}, ensure_ascii=False),
    "one string, escaped": json.dumps({"a": 'é\n😀"' * (MEGABYTE // 24)}),
    "strings in nested dicts": json.dumps({"a": {"b": [{"c": "y" * (MEGABYTE // 4)}] * 4}}),
    "one name": json.dumps({"k" * MEGABYTE: 1}),
    "many names": json.dumps({f"key{number}": number for number in range(MEGABYTE // 18)}),
    "one name, many times": "{" + ",".join(f'"a":{number % 10}' for number in range(MEGABYTE // 6)) + "}",
    "records": json.dumps(records),
    "records, indented": json.dumps(records[: MEGABYTE // 90], indent=2),
    "digits": json.dumps([number % 10 for number in range(MEGABYTE // 3)]),
    "one number": f"[1.{'1' * MEGABYTE}]",
    "space": f"[{' ' * MEGABYTE}]",
    "depth": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_megabyte_in_20000_pieces_is_linear(name: str) -> None:
    text = LARGE[name]
    size = -(-len(text) // 20_000)
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    parser = PartialJSON()
    began = time.process_time()
    for piece in pieces:
        parser.feed(piece)
        _ = parser.value
    took = time.process_time() - began
    assert parser.complete
    if name != "depth":  # json.loads gives up long before
        assert parser.value == json.loads(text)
    assert took < 2, "0.1 to 0.4 s is usual; copying at each piece takes 10 s"


@pytest.mark.parametrize("seed", range(5))
def test_one_piece_or_a_thousand_sizes_of_it(seed: int) -> None:
    text = LARGE["records, indented"][:50_000]
    chance = random.Random(seed)
    places = [*accumulate(chance.choice((1, 2, 3, 50, 400)) for _ in range(1000))]
    assert verdict(parse(*cut(text, [place for place in places if place <= len(text)]))) == verdict(parse(text))


# -- what still grows


def paths_of(value: Any, way: JsonPath = ()) -> Iterator[JsonPath]:
    yield way
    if isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            yield from paths_of(inner, (*way, name))
    elif isinstance(value, list):
        for number, inner in enumerate(cast(list[Any], value)):
            yield from paths_of(inner, (*way, number))


def at(value: Any, path: JsonPath) -> Any:
    for key in path:
        value = value[key]
    return value


def a_document(r: random.Random, depth: int = 0) -> Any:
    if depth > 3 or r.random() < 0.5:
        return r.choice(
            [1, -2.5, 1200, True, None, "", "a", 'é"x\\', "\U0001f600 long text" * r.randint(0, 2), "goods"]
        )
    if r.random() < 0.5:
        return [a_document(r, depth + 1) for _ in range(r.randint(0, 4))]
    return {r.choice("abcdefgh") + str(i): a_document(r, depth + 1) for i in range(r.randint(0, 4))}


def test_a_value_is_complete_when_and_only_when_it_has_its_last_form() -> None:
    """Of every value, after every piece: never called complete too early, nor growing when it is whole."""
    r = random.Random(5)
    wrong: list[tuple[str, JsonPath, str]] = []
    asked = 0
    for _ in range(300):
        whole = {"lines": [a_document(r) for _ in range(r.randint(0, 5))], "t": a_document(r)}
        whole = dict(reversed(whole.items())) if r.random() < 0.3 else whole
        text = json.dumps(whole, ensure_ascii=r.random() < 0.5, indent=r.choice([None, 1]))
        ways = [*paths_of(whole)]
        ends = {way: end_of(text, whole, way) for way in ways}
        parser, position = PartialJSON(), 0
        while position < len(text):
            piece = text[position : position + r.randint(1, r.choice([1, 3, 9, 60]))]
            parser.feed(piece)
            position += len(piece)
            for way in ways:
                asked += 1
                told = parser.state(way)
                # A number is only known to be whole by what follows it; all else by its own last character.
                ended = position > ends[way] or (position == ends[way] and not is_number(at(whole, way)))
                right = ended if told == "complete" else not ended
                shown = at(parser.value, way) if told == "complete" else None
                if not right or (told == "complete" and shown != at(whole, way)):
                    wrong.append((text[:position], way, told))
                if told == "pending" and has(parser.value, way):
                    wrong.append((text[:position], way, "pending"))
        assert all(parser.state(way) == "complete" for way in ways)
    assert asked > 100_000
    assert wrong == []


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def has(value: Any, way: JsonPath) -> bool:
    try:
        at(value, way)
    except (LookupError, TypeError):
        return False
    return True


def end_of(text: str, whole: Any, way: JsonPath) -> int:
    """Where the value at `way` ends in the text, by a second reading that knows nothing of pieces."""
    decoder = json.JSONDecoder()

    def space(place: int) -> int:
        while place < len(text) and text[place] in " \n,:":
            place += 1
        return place

    place = space(0)
    for key in way:
        place = space(place + 1)
        if isinstance(key, int):
            for _ in range(key):
                place = space(decoder.raw_decode(text, place)[1])
            continue
        while True:
            name, place = decoder.raw_decode(text, place)
            place = space(place)
            if name == key:
                break
            place = space(decoder.raw_decode(text, place)[1])
    return decoder.raw_decode(text, place)[1]


@given(st.data(), documents)
def test_how_the_text_is_cut_changes_no_state(data: st.DataObject, document: Any) -> None:
    text = json.dumps(document)
    stop = data.draw(st.integers(0, len(text)))
    pieces = cut(text[:stop], data.draw(st.lists(st.integers(0, 1000))))
    one, many = parse(text[:stop]), parse(*pieces)
    assert [one.state(way) for way in paths_of(document)] == [many.state(way) for way in paths_of(document)]
    assert one.open_path == many.open_path
    assert one.in_string == many.in_string
    assert has(one.value, one.open_path) or one.value is None


def test_the_way_to_what_grows() -> None:
    parser = parse('{"a": [1, {"b": "x", "c": ["y", "z')
    assert parser.open_path == ("a", 1, "c", 1)
    assert parser.in_string
    parser.feed('"')
    assert parser.open_path == ("a", 1, "c")
    assert not parser.in_string
    states = {way: parser.state(way) for way in [(), ("a",), ("a", 0), ("a", -1), ("a", -1, "b"), ("a", 1, "c", -2)]}
    assert states == {
        (): "growing",
        ("a",): "growing",
        ("a", 0): "complete",
        ("a", -1): "growing",
        ("a", -1, "b"): "complete",
        ("a", 1, "c", -2): "complete",
    }


@pytest.mark.parametrize("way", [("x",), (0,), ("a", 1), ("a", "b"), ("a", -2), ("a", 0, 0), ("b", "c"), ("a", True)])
def test_what_is_not_there_is_pending(way: JsonPath) -> None:
    assert parse('{"a": [1], "b": "c", "d": {').state(way) == "pending"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", "pending"),
        (" ", "pending"),
        ('"', "growing"),
        ('"a"', "complete"),
        ("1", "growing"),
        ("1 ", "complete"),
        ("-", "pending"),
        ("tru", "pending"),
        ("true", "complete"),
        ("[", "growing"),
        ("[]", "complete"),
    ],
)
def test_the_state_of_a_whole_document(text: str, state: str) -> None:
    assert parse(text).state() == state


def test_a_name_that_comes_twice_stands_for_its_last_value() -> None:
    parser = parse('{"a": {"b": 1}, "c": 2, "a": ')
    assert parser.state(("a",)) == "complete"
    parser.feed('{"b": "x')
    assert parser.open_path == ("a", "b")
    assert [parser.state(way) for way in [("a",), ("a", "b"), ("c",)]] == ["growing", "growing", "complete"]


@given(st.lists(st.integers(0, 1000)), documents)
def test_a_hidden_string_is_none_until_it_is_whole(places: list[int], document: Any) -> None:
    text = json.dumps({"all": document})
    parser = PartialJSON()
    for piece in cut(text, places):
        parser.feed(piece)
        parser.hide_growing_string()
        parser.hide_growing_string()
        if parser.in_string:
            assert at(parser.value, parser.open_path) is None
            assert parser.state(parser.open_path) == "growing"
    assert parser.complete
    assert parser.value == {"all": document}
    assert [*parser.value] == ["all"]
